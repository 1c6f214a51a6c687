"""What a checkpoint says is read without LeRobot, and what doesn't fit, or would run code, is refused before it is imported."""

from __future__ import annotations

import dataclasses
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from gf_core.cli.main import main
from gf_core.contracts import PolicyContext
from gf_core.errors import GrinningFaceError, MismatchError
from gf_core.plugins import load_plugins
from gf_core.schemas import apply_settings
from gf_core.specs import PolicyInterface, to_json
from gf_envs.tabletop.spec import TABLETOP, action_spec
from gf_policies.lerobot.checkpoint import locate, read_checkpoint
from gf_policies.lerobot.policy import interface, make_lerobot
from gf_policies.lerobot.settings import SETTINGS

from .conftest import SEES, STATE, VISUAL, Write


def settings(checkpoint: object, *pairs: str) -> dict[str, Any]:
    return dict(apply_settings((f"checkpoint={checkpoint}", *pairs), SETTINGS, source="--set"))


def asked(checkpoint: object, *pairs: str) -> PolicyInterface:
    return interface(settings(checkpoint, *pairs))


def refusal(checkpoint: object, *pairs: str) -> str:
    with pytest.raises(GrinningFaceError) as caught:
        asked(checkpoint, *pairs)
    return str(caught.value)


def made(checkpoint: object, *pairs: str) -> None:
    action = action_spec(20)
    context = PolicyContext(env=dataclasses.replace(TABLETOP, action=action), action=action, slots=1)
    make_lerobot(settings(checkpoint, *pairs), context)


def test_it_sees_what_its_features_are(write: Write) -> None:
    seen = asked(write()).observes
    assert (seen.cameras, seen.size, seen.proprio, seen.history) == (("third",), (48, 48), True, (0,))
    blind = write("stateless", input_features={"observation.images.wrist": {"type": "VISUAL", "shape": [3, 60, 80]}})
    assert (asked(blind).observes.cameras, asked(blind).observes.size) == (("wrist",), (60, 80))
    assert not asked(blind).observes.proprio


def test_cameras_are_renamed_by_the_feature_or_its_last_part(write: Write) -> None:
    two = {"observation.images.top": VISUAL, "observation.images.wrist": VISUAL}
    folder = write(input_features=two)
    for theirs in ("observation.images.top", "top"):
        assert asked(folder, f"cameras.third={theirs}").observes.cameras == ("third", "wrist")
    assert "it has no camera 'tip'; did you mean" in refusal(folder, "cameras.third=tip")
    assert "two cameras have the same feature" in refusal(folder, "cameras.third=top", "cameras.demo=top")


def test_a_renamed_camera_takes_no_other_ones_place(write: Write) -> None:
    folder = write(input_features={"observation.images.top": VISUAL, "observation.images.third": VISUAL})
    assert "observation.images.top and observation.images.third would both be the camera 'third'" in refusal(
        folder, "cameras.third=top"
    )
    assert asked(folder, "cameras.third=top", "cameras.demo=third").observes.cameras == ("third", "demo")


def test_an_image_that_names_no_camera_is_told_one(write: Write) -> None:
    folder = write(input_features={"observation.image": VISUAL})
    assert "--set cameras.third=observation.image" in refusal(folder)
    assert asked(folder, "cameras.third=observation.image").observes.cameras == ("third",)


def test_cameras_that_policies_fill_in_themselves_are_left_to_them(write: Write) -> None:
    assert asked(write(input_features={**SEES, "observation.images.empty_camera_0": VISUAL})).observes.cameras == ("third",)


@pytest.mark.parametrize(
    ("features", "told"),
    [
        ({"observation.environment_state": {"type": "ENV", "shape": [4]}}, "'observation.environment_state' (ENV)"),
        ({"observation.images.wrist": {"type": "VISUAL", "shape": [3, 96, 96]}}, "observation.images.wrist [3, 96, 96]"),
        ({"observation.images.wrist": {"type": "VISUAL", "shape": [1, 48, 48]}}, "all have to be 3 × H × W"),
        ({"observation.images.wrist": {"type": "VISUAL"}}, "input_features isn't as LeRobot writes it"),
        ({"observation.images.wrist": 3}, "input_features isn't as LeRobot writes it"),
    ],
)
def test_inputs_that_nobody_can_show(write: Write, features: dict[str, Any], told: str) -> None:
    assert told in refusal(write(input_features={**SEES, **features}))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"output_features": {"action": {"type": "ACTION", "shape": [14]}}}, "its actions have the shape [14], and those of gf/"),
        ({"output_features": {}}, "it has no output 'action'"),
        (
            {"input_features": {"observation.state": {**STATE, "shape": [6]}}},
            "has the shape [6], and the state of gf/tabletop-v1 [7]",
        ),
    ],
)
def test_shapes_that_are_not_the_environments(write: Write, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(MismatchError) as caught:
        made(write(**changes))
    assert told in str(caught.value)


def test_conventions_beside_the_weights_are_held_against_the_environment(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write()
    assert asked(folder).action is None
    said = {
        "schema_version": "1.0",
        "kind": "demos",
        "action": to_json(action_spec(10)),
        "proprio": to_json(TABLETOP.proprio),
        "cameras": [{"name": "third", "feature": "observation.images.third"}],
    }
    (folder / "grinningface.json").write_text(json.dumps(said))
    assert asked(folder).action == action_spec(10)
    assert main(["run", "gf/smoke@1", "--policy", "gf/lerobot-v1", "--set", f"checkpoint={folder}"]) == 2
    assert "action.hz: gf/lerobot-v1 emits 10 and gf/tabletop-v1 takes 20.0" in capsys.readouterr().err
    elsewhere = folder.parent / "said.json"
    names = ["a", "b", "c", "d", "e", "f", "g"]
    elsewhere.write_text(json.dumps({**said, "proprio": {**said["proprio"], "names": names}}))  # type: ignore[dict-item]
    with pytest.raises(MismatchError, match="its state's names is"):
        made(folder, f"conventions={elsewhere}")
    assert "there is no such file" in refusal(folder, "conventions=nowhere.json")


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"class": "os.system", "config": {}}, "the step os.system can run code that isn't LeRobot's"),
        ({"registry_name": 7, "class": "a.B"}, "can run code"),
        ({"registry_name": "", "class": "device_processor"}, "can run code"),
        ({"class": "device_processor"}, "can run code"),
        ({"registry_name": "action_tokenizer_processor", "config": {}}, "can run code"),
        ({"registry_name": "reward_classifier_processor", "config": {"pretrained_path": "a/b"}}, "can run code"),
        (
            {"registry_name": "normalizer_processor", "state_file": "../other.safetensors"},
            "there is no file '../other.safetensors'",
        ),
        ({"registry_name": "normalizer_processor", "state_file": "gone.safetensors"}, "there is no file 'gone.safetensors'"),
        ("text", "it has no list of steps"),
    ],
)
def test_processors_that_would_run_code_or_lack_a_file(write: Write, step: object, told: str) -> None:
    assert told in refusal(write(steps=[step]))


