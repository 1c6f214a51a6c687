"""Each rule, broken: a forger who keeps every hash consistent is still found, and the first bad file, row or step is named."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gf_core.canonical import canonical_json, sha256
from gf_core.errors import GrinningFaceError, SchemaError
from gf_core.leaderboard import RULES, Verdict, rules, to_document, verify_file
from gf_core.leaderboard.archive import open_archive, write_archive
from gf_core.leaderboard.pack import pack
from gf_core.leaderboard.plausibility import Traits, check_done
from gf_core.schemas import validate
from gf_core.trajectories import Trajectory

from .forging import CARD, Forgery, bundle, npz_with, probe_of

ROOT = Path(__file__).parents[2]


def found(verdict: Verdict, code: str) -> tuple[str, str]:
    finding = next(finding for finding in verdict.findings if finding.code == code)
    return finding.status, finding.detail


def assert_broken(verdict: Verdict, code: str, *words: str) -> None:
    assert (verdict.badge, verdict.first_failed, verdict.runs) == ("disputed", code, ())
    status, detail = found(verdict, code)
    assert status == "fail"
    for word in words:
        assert word in detail


# --- what passes


def test_a_real_run_is_replayed(smoke, verdict):
    passed = verdict(smoke("gf/random-v1"))
    assert (passed.badge, passed.first_failed) == ("replayed", None)
    assert {finding.status for finding in passed.findings} == {"pass", "unchecked"}
    assert [finding.code for finding in passed.findings if finding.status == "unchecked"] == ["GF421", "GF422", "GF424"]
    (run,) = passed.runs
    assert (run.suite, run.episodes, run.replayed_by) == ("gf/smoke@1", 12, "actions")
    assert [split.split for split in run.splits] == ["id", "train", "val"]


def test_a_relabelled_expert_passes_only_as_physics_verified_and_is_flagged(forge, verdict):
    passed = verdict(forge().write())
    assert passed.badge == "replayed"
    document = to_document([passed])
    assert document["submissions"][0]["means"] == "physics verified, policy unverified"
    status, detail = found(passed, "GF450")
    assert (status, "12 of 12" in detail, "run again" in detail) == ("flag", True, True)
    assert sum(split.metrics[0].rate.k for split in passed.runs[0].splits) == 12


def test_two_runs_of_one_policy_pass_together(smoke, verdict):
    passed = verdict(smoke("gf/random-v1"), smoke("gf/random-v1", 1))
    assert (passed.badge, [run.path for run in passed.runs]) == ("replayed", ["runs/1", "runs/2"])


def test_the_verdict_is_a_document_and_the_same_every_time(forge, verdict):
    documents = [to_document([verdict(forge().write())]) for _ in range(2)]
    assert documents[0] == documents[1]
    validate({"schema_version": "1.0", "kind": "verdict", **documents[0]}, "verdict", source="verdict")


def test_on_another_platform_controls_are_driven_and_that_is_flagged(forge, verdict, monkeypatch):
    forgery = forge()
    forgery.identity["versions"]["mujoco"] = "3.9.9"
    passed = verdict(forgery.write())
    assert (passed.badge, passed.runs[0].replayed_by) == ("replayed", "controls")
    assert found(passed, "GF451")[0] == "flag"
    assert "mujoco 3.9.9" in found(passed, "GF451")[1]


def test_faults_that_are_allowed_are_flagged_with_what_they_could_hide():
    from gf_core.leaderboard.plausibility import left_out

    rows = [{"episode": f"e{n}", "ending": "success", "success": True} for n in range(99)]
    run = SimpleNamespace(path="runs/1", records=rows)
    assert left_out(run) == ""
    rows.append({"episode": "e99", "ending": "env_error", "success": False})
    assert left_out(run).endswith("the first 'e99', are in no rate; with them success would be 99 to 100 of 100")


# --- run.json


def set_at(pointer: str, value: object):
    def change(forgery: Forgery) -> None:
        node = forgery.identity
        *parents, last = pointer.split("/")
        for key in parents:
            node = node[key]
        node[last] = value

    return change


IDENTITY = {
    "another major version": (set_at("schema_version", "2.0"), "GF404", ("run.json", "2.0")),
    "a text as a flag": (set_at("partial", "no"), "GF404", ("/partial",)),
    "an unknown suite": (set_at("suite/id", "gf/smoke@2"), "GF405", ("gf/smoke@2",)),
    "a path as a suite": (set_at("suite/id", "/etc/passwd.json"), "GF405", ("not the id",)),
    "another suite's hash": (set_at("suite/sha256", "0" * 64), "GF405", ("000000000000",)),
    "another suite": (set_at("suite/id", "gf/quick@1"), "GF405", ("gf/quick@1",)),
    "partial": (set_at("partial", True), "GF406", ("partial",)),
    "partial but not saying so": (set_at("episodes", ["id-u1f573-0"]), "GF406", ("episodes",)),
    "unpackaged": (set_at("unpackaged", True), "GF406", ("unpackaged",)),
    "another rate": (set_at("control_hz", 10), "GF406", ("control_hz",)),
    "another setting": (set_at("environment/config", {"render": "fast"}), "GF406", ("environment/config",)),
    "late actions": (set_at("timing", {"mode": "realtime", "latency_steps": 2}), "GF406", ("timing",)),
    "another deck": (set_at("decks", {"gf/emoji-noto@1": "0" * 64}), "GF406", ("decks",)),
    "a plugin file": (set_at("files", {"mine.py": "0" * 64}), "GF406", ("files",)),
    "a local policy": (set_at("policy/id", "local/mine-v1"), "GF406", ("local/mine-v1",)),
    "no version of NumPy": (lambda f: f.identity["versions"].pop("numpy"), "GF413", ("numpy",)),
    "no version of the policy": (lambda f: f.identity["versions"].pop("acme-vla"), "GF413", ("acme-vla",)),
    "another version of the policy": (set_at("versions/acme-vla", "2.0"), "GF413", ("2.0", "1.0")),
    "a working copy": (set_at("versions/torch", "2.9.dev0+cpu"), "GF413", ("torch",)),
    "privileged": (set_at("policy/privileged", True), "GF414", ("acme-vla/open-v1",)),
    "privileged but not saying so": (set_at("policy/id", "gf/expert-v1"), "GF414", ("gf/expert-v1",)),
}


@pytest.mark.parametrize("name", IDENTITY)
def test_run_json(forge, name, host, tmp_path):
    change, code, words = IDENTITY[name]
    forgery = forge()
    change(forgery)
    assert_broken(verify_file(raw(tmp_path, forgery), host), code, *words)


def raw(tmp_path: Path, forgery: Forgery, **kwargs: bool) -> Path:
    """A submission as a forger writes it: without our checks, and with everything that follows from the run's files right."""
    return bundle(tmp_path / "raw.zip", forgery.write(**kwargs))


