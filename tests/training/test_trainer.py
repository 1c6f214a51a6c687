"""A job from its first step to a checkpoint that loads; stopping and going on; what goes wrong."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.utils.data
from safetensors.torch import load_file

from gf_core.errors import GrinningFaceError, MismatchError
from gf_core.studies.recipes import Training
from gf_core.training.checkpoint import load_checkpoint
from gf_core.training.dry_run import plan_job
from gf_core.training.normalizer import STILL, Kind, Normalizer
from gf_core.training.running import Job
from gf_core.training.samples import Sample, Wanted
from gf_core.training.schedule import make_optimizer
from gf_core.training.trainer import check_parallel, identity_of, train

from . import small
from .small import recipe

Make = Callable[..., Job]


def files(job: Path) -> dict[str, bytes]:
    checkpoint = job / "checkpoint"
    return {str(p.relative_to(checkpoint)): p.read_bytes() for p in sorted(checkpoint.rglob("*")) if p.is_file()}


def test_a_job_ends_in_a_checkpoint_that_computes_the_same(make_job: Make, watched: Any) -> None:
    job, seen = make_job(recipe()), watched()
    checkpoint = train(job, seen)
    loaded = load_checkpoint(checkpoint, job.host)
    assert loaded.finished
    assert len(seen.rows) == 6
    assert seen.trains["robot"].keys() == {"vision", "projector", "language", "head"}
    again = load_file(checkpoint / "links" / "00" / "00-robot.safetensors")
    assert "model.blocks.0.q_proj.weight" in again


@pytest.mark.parametrize("muon", [[], ["head", "language"]])
def test_stopping_and_going_on_equals_never_having_stopped(make_job: Make, watched: Any, muon: list[str]) -> None:
    asked = recipe(optimizer={"muon": muon})
    whole, stopped = make_job(asked, "whole"), make_job(asked, "stopped")
    train(whole, watched())
    with pytest.raises(KeyboardInterrupt):
        train(stopped, watched(stop_at=3))
    train(stopped, watched())
    assert files(whole.out) == files(stopped.out)


def test_a_state_goes_only_when_what_follows_it_is_on_disk(make_job: Make, watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: dict[int, list[str]] = {}
    gone, real_fsync, real_rmtree = [], os.fsync, shutil.rmtree

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        flushed[status.st_ino] = os.listdir(descriptor) if stat.S_ISDIR(status.st_mode) else []
        real_fsync(descriptor)

    def is_on_disk(path: Path) -> bool:
        return path.stat().st_ino in flushed and path.name in flushed[path.parent.stat().st_ino]

    def rmtree(path: Path, **settings: Any) -> None:
        if path.name.startswith("state-") and path.exists():
            later = [other for other in path.parent.glob("state-*") if other != path]
            follows = [*later, *later[0].iterdir()] if later else [path.parent / "stages" / "00-robot.safetensors"]
            assert all(map(is_on_disk, follows)), path
            gone.append(path.name)
            flushed.clear()  # its inodes will be others'
        real_rmtree(path, **settings)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(shutil, "rmtree", rmtree)
    train(make_job(recipe(), save_every=2), watched())
    assert gone == ["state-2", "state-4"]


def test_an_interrupt_ends_an_evaluation_at_once_and_going_on_evaluates_again(make_job: Make, watched: Any) -> None:
    evaluated: list[int] = []

    def evaluate(snapshot: Path, step: int) -> dict[str, float]:
        evaluated.append(step)
        assert load_checkpoint(snapshot, stopped.host).finished is False
        if len(evaluated) == 1:
            assert (stopped.out / f"state-{step}").is_dir(), "whoever kills it now loses no step"
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("held back")
        return {"id success": 0.5}

    document = recipe(evaluation={"every": 2})
    whole, stopped = make_job(document, "whole"), make_job(document, "stopped", evaluate=evaluate)
    train(whole, watched())
    with pytest.raises(KeyboardInterrupt):
        train(stopped, watched())
    train(stopped, watched())
    assert evaluated == [2, 2, 4]
    assert files(whole.out) == files(stopped.out)
    rows = [json.loads(line) for line in (stopped.out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "evaluation" in row] == [2, 4]


def test_going_on_evaluates_nothing_twice(make_job: Make, watched: Any) -> None:
    evaluated: list[int] = []

    def evaluate(snapshot: Path, step: int) -> dict[str, float]:
        evaluated.append(step)
        return {"id success": 0.5}

    class Killed(watched):  # type: ignore[misc]
        def note(self, text: str) -> None:
            raise MemoryError

    job = make_job(recipe(evaluation={"every": 2}), evaluate=evaluate)
    with pytest.raises(MemoryError):
        train(job, Killed())
    train(job, watched())
    assert evaluated == [2, 4]


def test_going_on_with_another_recipe_is_refused(make_job: Make, watched: Any) -> None:
    train(make_job(recipe(steps=1)), watched())
    with pytest.raises(GrinningFaceError, match=r"holds another job: .*/stages/0/steps is 1 there and 2 here"):
        train(make_job(recipe(steps=2)), watched())


def test_a_loss_that_is_not_finite_ends_the_job_with_its_name(make_job: Make, watched: Any) -> None:
    rates = dict.fromkeys(("vision", "projector", "language", "head"), 1e30)
    with pytest.raises(GrinningFaceError, match=r"loss 'act/.*' is (nan|inf) at step"):
        train(make_job(recipe(learning_rate=rates, optimizer={"clip": 0})), watched())


ADAPTED: dict[str, Any] = {
    "techniques": [{"id": "gf/lora-v1", "settings": {"r": 4}}],
    "learning_rate": {"language": 1e-2, "head": 1e-2},
}


def two_stages() -> dict[str, Any]:
    document = recipe(**ADAPTED, steps=3)
    second = {**document["stages"][0], "name": "again", "steps": 4}
    document["stages"].append(second)
    return document


@pytest.mark.parametrize("stop_at", [2, 3, 5])
def test_a_staged_recipe_goes_on_from_any_stage(make_job: Make, watched: Any, stop_at: int) -> None:
    whole, stopped = make_job(two_stages(), "whole"), make_job(two_stages(), "stopped")
    seen = watched()
    train(whole, seen)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, watched(stop_at=stop_at))
    train(stopped, watched())
    assert files(whole.out) == files(stopped.out)
    kept = [json.loads(line) for line in (stopped.out / "metrics.jsonl").read_text().splitlines()]
    assert [(row["stage"], row["step"], row["losses"]) for row in kept] == [
        (row["stage"], row["step"], row["losses"]) for row in seen.rows
    ]


def flip_a_bit(file: Path) -> None:
    content = file.read_bytes()
    file.unlink()  # the checkpoint may hold the same file
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_a_finished_stage_that_is_damaged_is_named_before_the_next_goes_on(make_job: Make, watched: Any) -> None:
    job, seen = make_job(two_stages()), watched()
    with pytest.raises(KeyboardInterrupt):
        train(job, watched(stop_at=4))
    flip_a_bit(job.out / "stages" / "00-robot.safetensors")
    with pytest.raises(GrinningFaceError, match=r"stages/00-robot\.safetensors: isn't the file .*; copy it back .* --out$"):
        train(job, seen)
    assert not seen.rows


@pytest.mark.parametrize(("name", "what_to_do"), [("job.json", "give another --out"), ("progress.json", "remove it: .* again")])
@pytest.mark.parametrize("damaged", [b'{"recipe": ', b"null", b"\xff"])
def test_a_damaged_document_of_a_job_is_named(make_job: Make, watched: Any, name: str, what_to_do: str, damaged: bytes) -> None:
    job = make_job(recipe())
    job.out.mkdir()
    (job.out / "job.json").write_text(json.dumps(identity_of(job, 1)))
    (job.out / name).write_bytes(damaged)
    with pytest.raises(GrinningFaceError, match=rf"{name}: is damaged \(.*\); {what_to_do}$"):
        train(job, watched())


def test_a_job_without_its_progress_trains_its_stages_again(make_job: Make, watched: Any) -> None:
    whole, job = make_job(two_stages(), "whole"), make_job(two_stages())
    train(whole, watched())
    with pytest.raises(KeyboardInterrupt):
        train(job, watched(stop_at=5))
    (job.out / "progress.json").unlink()
    train(job, watched())
    assert files(whole.out) == files(job.out)


def test_a_lora_checkpoint_holds_adapters_and_heads_and_merges_to_the_same_policy(make_job: Make, watched: Any) -> None:
    job = make_job(two_stages())
    checkpoint = train(job, watched())
    for name in ("00-robot", "01-again"):
        held = load_file(checkpoint / "links" / "00" / f"{name}.safetensors")
        assert all("lora_" in key for key in held if key.startswith("model."))
        assert any("lora_" in key for key in held)
    loaded = load_checkpoint(checkpoint, job.host)
    assert not any("lora_" in name for name, _ in loaded.vla.named_parameters())


def test_a_job_starts_from_what_another_left(make_job: Make, watched: Any) -> None:
    first = make_job(recipe(**ADAPTED), "first")
    parent = train(first, watched())
    second = make_job(recipe(**ADAPTED, parent=str(parent), seed=1, steps=2), "second")
    child = train(second, watched())
    shutil.rmtree(first.out)  # the checkpoint holds its parents
    loaded = load_checkpoint(child, second.host)
    assert [link.recipe.seed for link in loaded.links] == [0, 1]
    assert loaded.links[0].fingerprint == loaded.links[1].fingerprint


def test_another_backbone_under_a_checkpoint_is_refused(make_job: Make, watched: Any) -> None:
    job = make_job(recipe(steps=1))
    checkpoint = train(job, watched())
    with pytest.raises(MismatchError, match="was trained on a backbone with fingerprint"):
        load_checkpoint(checkpoint, job.host, backbone_settings={"seed": 1})


@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_a_damaged_checkpoint_is_named(make_job: Make, watched: Any, damage: str) -> None:
    job = make_job(recipe(steps=1))
    checkpoint = train(job, watched())
    file = checkpoint / "links" / "00" / "00-robot.safetensors"
    if damage == "other":
        flip_a_bit(file)
    else:
        content = file.read_bytes()
        file.unlink()
        if damage == "cut":
            file.write_bytes(content[:-7])
    with pytest.raises(GrinningFaceError, match=r"00-robot.safetensors: (isn't the file|can't be read)"):
        load_checkpoint(checkpoint, job.host)


def test_a_role_without_a_rate_is_named_before_the_first_step(make_job: Make, watched: Any) -> None:
    seen = watched()
    with pytest.raises(GrinningFaceError, match=r"role 'language' trains but has no learning rate.*--set stages\.robot"):
        train(make_job(recipe(**{**ADAPTED, "learning_rate": {"head": 1e-3}})), seen)
    assert not seen.rows


@pytest.mark.parametrize(("role", "hint"), [("langage", "did you mean 'language'"), ("idm", "its roles are .*, head$")])
def test_a_rate_of_a_role_that_the_policy_has_not_is_refused(make_job: Make, role: str, hint: str) -> None:
    document = recipe()
    document["stages"][0]["learning_rate"][role] = 1e-9
    with pytest.raises(GrinningFaceError, match=f"stage 'robot', learning_rate: the policy has no role '{role}'; {hint}"):
        plan_job(make_job(document))


def test_muon_steps_matrices_of_linear_layers_of_its_roles_and_adamw_all_else(make_job: Make, watched: Any) -> None:
    job = make_job(recipe(optimizer={"muon": ["head", "language"]}))
    vla = load_checkpoint(train(job, watched()), job.host).vla
    vla.requires_grad_(True)
    optimizer = make_optimizer(vla, job.recipe.stages[0])
    names = {id(value): name for name, value in vla.named_parameters()}
    stepped = {
        muon: {names[id(v)] for g in optimizer.param_groups if g["muon"] == muon for v in g["params"]} for muon in (True, False)
    }
    assert stepped[True]
    found = {f"{name}.weight" for name, module in vla.named_modules() if isinstance(module, torch.nn.Linear)}
    words = id(vla.backbone.output_embeddings().weight)  # tied: the input embeddings, too, though the module is a Linear
    roles = {name for name in found & set(names.values()) if vla.role_of(name) in ("head", "language")}
    linear = {name for name in roles if id(vla.get_parameter(name)) != words}
    assert any(name.startswith("model.") for name in linear)
    assert stepped[True] == linear
    assert stepped[False] == set(names.values()) - linear
    assert names[words] in stepped[False]


def test_muon_for_a_role_without_a_rate_is_refused(make_job: Make, watched: Any) -> None:
    with pytest.raises(GrinningFaceError, match=r"optimizer\.muon: role 'haed' has no learning rate.*head, language"):
        train(make_job(recipe(optimizer={"muon": ["haed"]})), watched())


def test_muon_over_shards_is_refused(make_job: Make) -> None:
    job = dataclasses.replace(make_job(recipe(optimizer={"muon": ["head"]})), parallel="fsdp")
    check_parallel(job, 1)
    with pytest.raises(GrinningFaceError, match="stage 'robot', optimizer\\.muon: Muon's steps take whole matrices"):
        check_parallel(job, 2)


def test_robot_data_that_disagrees_is_refused(make_job: Make, watched: Any) -> None:
    other = small.Robot("other")
    assert other.conventions
    slower = dataclasses.replace(other.conventions.action, hz=5.0)
    other.conventions = dataclasses.replace(other.conventions, action=slower)
    document = recipe(mixture=[{"source": "robot"}, {"source": "other"}])
    with pytest.raises(MismatchError, match="sources 'robot' and 'other' disagree about action"):
        train(make_job(document, sources={"other": other}), watched())


def test_a_full_disk_ends_in_one_line_and_the_job_goes_on_later(
    make_job: Make, watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    job = make_job(recipe(), save_every=2)
    with monkeypatch.context() as patched:
        patched.setattr("gf_core.training.job.save_file", full)
        with pytest.raises(GrinningFaceError, match=r"can't be written.*free some space"):
            train(job, watched())
    assert train(job, watched()).is_dir()


def test_a_worker_that_is_killed_is_named_and_the_job_goes_on(make_job: Make, watched: Any) -> None:
    class Deadly(small.Robot):
        def sample(self, index: int, wanted: Wanted) -> Sample:
            if deadly and torch.utils.data.get_worker_info() is not None:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().sample(index, wanted)

    deadly = True
    job = dataclasses.replace(make_job(recipe(steps=2), sources={"robot": Deadly()}), workers=1)
    with pytest.raises(GrinningFaceError, match="a process that prepares data was killed"):
        train(job, watched())
    deadly = False
    assert train(job, watched()).is_dir()


def test_workers_change_nothing(make_job: Make, watched: Any) -> None:
    one, two = make_job(recipe(), "one"), dataclasses.replace(make_job(recipe(), "two"), workers=2)
    train(one, watched())
    train(two, watched())
    assert files(one.out) == files(two.out)


def test_a_carried_head_keeps_its_queries_and_what_it_found(make_job: Make, watched: Any) -> None:
    heads = {
        "act": {"id": "gf/regression-v1", "settings": {"width": 32}},
        "fast": {"id": "gf/fast-v1", "settings": {"vocabulary": 48}},
    }
    both = {"heads": [{"name": "act"}, {"name": "fast", "used_at_inference": False}]}

    def document(**changes: Any) -> dict[str, Any]:
        whole = recipe(**changes)
        whole["heads"], whole["stages"][0] = heads, {**whole["stages"][0], **both}
        return whole

    parent = train(make_job(document(), "parent"), watched())
    other = {"robot": small.Robot(seed=9)}
    child = make_job(document(parent=str(parent), steps=1), "child", sources=other)
    before = load_checkpoint(parent, child.host).vla
    train(child, watched())
    loaded = load_checkpoint(child.out / "checkpoint", child.host)
    assert loaded.links[1].heads == loaded.links[0].heads  # though the data is other data
    assert before.queries is not None
    assert loaded.vla.queries is not None
    torch.testing.assert_close(loaded.vla.queries, before.queries, atol=2e-3, rtol=0)  # one step of 1e-3 away


def test_a_stage_in_which_two_heads_act_can_be_where_trainings_part(make_job: Make, watched: Any) -> None:
    document = two_stages()
    document["heads"]["bins"] = {"id": "gf/bins-v1", "settings": {"bins": 16}}
    document["stages"][0]["heads"] = [{"name": "act"}, {"name": "bins"}]
    whole = make_job(document)
    front = Training(whole.recipe, {"robot": "robot"}).front(1)
    checkpoint = train(dataclasses.replace(whole, recipe=front.recipe), watched())
    assert load_checkpoint(checkpoint, whole.host).finished


def test_a_parent_with_other_actions_still_loads(make_job: Make, watched: Any) -> None:
    first = train(make_job(recipe(**ADAPTED, steps=1), "first"), watched())
    wide = small.Robot()
    assert wide.conventions
    field = dataclasses.replace(small.field("action", 4))
    action = dataclasses.replace(wide.conventions.action, field=field)
    numbers = dataclasses.replace(
        wide.conventions.action_statistics,
        **{name: (*getattr(wide.conventions.action_statistics, name), 1.0) for name in ("mean", "std", "max", "q99")},
        **{name: (*getattr(wide.conventions.action_statistics, name), -1.0) for name in ("min", "q01")},
    )
    wide.conventions = dataclasses.replace(wide.conventions, action=action, action_statistics=numbers)
    wide._actions = np.concatenate([wide._actions, np.zeros((len(wide), 1), np.float32)], 1)
    document = recipe(**ADAPTED, steps=1, parent=str(first))
    document["heads"] = {"other": document["heads"]["act"]}
    document["stages"][0]["heads"] = [{"name": "other"}]
    second = make_job(document, "second", sources={"robot": wide})
    loaded = load_checkpoint(train(second, watched()), second.host)
    assert [len(link.conventions.action.field.names) for link in loaded.links] == [3, 4]


def test_a_parent_that_changed_meanwhile_is_refused(make_job: Make, watched: Any) -> None:
    parent = train(make_job(recipe(**ADAPTED, steps=1), "parent"), watched())
    child = make_job(recipe(**ADAPTED, parent=str(parent)), "child")
    with pytest.raises(KeyboardInterrupt):
        train(child, watched(stop_at=2))
    shutil.rmtree(parent.parent)
    train(make_job(recipe(**ADAPTED, steps=1, seed=5), "parent"), watched())
    with pytest.raises(GrinningFaceError, match="the parent isn't the one that this job began with"):
        train(child, watched())


def test_a_gradient_that_is_not_finite_ends_the_job_before_it_does_harm(
    make_job: Make, watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(recipe(), save_every=1)
    real = torch.nn.utils.clip_grad_norm_
    calls = []

    def broken(parameters: Any, limit: float) -> torch.Tensor:
        calls.append(1)
        norm = real(parameters, limit)
        return norm * float("nan") if len(calls) == 3 else norm

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", broken)
    with pytest.raises(GrinningFaceError, match="the gradient is nan at step 3"):
        train(job, watched())
    (state,) = job.out.glob("state-*")
    assert state.name == "state-2"
    assert all(bool(value.isfinite().all()) for value in load_file(state / "parameters.safetensors").values())


def test_a_detached_head_over_a_model_that_is_to_train_is_refused(make_job: Make, watched: Any) -> None:
    document = recipe()
    document["heads"]["act"]["settings"]["readout"] = "mean"
    document["stages"][0]["heads"] = [{"name": "act", "detach": True}]
    with pytest.raises(GrinningFaceError, match="role 'language' is to train, but no loss reaches it"):
        train(make_job(document), watched())


class Erring(small.Robot):
    """Its chunks' second action isn't to be imitated, and lies at ``error``."""

    def __init__(self, error: float) -> None:
        super().__init__()
        self._error = np.float32(error)

    def sample(self, index: int, wanted: Wanted) -> Sample:
        sample = super().sample(index, wanted)
        assert sample.actions is not None
        sample.actions[1] = self._error
        return dataclasses.replace(sample, action_mask=np.array([True, False, True, True]))


def test_heads_fit_on_nothing_that_is_not_to_be_imitated(make_job: Make, watched: Any) -> None:
    document = recipe(heads={"act": {"id": "gf/bins-v1", "settings": {"bins": 8, "spacing": "quantile"}}}, steps=1)
    document["stages"][0]["heads"] = [{"name": "act"}]
    centres = []
    for error in (0.0, 3.0):
        job = make_job(document, f"error-{error}", sources={"robot": Erring(error)})
        centres.append(load_checkpoint(train(job, watched()), job.host).vla.head("act").state())
    assert centres[0] == centres[1]


def test_an_element_that_stands_still_is_predicted_as_exactly_as_it_stands() -> None:
    still = small.statistics(np.tile(np.float32([[0.0, 0.5]]), (10, 1)))
    normalizer = Normalizer.fit("quantile", still, still=STILL)
    assert np.abs(normalizer.denormalize(np.float32([0.03, -0.03])) - [0.0, 0.5]).max() < 1e-5


@pytest.mark.parametrize("kind", ["quantile", "min-max"])
def test_an_element_that_moves_rarely_is_normalised_by_its_range(kind: Kind) -> None:
    actions = np.random.default_rng(0).uniform(-0.01, 0.01, (1000, 3)).astype(np.float32)
    actions[:, 0] = 0
    actions[:9, 0] = [0.3, -0.3, 0.3, 0.1, 0.2, 0.3, -0.1, 0.3, 0.3]
    actions[:, 2] = 0.5
    statistics = small.statistics(actions)
    normalizer = Normalizer.fit(kind, statistics, still=STILL)
    assert np.abs(normalizer.normalize(actions)).max(0) == pytest.approx([1, 1, 0], abs=0.03)
    assert normalizer.scale[0] == pytest.approx(0.3)
    assert normalizer.scale[2] == STILL
    assert Normalizer.fit(kind, statistics).scale[2] == 1


def test_a_checkpoint_keeps_the_normalisers_that_it_was_trained_with(
    make_job: Make, watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a later version makes of the same statistics."""
    job = make_job(recipe(steps=1))
    checkpoint = train(job, watched())
    before = load_checkpoint(checkpoint, job.host).vla
    fit = Normalizer.fit
    monkeypatch.setattr(Normalizer, "fit", lambda kind, *rest, **more: fit("min-max", *rest, **more))
    after = load_checkpoint(checkpoint, job.host).vla
    assert (after.action_normalizer, after.proprio_normalizer) == (before.action_normalizer, before.proprio_normalizer)
