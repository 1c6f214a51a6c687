"""The conformance kit: what is sound passes, and each way of being broken is found by its own check."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import SkipTest

import pytest
from reach_suites import FAKES, suite_document

from gf_core.cli.main import main
from gf_core.plugins import load_plugins
from gf_core.schemas import validate
from gf_core.testing import PluginKit, check_plugin
from gf_core.testing.kit import CHECKS

POLICY = """
import random
import time

import numpy as np
from gf_core.contracts import ActionChunk
from gf_core.hookspecs import hookimpl
from gf_core.specs import Observes, PolicySpec

{above}


class Mine:
    calls = 0

    def __init__(self, config, context):
        self._width = context.action.field.shape[0]
        self._rng, self._seen = {{}}, 0

    def reset(self, slots, seeds):
        {reset}
        for slot, seed in zip(slots, seeds):
            self._rng[int(slot)] = np.random.default_rng(seed)

    def act(self, observation):
        actions = np.zeros((len(observation.slots), 4, self._width), np.float32)
        for row, slot in enumerate(observation.slots):
            actions[row, :, 0] = self._rng[int(slot)].normal(0, 0.005) + observation.images["third"][row].mean() * 1e-5
        {act}
        return ActionChunk(actions=actions, execute_steps=2)

    def close(self):
        pass


SCHEMA = {{"type": "object", "properties": {{"speed": {{"type": "number", "default": {default}}}}}}}


@hookimpl
def {hook}(register):
    spec = {{"summary": "mine", "entry_point": "mine:{entry}", "observes": Observes(cameras=("third",), size=(32, 32))}}
    register(PolicySpec(id="local/mine-v1", config_schema=SCHEMA, **spec))
"""
SOUND = {"above": "", "reset": "pass", "act": "pass", "default": "1", "hook": "gf_register_policies", "entry": "Mine"}
BROKEN = {
    "misspelled": ({"hook": "gf_register_policy"}, "GF501", "there is no hook 'gf_register_policy'"),
    "raises": ({"above": "raise RuntimeError('no')"}, "GF501", "RuntimeError: no"),
    "slow": ({"above": "time.sleep(0.3)"}, "GF502", "more than 0.2 s"),
    "absent": ({"entry": "Yours"}, "GF503", "has no attribute 'Yours'"),
    "default": ({"default": "'fast'"}, "GF501", "speed"),
    "shape": ({"act": "actions = actions[:, :, :2]"}, "GF511", "of shape (3, 4, 2), not (3, T, 7)"),
    "dtype": ({"act": "actions = actions.astype(float)"}, "GF511", "float64"),
    "nan": ({"act": "actions[1, 2, 3] = np.nan"}, "GF511", "isn't finite"),
    "raises later": ({"act": "raise ValueError('no weights')"}, "GF511", "ValueError: no weights"),
    "exits": ({"act": "raise SystemExit(3)"}, "GF511", "sys.exit(3) (mine.py, line "),
    "unseeded": ({"act": "actions[:, :, 1] = random.random() * 0.01"}, "GF512", "a second one with the same seeds"),
    "remembers": (
        {"act": "self._seen += 1; actions[:, :, 1] = 0.001 * self._seen"},
        "GF513",
        "one that has played before answers otherwise",
    ),
    "remembers its class": (
        {"act": "Mine.calls += 1; actions[:, :, 1] = 0.0001 * Mine.calls"},
        "GF512",
        "a second one with the same seeds",
    ),
    "mixes": ({"act": "actions[:, :, 1] = actions[:, :, 0].mean()"}, "GF514", "other actions than beside 2 others"),
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With installed plugins, and without the module of another test's file."""
    monkeypatch.delenv("GF_PLUGIN_AUTOLOAD", raising=False)
    yield
    sys.modules.pop("mine", None)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def make(**parts: str) -> Path:
        sys.modules.pop("mine", None)
        path = tmp_path / "mine.py"
        path.write_text(POLICY.format(**{**SOUND, **parts}))
        return path

    return make


def outcomes(path: Path, **options: str) -> dict[str, str]:
    """Code to what was found; what passed is left out."""
    found = check_plugin(path.stem, load_plugins([path]), **options)
    assert {one.code for one in found} <= CHECKS.keys()
    return {one.code: f"{one.outcome}: {one.detail}" for one in found if one.outcome != "pass"}


def test_a_sound_policy_passes(write: Callable[..., Path]) -> None:
    found = check_plugin("mine", load_plugins([write()]))
    assert [(one.code, one.outcome) for one in found] == [
        (code, "pass") for code in ("GF501", "GF502", "GF503", "GF504", "GF511", "GF512", "GF513", "GF514")
    ]


@pytest.mark.parametrize(("parts", "code", "told"), BROKEN.values(), ids=BROKEN)
def test_a_broken_policy_fails_its_check(write: Callable[..., Path], parts: dict[str, str], code: str, told: str) -> None:
    found = outcomes(write(**parts))
    assert found[code].startswith("fail")
    assert told in found[code]
    others = {other: text for other, text in found.items() if other != code and text.startswith("fail")}
    related = {"GF503": {"GF511"}, "GF512": {"GF513", "GF514"}, "GF513": {"GF514"}}
    assert others.keys() <= related.get(code, set())