def test_types_that_load_code_of_others_are_played_only_when_told_to(write: Write) -> None:
    folder = write(type="groot")
    assert "policies of type 'groot' can run code that isn't LeRobot's; read what would run" in refusal(folder)
    assert asked(folder, "trust_remote_code=true").observes.cameras == ("third",)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"use_peft": True}, "it is an adapter"),
        ({"type": None}, "it doesn't say its type"),
        ({"n_action_steps": 0}, "n_action_steps is 0"),
        ({"n_obs_steps": "2"}, "n_obs_steps is '2'"),
        ({"input_features": [1]}, "input_features isn't"),
    ],
)
def test_configurations_that_can_not_be_played(write: Write, changes: dict[str, Any], told: str) -> None:
    assert told in refusal(write(**changes))


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"steps": 3}'])
@pytest.mark.parametrize("name", ["config.json", "policy_preprocessor.json"])
def test_files_that_are_not_json(write: Write, name: str, content: bytes) -> None:
    folder = write()
    (folder / name).write_bytes(content)
    assert name in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "policy_preprocessor.json", "policy_postprocessor.json"])
def test_files_that_are_missing(write: Write, name: str) -> None:
    folder = write()
    (folder / name).unlink()
    assert f"it has no {name}" in refusal(folder)


def test_the_hub_is_only_asked_for_a_commit() -> None:
    for name in ("acme/arm", "acme/arm@main", "acme/arm@1234567"):
        with pytest.raises(GrinningFaceError, match="only a commit is taken: acme/arm@ and its 40 hex digits"):
            locate(name)
    with pytest.raises(GrinningFaceError, match=r"there is no folder 'nowhere'$"):
        locate("nowhere")


def test_a_commit_is_fetched_without_code(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, commit, asked_for = write(), "0123456789" * 4, []

    def fetch(repository: str, **options: object) -> str:
        asked_for.append((repository, options))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert asked(f"acme/arm@{commit}").observes.cameras == ("third",)
    assert asked_for == [("acme/arm", {"revision": commit, "allow_patterns": ["*.json", "*.safetensors"]})]


def test_what_it_is_changes_with_any_of_its_files(write: Write) -> None:
    one, other = write("one"), write("other")
    assert asked(one).fingerprint == asked(other).fingerprint
    (other / "normalizer.safetensors").write_bytes(b"else")
    assert asked(one).fingerprint != asked(other).fingerprint


def test_chunks_are_asked_for_where_that_is_the_same(write: Write) -> None:
    def chunked(name: str, **changes: Any) -> bool:
        return read_checkpoint(write(name, **changes), trust_remote_code=False).chunked

    assert chunked("plain")
    assert not chunked("ensembled", temporal_ensemble_coeff=0.01)
    assert not chunked("diffusion", type="diffusion", n_obs_steps=2)
    assert not chunked("history", n_obs_steps=2)
    with pytest.raises(GrinningFaceError, match="a diffusion policy with these settings is asked at every step"):
        made(Path(write("asked", type="diffusion")), "play=chunks")


@pytest.mark.skipif(find_spec("lerobot") is not None, reason="LeRobot is installed")
def test_without_lerobot_it_says_what_to_install(write: Write, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    where = ["--set", f"checkpoint={write()}", "--out", str(tmp_path / "run")]
    assert main(["run", "gf/smoke@1", "--policy", "gf/lerobot-v1", "--limit", "1", *where]) == 2
    told = capsys.readouterr().err
    assert "LeRobot isn't installed here" in told
    assert "grinningface[lerobot]" in told
    assert "--isolate" in told


def test_listing_it_imports_nothing() -> None:
    assert load_plugins().policies.get("gf/lerobot-v1").extra == "grinningface[lerobot]"