# --- rows


def swap(rows, a, b):
    rows[a], rows[b] = rows[b], rows[a]


ROWS = {
    "dropped in the middle": (lambda rows: rows.pop(5), "GF407", "episodes.jsonl:6"),
    "dropped at the end": (lambda rows: rows.pop(), "GF407", "11 of 12 episodes"),
    "all dropped": (lambda rows: rows.clear(), "GF407", "0 of 12 episodes"),
    "reordered": (lambda rows: swap(rows, 3, 4), "GF407", "episodes.jsonl:4"),
    "one twice instead of another": (lambda rows: rows.__setitem__(7, dict(rows[6])), "GF407", "episodes.jsonl:8"),
    "one twice": (lambda rows: rows.append(dict(rows[-1])), "GF407", "one more"),
    "another split": (lambda rows: rows[2].update(split="val"), "GF407", "split"),
    "another cluster": (lambda rows: rows[2].update(cluster="x"), "GF407", "cluster"),
    "other factors": (lambda rows: rows[2]["factors"].update(hard=not rows[2]["factors"]["hard"]), "GF407", "factors"),
    "an unknown field": (lambda rows: rows[9].update(bonus=1), "GF404", "episodes.jsonl:10"),
    "a boolean as steps": (lambda rows: rows[9].update(steps=True), "GF404", "/steps"),
    "a fault that succeeded": (lambda rows: rows[9].update(ending="env_error", reason="x"), "GF404", "episodes.jsonl:10"),
    "a reason without a fault": (lambda rows: rows[9].update(reason="x"), "GF404", "episodes.jsonl:10"),
    "other steps": (lambda rows: rows[9].update(steps=rows[9]["steps"] - 1), "GF410", "steps recorded"),
    "other questions": (lambda rows: rows[9].update(chunks=1), "GF410", "asked"),
    "too many faults": (
        lambda rows: rows[9].update(success=False, ending="env_error", reason="x"),
        "GF412",
        "1 of 12 episodes",
    ),
    "another clipping": (lambda rows: rows[9].update(clipped_steps=7), "GF420", "clipped_steps: 7 recorded"),
    "another metric": (lambda rows: rows[9]["metrics"].update(slip=0.5), "GF420", "slip: 0.5 recorded"),
    "another state": (lambda rows: rows[9]["metrics"].update(state_sha256="0" * 64), "GF420", "state_sha256"),
    "an unknown metric": (lambda rows: rows[9]["metrics"].update(score=1), "GF420", "score: 1 recorded"),
    "a missing metric": (lambda rows: rows[9]["metrics"].pop("slip"), "GF420", "slip: 'nothing' recorded"),
    "a policy's fault": (
        lambda rows: rows[9].update(success=False, ending="policy_error", reason="x"),
        "GF420",
        "it is over",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_with_a_new_chain(forge, host, tmp_path, name):
    change, code, word = ROWS[name]
    forgery = forge()
    names = [row["episode"] for row in forgery.rows]
    change(forgery.rows)
    verdict = verify_file(raw(tmp_path, forgery), host)
    assert_broken(verdict, code, word)
    if code == "GF420":
        assert names[9] in found(verdict, code)[1]


def test_a_failure_made_a_success_is_named_by_its_episode(forge, host, tmp_path):
    forgery = forge("gf/random-v1")
    forgery.rows[4].update(success=True, ending="success")
    assert_broken(verify_file(raw(tmp_path, forgery), host), "GF420", forgery.rows[4]["episode"], "success: True recorded")


@pytest.mark.parametrize("change", [lambda r: r[4].update(success=False), lambda r: r.pop(4), lambda r: swap(r, 4, 5)])
def test_rows_without_a_new_chain(forge, host, tmp_path, change):
    forgery = forge()
    change(forgery.rows)
    verdict = verify_file(raw(tmp_path, forgery, chain=False), host)
    assert verdict.first_failed in ("GF407", "GF408")
    assert "episodes.jsonl:" in found(verdict, verdict.first_failed)[1]


# --- recordings


def edit(name: str, step: int, value: float):
    def change(trajectory: Trajectory) -> Trajectory:
        getattr(trajectory, name)[step, 0] = value
        return trajectory

    return change


def test_an_edited_action_is_named_by_step(forge, host, tmp_path):
    forgery = forge()
    trajectory = forgery.trajectory(5)
    trajectory.actions[20, 0] += 0.01
    forgery.record(5, trajectory)
    assert_broken(
        verify_file(raw(tmp_path, forgery), host), "GF420", f"{forgery.rows[5]['episode']} (episode 6), step 21: controls"
    )


def test_an_edited_control_is_named_by_step(forge, host, tmp_path):
    forgery = forge()
    trajectory = forgery.trajectory(5)
    trajectory.controls[20, 2] = np.nextafter(trajectory.controls[20, 2], 1)
    forgery.record(5, trajectory)
    assert_broken(verify_file(raw(tmp_path, forgery), host), "GF420", "step 21: controls[2]")


def test_swapped_recordings_are_named(forge, host, tmp_path):
    forgery = forge()
    first, second = forgery.trajectory(2), forgery.trajectory(3)
    for number, trajectory in ((2, second), (3, first)):
        forgery.record(number, trajectory)
        forgery.rows[number].update(steps=len(trajectory.actions), chunks=len(trajectory.chunk_starts))
    assert_broken(verify_file(raw(tmp_path, forgery), host), "GF420", forgery.rows[2]["episode"])


@pytest.mark.parametrize(
    ("change", "code", "word"),
    [
        (edit("actions", 3, np.nan), "GF410", "isn't finite"),
        (edit("actions", 3, 1e6), "GF410", "beyond 100 times"),
        (edit("controls", 3, np.inf), "GF410", "control 0 at step 3"),
        (lambda t: npz_with(t, controls=t.controls.astype("<f4")), "GF409", "float64"),
        (lambda t: npz_with(t, actions=t.actions.astype("<f8")), "GF409", "float32"),
        (lambda t: npz_with(t, extra=t.actions), "GF409", "extra.npy"),
        (lambda t: b"not a zip", "GF409", "not a trajectory"),
        (lambda t: Trajectory(actions=t.actions, chunk_starts=t.chunk_starts[::-1], controls=t.controls), "GF410", "ascending"),
        (lambda t: Trajectory(actions=t.actions[:, :6], chunk_starts=t.chunk_starts, controls=t.controls), "GF410", "6 action"),
    ],
)
def test_recordings_that_no_runner_writes(forge, host, tmp_path, change, code, word):
    forgery = forge()
    forgery.record(5, change(forgery.trajectory(5)))
    assert_broken(verify_file(raw(tmp_path, forgery), host), code, word, forgery.rows[5]["episode"])


def test_another_recording_than_the_row_names(forge, host, tmp_path):
    forgery = forge()
    forgery.rows[5]["trajectory_sha256"] = "0" * 64
    assert_broken(verify_file(raw(tmp_path, forgery), host), "GF409", forgery.rows[5]["episode"])


# --- card, manifest, more than one run


def test_a_card_that_lacks_something(forge, host, tmp_path):
    path = bundle(tmp_path / "a.zip", forge().write(), card={**CARD, "backbone": None, "name": "n" * 10_000})
    assert_broken(verify_file(path, host), "GF403", "card.json#/")
    path = bundle(tmp_path / "b.zip", forge().write(), card={**CARD, "name": "\u202egnp.exe"})
    assert_broken(verify_file(path, host), "GF403", "/name")
    assert verify_file(path, host).name is None


@pytest.mark.parametrize(
    ("trained", "word"),
    [(["val"], "it was trained on"), (["train", "u1f336"], "'u1f336'"), (["vall"], "did you mean 'val'")],
)
def test_targets_that_it_was_trained_on(forge, verdict, trained, word):
    assert_broken(verdict(forge().write(), trained_items=trained), "GF416", word)


def test_what_is_trained_on_elsewhere_does_no_harm(forge, verdict):
    """Pretraining on other robot data shows cards of other decks."""
    trained = ["train", "rest", "red"]
    assert verdict(forge().write(), trained_items=trained, selected_by=["gf/dev@1"]).badge == "replayed"


def test_a_checkpoint_chosen_by_test_results(forge, verdict):
    assert_broken(verdict(forge().write(), selected_by=["gf/dev@1", "gf/standard@1"]), "GF417", "gf/standard@1")


def test_runs_of_two_policies_or_the_same_run_twice(forge, smoke, verdict):
    assert_broken(verdict(smoke("gf/random-v1"), forge().write()), "GF415", "/policy/id")
    assert_broken(verdict(smoke("gf/random-v1"), smoke("gf/random-v1")), "GF415", "same run as runs/1")
    copy = forge()
    copy.identity["policy"]["execute_steps"] = 20
    assert_broken(verdict(forge().write(), copy.write()), "GF415", "/policy/execute_steps")


def test_what_the_manifest_says_of_a_run_is_worked_out_again(forge, host, tmp_path):
    def lie(manifest):
        manifest["runs"][0]["episodes"] = 1200

    path = bundle(tmp_path / "a.zip", forge().write(), manifest=lie)
    assert_broken(verify_file(path, host), "GF402", "episodes", "is 1200 and should be 12")


@pytest.mark.parametrize("what", ["changed", "unlisted", "missing", "foreign", "no manifest", "no card", "renumbered"])
def test_files_that_are_not_those_of_the_manifest(forge, submit, host, tmp_path, what):
    with open_archive(submit(forge().write())) as archive:
        content = {name: archive.read(name, 1 << 24) for name in archive.members}
    name = "runs/1/run.json"
    if what == "changed":
        content[name] = content[name].replace(b"acme", b"ACME")
    elif what == "unlisted":
        content["runs/2/run.json"] = b"{}"
    elif what == "foreign":
        content["runs/1/evil.pkl"] = b""
    elif what == "renumbered":
        content = {key.replace("runs/1/", "runs/2/"): data for key, data in content.items()}
    else:
        del content[{"missing": name, "no manifest": "submission.json", "no card": "card.json"}[what]]
    write_archive(tmp_path / "b.zip", sorted(content.items()))
    assert_broken(verify_file(tmp_path / "b.zip", host), "GF402")


# --- implausible


def test_a_policy_that_holds_still_is_no_entry(smoke, verdict):
    assert_broken(verdict(smoke("gf/null-v1")), "GF419", "12 of 12 episodes")


def test_a_recording_copied_to_another_episode(forge, host, tmp_path):
    forgery = forge("gf/random-v1")
    forgery.record(5, forgery.trajectory(4))
    assert_broken(verify_file(raw(tmp_path, forgery), host), "GF418", *(forgery.rows[n]["episode"] for n in (4, 5)))


def test_an_empty_entry(forge, host, tmp_path):
    forgery = forge()
    for number, row in enumerate(forgery.rows):
        old = forgery.trajectory(number)
        forgery.record(number, Trajectory(actions=old.actions[:0], chunk_starts=old.chunk_starts[:1], controls=old.controls[:0]))
        row.update(steps=0, chunks=1, success=False, ending="policy_error", reason="x", clipped_steps=0)
    assert_broken(verify_file(raw(tmp_path, forgery), host), "GF419", "12 of 12 episodes are empty")


def test_a_success_without_motion(forge, host, tmp_path):
    forgery = forge()
    trajectory = forgery.trajectory(3)
    trajectory.controls[:] = trajectory.controls[0]
    forgery.record(3, trajectory)
    assert_broken(verify_file(raw(tmp_path, forgery), host), "GF419", "a success without motion", forgery.rows[3]["episode"])


@pytest.mark.parametrize(("success", "count", "broken"), [(True, 10, True), (True, 9, False), (False, 10, False)])
def test_rows_that_are_all_alike_are_implausible_where_they_succeed(success, count, broken):
    rows = [{"episode": f"e{n}", "ending": "x", "steps": 7, "success": success, "metrics": {"a": 1}} for n in range(count)]
    traits = {row["episode"]: Traits(actions="", idle=False, moved=True) for row in rows}
    with pytest.raises(GrinningFaceError, match="alike, and successes") if broken else contextlib.nullcontext():
        check_done(SimpleNamespace(records=rows, path="runs/1"), traits)
    assert "10 or more episodes don't all succeed in equally many steps with equal metrics" in RULES["GF419"].checks


def test_all_rows_a_success(forge, host, tmp_path):
    forgery = forge("gf/random-v1")
    for row in forgery.rows:
        row.update(success=True, ending="success")
        row["metrics"].update(executed=True, recognized=True, intent_correct=True, success_on_card=True)
    assert_broken(verify_file(raw(tmp_path, forgery), host), "GF420", forgery.rows[0]["episode"])


# --- the table


def test_codes_ascend_and_the_page_is_written_from_the_table():
    assert list(RULES) == sorted(RULES)
    page = ROOT / "docs" / "rules.md"
    if page.exists():
        assert page.read_text(encoding="utf-8") == rules.as_markdown(), (
            "python -m gf_core.leaderboard.rules --write docs/rules.md"
        )


def test_hostile_text_in_rows_is_harmless(forge, host, tmp_path):
    forgery = forge()
    forgery.rows[0]["ending"] = "\u202e\u001b[2J=cmd()" * 1000
    verdict = verify_file(raw(tmp_path, forgery), host)
    assert_broken(verdict, "GF420")
    detail = found(verdict, "GF420")[1]
    assert detail.isprintable()
    assert len(detail) < 600


def test_the_chain_begins_with_run_json(forge, host, tmp_path):
    forgery = forge()
    path = forgery.write()
    head = json.loads((path / "run.json").read_bytes())
    head["versions"]["acme-vla"] = "1.1"
    (path / "run.json").write_text(canonical_json(head) + "\n")
    assert sha256((path / "run.json").read_bytes()) != forgery.rows[0]["previous"]
    verdict = verify_file(bundle(tmp_path / "a.zip", path), host)
    assert found(verdict, "GF408") == ("fail", "runs/1/episodes.jsonl:1: doesn't follow from the row before it")


@pytest.mark.parametrize("name", [" ", "\u3164", "\u2800 \u00ad", "\u0301", "\ufe0f"])
def test_a_name_that_shows_as_nothing(forge, host, tmp_path, name):
    run, card = forge("gf/random-v1").write(), {**CARD, "name": name}
    checked = verify_file(bundle(tmp_path / "a.zip", run, card=card), host, threads=1)
    assert_broken(checked, "GF403", "card.json#/name: the name shows as nothing")
    with pytest.raises(SchemaError, match="shows as nothing"):
        pack([run], card, tmp_path / "b.zip", host)


# --- a probe


def test_a_probe_comes_along_and_is_held_against_the_runs(smoke, host, tmp_path):
    run = smoke("gf/random-v1")
    file = pack([run], CARD, tmp_path / "entry.zip", host, probe=probe_of(tmp_path / "probe.json")).path
    checked = verify_file(file, host, threads=1)
    assert (checked.badge, found(checked, "GF423")[0]) == ("replayed", "pass")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["suite"].update(sha256="0" * 64), "of none of the runs' suites"),
        (lambda d: d.update(suite=None), "of none of the runs' suites"),
        (lambda d: d["answers"][0].update(key="val-nobody-0"), "is no episode of gf/smoke@1"),
        (lambda d: d["answers"].append(d["answers"][0]), "is asked about twice"),
        (lambda d: d["answers"][0].update(after=d["answers"][0]["before"]), "after training, and its answers give"),
    ],
)
def test_a_probe_that_does_not_fit_is_named(smoke, host, tmp_path, change, words):
    run = smoke("gf/random-v1")
    probe = probe_of(tmp_path / "probe.json", change)
    checked = verify_file(pack([run], CARD, tmp_path / "entry.zip", host, probe=probe).path, host, threads=1)
    assert_broken(checked, "GF423", words)