ENV = """
import dataclasses
import importlib.util
import random

import numpy as np

spec = importlib.util.spec_from_file_location("reach_base", {fakes!r})
base = importlib.util.module_from_spec(spec)
spec.loader.exec_module(base)
from gf_core.hookspecs import hookimpl

SPEC = dataclasses.replace(base.ENV, id="local/reach-v1", entry_point="mine:make", scene_schema={{}})


class Mine(base.Reach):
    {method}


def make(config, context):
    return Mine(config, context)


@hookimpl
def gf_register_envs(register):
    register(SPEC)
"""
ENVS = {
    "sound": ("pass", "", ""),
    "wrong images": (
        """def observe(self, slots, wanted, *, privileged=False):
        seen = super().observe(slots, wanted, privileged=privileged)
        return dataclasses.replace(seen, images={k: v.astype(np.float32) for k, v in seen.images.items()})""",
        "GF521",
        "the image of top is float32",
    ),
    "tells all": (
        """def observe(self, slots, wanted, *, privileged=False):
        return super().observe(slots, wanted, privileged=True)""",
        "GF521",
        "goal is shown to a policy that isn't privileged",
    ),
    "draws": (
        """def step_controls(self, slots, controls):
        return super().step_controls(slots, controls + random.random() * 0.001)""",
        "GF522",
        "comes to another state when it is played alone",
    ),
    "forgets": (
        """def step(self, slots, actions):
        result = super().step(slots, actions)
        return dataclasses.replace(result, controls=result.controls * 0.5)""",
        "GF523",
        "lead to another state",
    ),
    "wrong images later": (
        """def observe(self, slots, wanted, *, privileged=False):
        seen = super().observe(slots, wanted, privileged=privileged)
        late = getattr(self, "late", False)
        self.late = True
        return dataclasses.replace(seen, images={k: v[:, 1:] for k, v in seen.images.items()}) if late else seen""",
        "GF521",
        "the image of top is uint8",
    ),
    "not finite later": (
        """def observe(self, slots, wanted, *, privileged=False):
        seen = super().observe(slots, wanted, privileged=privileged)
        late = getattr(self, "late", False)
        self.late = True
        return dataclasses.replace(seen, proprio=seen.proprio * np.float32("nan")) if late else seen""",
        "GF521",
        "proprio isn't finite",
    ),
    "done of a wrong shape": (
        """def step(self, slots, actions):
        result = super().step(slots, actions)
        return dataclasses.replace(result, clipped=np.zeros((len(slots), 2), bool))""",
        "GF521",
        "a step's clipped is bool (3, 2), not bool (3,)",
    ),
    "success is a number": (
        """def outcome(self, slots):
        return [dataclasses.replace(one, success=1) for one in super().outcome(slots)]""",
        "GF521",
        "the outcome's success is 1, not a bool",
    ),
    "a bool that is a fraction": (
        """def outcome(self, slots):
        return [dataclasses.replace(one, metrics={name: 0.7 for name in one.metrics}) for one in super().outcome(slots)]""",
        "GF521",
        "is 0.7, and its spec says bool",
    ),
    "draws without a state": (
        """def observe(self, slots, wanted, *, privileged=False):
        seen = super().observe(slots, wanted, privileged=privileged)
        return dataclasses.replace(seen, proprio=seen.proprio + np.float32(random.random()))

    def state_hash(self, slots):
        return [""] * len(slots)""",
        "GF522",
        "comes to another observation when it is played alone",
    ),
    "leaks later": (
        """def observe(self, slots, wanted, *, privileged=False):
        seen = super().observe(slots, wanted, privileged=privileged)
        if getattr(self, "late", False):
            for image in seen.images.values():
                image[:, 0, 0, 0] = [self._episodes[slot].scene["target"] for slot in slots]
        self.late = True
        return seen""",
        "GF524",
        "what top sees depends on the target at step 1",
    ),
    "leaks": (
        """def observe(self, slots, wanted, *, privileged=False):
        seen = super().observe(slots, wanted, privileged=privileged)
        for image in seen.images.values():
            image[:, 0, 0, 0] = [self._episodes[slot].scene["target"] for slot in slots]
        return seen""",
        "GF524",
        "what top sees depends on the target",
    ),
}


@pytest.mark.parametrize(("method", "code", "told"), ENVS.values(), ids=ENVS)
def test_a_broken_environment_fails_its_check(tmp_path: Path, method: str, code: str, told: str) -> None:
    (tmp_path / "mine.py").write_text(ENV.format(fakes=str(FAKES), method=method))
    document = suite_document(3)
    for row in document["episodes"]:
        row["scene"] |= {"target": 0, "cards": [{}, {}]}
    (tmp_path / "suite.json").write_text(json.dumps(document))
    found = outcomes(tmp_path / "mine.py", suite=str(tmp_path / "suite.json"))
    failed = {name: text for name, text in found.items() if text.startswith("fail")}
    if not code:
        assert failed == {}
        return
    assert told in failed[code]
    assert failed.keys() <= {code, *({"GF523"} if code == "GF522" else ())}


def test_a_real_robot_is_left_alone(tmp_path: Path) -> None:
    text = ENV.format(
        fakes=str(FAKES),
        method="""def reset(self, slots, episodes):
        raise AssertionError("it moves")""",
    )
    (tmp_path / "mine.py").write_text(text.replace("scene_schema={}", "scene_schema={}, real=True"))
    (tmp_path / "suite.json").write_text(json.dumps(suite_document(3)))
    found = outcomes(tmp_path / "mine.py", suite=str(tmp_path / "suite.json"))
    assert set(found) == {"GF521", "GF522", "GF523", "GF524"}
    assert set(found.values()) == {"skip: it is a real robot, which the kit doesn't move"}


def test_decks_are_looked_through() -> None:
    found = check_plugin("reach", load_plugins([FAKES]))
    told = {one.subject: one.detail for one in found if one.code == "GF531"}
    assert told == {
        "local/suits@1": "it has no item",
        "local/unhashed@1": "its spec has no sha256, so nobody can tell whether it has changed",
    }


def test_what_needs_settings_is_skipped_or_given_them(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write()
    needs = '"required": ["skill"], "properties": {"skill": {"type": "number"}, '
    path.write_text(path.read_text().replace('"properties": {', needs))
    found = outcomes(path)
    assert found == {"GF504": "skip: it needs settings: skill (--set local/mine-v1:KEY=VALUE)"}
    sys.modules.pop("mine")
    assert outcomes(path, settings={"local/mine-v1": ["skill=1"]}) == {}  # type: ignore[arg-type]
    sys.modules.pop("mine")
    told = outcomes(path, settings={"local/mine-v1": ["skill=much"]})["GF504"]  # type: ignore[arg-type]
    assert told.startswith("fail: settings")


def test_what_does_not_fit_is_skipped() -> None:
    found = check_plugin("reach", load_plugins([FAKES]))
    (told,) = {one.detail for one in found if one.subject == "local/joints-v1" and one.outcome == "skip"}
    assert "emits 'joint_delta'" in told


def test_a_plugin_without_a_hook_fails(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text('"""The module beside the one with the hooks."""\n')
    assert outcomes(tmp_path / "mine.py") == {
        "GF501": "fail: it implements no hook; does 'mine.py' name the module that has them?"
    }


@pytest.mark.parametrize("body", ["return None", "raise ValueError('no')"])
def test_an_interface_that_breaks_fails(write: Callable[..., Path], body: str) -> None:
    path = write()
    text = path.read_text().replace('"entry_point": "mine:', '"interface": "mine:sees", "entry_point": "mine:')
    path.write_text(f"{text}\n\ndef sees(config):\n    {body}\n")
    found = outcomes(path)
    assert found["GF511"].startswith("fail: mine.py: ")
    assert found["GF512"] == "skip: GF511 comes first"


def test_nothing_tried_is_no_pass(tmp_path: Path, write: Callable[..., Path]) -> None:
    path = write()
    needs = '"required": ["skill"], "properties": {"skill": {"type": "number"}, '
    path.write_text(path.read_text().replace('"properties": {', needs))

    class Untried(PluginKit):
        plugin = "mine"
        files = (path,)
        suite = "gf/smoke@1"

    with pytest.raises(SkipTest, match="it needs settings: skill"):
        Untried().test_the_kit()


class TestExpert(PluginKit):
    """As a plugin's author writes it."""

    plugin = "gf_envs"


def test_a_failing_kit_fails_the_test(write: Callable[..., Path]) -> None:
    class Failing(PluginKit):
        plugin = "mine"
        files = (write(act="actions[0, 0, 0] = np.inf"),)

    with pytest.raises(AssertionError, match="GF511 local/mine-v1"):
        Failing().test_the_kit()


def test_through_the_command_line(write: Callable[..., Path], capfd: pytest.CaptureFixture[str]) -> None:
    path = write()
    assert main(["plugins", "check", str(path)]) == 0
    assert capfd.readouterr().out == "8 of 8 checks passed, 0 failed, 0 skipped\n"
    path = write(act="actions[0, 0, 0] = np.inf")
    assert main(["plugins", "check", str(path)]) == 1
    assert "failed   GF511  local/mine-v1" in capfd.readouterr().out
    path.write_text(path.read_text().replace("def close(self):", "def close(self):\n        print('closed')"))
    assert main(["plugins", "check", str(path), "--json"]) == 1
    document = json.loads(capfd.readouterr().out)
    validate(document, "kit", source="gf plugins check")
    assert {one["outcome"] for one in document["checks"]} == {"pass", "fail", "skip"}
    assert main(["plugins", "check", "nobody"]) == 2
    assert main(["plugins", "check", str(path), "--set", "speed=3"]) == 2
