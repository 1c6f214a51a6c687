"""A gymnasium environment by a file: from the file to a run that replays, and everything that can be wrong with it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gf_core.cli.main import main
from gf_core.contracts import EnvContext, Episode
from gf_core.errors import GrinningFaceError, MissingDependencyError, PluginError, SchemaError
from gf_core.gymnasium_files import complete, env_spec, make_env
from gf_core.gymnasium_files.suite import suite_document
from gf_core.gymnasium_files.told import _parts
from gf_core.schemas import default_settings
from gf_core.specs import Observes

FAKES = Path(__file__).parents[1] / "fakes"
EXAMPLE = Path(__file__).parents[2] / "examples" / "gymnasium" / "pusht.json"
SLOT = np.zeros(1, np.int32)
DOCUMENT: dict[str, Any] = {
    "schema_version": "1.0",
    "kind": "gymnasium",
    "id": "local/shelf-v1",
    "summary": "reach a cup on a shelf",
    "make": {"id": "gf_shelf/Reach-v0", "module": "gym_shelf", "package": "numpy", "kwargs": {"render_mode": "rgb_array"}},
    "control_hz": 10,
    "horizon": 30,
    "instruction": {"info": "task"},
    "cameras": {"top": {"observation": "top", "channels": "first"}, "turned": {"render": True, "flip": "both"}},
    "proprio": [
        {"observation": ["robot", "at"], "names": ["x", "y"], "unit": "m", "scale": 0.01, "offset": 0.5},
        {"observation": ["robot", "grip"], "names": ["opening"], "unit": "1", "scale": -0.5, "offset": 0.5},
        {"observation": "goal", "indices": [1], "names": ["goal_y"], "unit": "cm"},
    ],
    "action": {
        "representation": "ee_delta",
        "frame": "shelf",
        "elements": [
            {"name": "dx", "unit": "m", "low": -0.1, "high": 0.1, "index": 0, "scale": 100},
            {"name": "dy", "unit": "m", "low": -0.1, "high": 0.1, "index": 1, "scale": 100},
            {"name": "opening", "unit": "1", "low": 0, "high": 1, "index": 2, "scale": -2, "offset": 1},
        ],
        "constants": [{"index": 3, "value": 7}],
    },
    "success": {"info": "is_success"},
    "metrics": [
        {"name": "near", "kind": "bool", "description": "within 20 cm", "info": "near"},
        {"name": "cm", "kind": "float", "description": "distance", "info": "cm"},
        {"name": "absent", "kind": "int", "description": "nothing", "info": "nothing"},
    ],
    "replayable": True,
}
POLICY = '''
import numpy as np
from gf_core.contracts import ActionChunk
from gf_core.hookspecs import hookimpl
from gf_core.specs import Observes, PolicySpec


class Right:
    """Up or down to the cup, then to the right until it is there."""

    def __init__(self, config, context): ...
    def reset(self, slots, seeds): ...
    def close(self): ...

    def act(self, observation):
        assert all(text.startswith("reach the ") for text in observation.instruction)
        _, y, _, goal = observation.proprio.T
        up = np.clip(goal / 100 + 0.5 - y, -0.1, 0.1)
        right = np.where(np.abs(up) < 0.02, 0.04, 0)
        return ActionChunk(actions=np.stack([right, up, np.ones_like(up)], 1)[:, None].astype(np.float32))


@hookimpl
def gf_register_policies(register):
    seen = Observes(cameras=("top",))
    register(PolicySpec(id="local/right-v1", summary="goes right", entry_point="right:Right", observes=seen))
'''
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third party's package can be imported."""
    monkeypatch.syspath_prepend(str(FAKES))


def changed(change: Change | None = None) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    if change is not None:
        change(document)
    return document


def at(path: str, value: Any) -> Change:
    """Sets what a path of keys and indices leads to; removes it for ``...``."""

    def change(document: Any) -> None:
        *outer, last = [int(key) if key.isdigit() else key for key in path.split("/")]
        for key in outer:
            document = document[key]
        if value is ...:
            del document[last]
        else:
            document[last] = value

    return change


@pytest.fixture
def play() -> Iterator[Callable[..., Any]]:
    """An environment that has begun an episode."""
    made: list[Any] = []

    def start(change: Change | None = None, *, horizon: int = 30, options: Any = None, seed: int = 3) -> Any:
        document = complete(changed(change), source="shelf.json")
        told = (
            suite_document({**document, "replayable": False}, [seed])[0]["episodes"][0]["instruction"] if options is None else ""
        )
        told = told or "reach the red cup"
        context = EnvContext(slots=1, threads=1, control_hz=10.0, load_deck=lambda name: None)  # type: ignore[arg-type,return-value]
        env = make_env({"document": document}, context)
        made.append(env)
        scene = {} if options is None else {"options": options}
        rest = {"split": "all", "cluster": "c", "env": "e", "control_hz": 10.0, "factors": {}}
        env.reset(SLOT, [Episode(id="e", seed=seed, instruction=told, horizon=horizon, scene=scene, **rest)])
        return env

    yield start
    for env in made:
        env.close()


def step(env: Any, *action: float) -> bool:
    return bool(env.step(SLOT, np.array([action], np.float32)).done[0])


def test_from_a_file_to_a_run_that_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(FAKES))
    Path("shelf.json").write_text(json.dumps(DOCUMENT))
    Path("right.py").write_text(POLICY)
    plugins = ["--plugin", "shelf.json", "--plugin", "right.py"]
    assert main(["gym", "suite", "shelf.json", "--episodes", "6", "--first-seed", "10", "--out", "shelf-6.json"]) == 0
    suite = json.loads(Path("shelf-6.json").read_text())
    assert [row["seed"] for row in suite["episodes"]] == list(range(10, 16))
    assert {row["instruction"] for row in suite["episodes"]} == {"reach the red cup", "reach the blue cup"}
    assert (suite["id"], suite["env"]["id"], suite["control_hz"]) == ("local/shelf@1", "local/shelf-v1", 10)
    assert [metric["metric"] for metric in suite["metrics"]] == ["success", "near"]
    assert main(["run", "shelf-6.json", "--policy", "local/right-v1", *plugins, "--in-process", "--out", "run"]) == 0
    rows = [row for row in map(json.loads, Path("run/episodes.jsonl").read_text().splitlines()) if "episode" in row]
    assert [row["ending"] for row in rows] == ["success"] * 6
    assert all(row["metrics"]["cm"] < 5 and row["metrics"]["near"] is True for row in rows)
    assert all(row["metrics"]["absent"] is None and row["steps"] > 3 for row in rows)
    identity = json.loads(Path("run/run.json").read_text())
    assert identity["environment"]["runtime"]["numpy"] == np.__version__
    assert set(identity["files"]) == {"shelf.json", "right.py"}
    capsys.readouterr()
    assert main(["replay", "run", "--suite", "shelf-6.json", *plugins]) == 0
    assert "replayed exactly as recorded" in capsys.readouterr().out
    assert main(["plugins", "check", "shelf.json", "--suite", "shelf-6.json"]) == 0
    assert "7 of 8 checks passed, 0 failed, 1 skipped" in capsys.readouterr().out
    assert main(["show", "local/shelf-v1", "--plugin", "shelf.json"]) == 0
    shown = capsys.readouterr().out
    assert "from          shelf.json" in shown
    assert "dx [m], dy [m], opening [1]" in shown
    assert main(["gym", "suite", "shelf.json", "--out", "shelf-6.json"]) == 2
    assert "it exists, and a suite never changes" in capsys.readouterr().err
    assert main(["gym", "suite", "shelf.json", "--out", "shelf.txt"]) == 2


def test_what_is_observed_and_how_actions_arrive(play: Callable[..., Any]) -> None:
    env = play()
    seen = env.observe(SLOT, Observes(cameras=("top", "turned"), size=(8, 16)))
    top = seen.images["top"][0]
    assert top[:4, :, 0].min() == 255
    assert top[4:, :, 0].max() == 0
    assert (top[:, :8, 1] == 200).all()
    np.testing.assert_array_equal(seen.images["turned"][0], top[::-1, ::-1])
    x, y, opening, goal = seen.proprio[0].astype(float)
    assert 0.5 <= x <= 0.8
    assert opening == 1.0
    assert 40 <= goal <= 60
    step(env, 0.1, -0.05, 0.25)
    after = env.observe(SLOT, Observes()).proprio[0].astype(float)
    np.testing.assert_allclose(after[:3], [x + 0.1, y - 0.05, 0.25], atol=1e-6)
    step(env, 5, 0, -9)
    np.testing.assert_allclose(env.observe(SLOT, Observes()).proprio[0][[0, 2]], [x + 0.2, 0], atol=1e-6)


def test_how_an_episode_ends(play: Callable[..., Any]) -> None:
    near = {"goal": [5.0, 5.0]}
    seed = next(s for s in range(50) if np.linalg.norm(np.random.default_rng(s).uniform(0, 30, 2) - [5, 5]) > 12)
    env = play(options=near, seed=seed)
    assert not step(env, 0, 0, 1)
    assert env.outcome(SLOT)[0].success is False
    for _ in range(20):
        x, y = env.observe(SLOT, Observes()).proprio[0][:2].astype(float)
        if step(env, *np.clip([0.55 - x, 0.55 - y], -0.1, 0.1), 1):
            break
    (outcome,) = env.outcome(SLOT)
    assert (outcome.success, outcome.ending) == (True, "success")
    assert outcome.metrics["total_reward"] < 0
    env = play(at("success/ends_episode", False), options=near, seed=seed, horizon=4)
    assert [step(env, 0, 0, 1) for _ in range(4)] == [False, False, False, True]
    assert env.outcome(SLOT)[0].ending == "horizon"
    for rule, success in (({"reward": -1e6}, True), ({"reward": 0}, False), ({"total_reward": -1e6}, True)):
        env = play(at("success", rule), options=near, seed=seed, horizon=2)
        assert (step(env, 0, 0, 1), env.outcome(SLOT)[0].success) == (success, success)
    env = play(at("success", {"info": "cm", "at_least": 0}), options=near, seed=seed)
    assert step(env, 0, 0, 1)
    env = play(at("success", {"terminated": True}), options=near, seed=seed, horizon=1)
    step(env, 0, 0, 1)
    assert env.outcome(SLOT)[0].ending == "horizon"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (at("make/module", "gym_shelve"), "there is no module 'gym_shelve'; pip install numpy"),
        (at("make/id", "gf_shelf/Reahc-v0"), "did you mean 'gf_shelf/Reach-v0'?"),
        (at("make/id", "gf_shelf/Reach"), "gymnasium knows no 'gf_shelf/Reach'; did you mean 'gf_shelf/Reach-v0'?"),
        (at("make/id", "elsewhere"), "is make.module the one that registers it?"),
        (at("make/kwargs/colour", 3), "it can't be made (TypeError"),
        (at("make/kwargs/broken", "init"), "RuntimeError: no shelf here"),
        (at("make/kwargs/broken", "discrete"), "its action space is Discrete(4), and only a Box of real numbers can be moved"),
        (at("make/kwargs/broken", "raises"), "the environment raised ZeroDivisionError: the shelf fell"),
        (at("make/kwargs/render_mode", None), "render() returned NoneType, not an image; make.kwargs need render_mode rgb_array"),
        (at("make/kwargs/render_mode", "rgb_array_list"), "render() returned list, not an image"),
        (at("cameras/top/observation", "topp"), "there is no 'topp', there are robot, goal, top, depth; did you mean 'top'?"),
        (at("cameras/top/observation", "depth"), "it is (8, 16) float64, not (H, W, 3) uint8"),
        (at("cameras/top/channels", "last"), "it is (3, 8, 16) uint8, not (H, W, 3) uint8; channels says where the colours are"),
        (at("proprio/0/observation", ["robot", "pos"]), "there is no 'pos', there are at, grip, name"),
        (at("proprio/0/observation", ["robot", "name"]), "['robot', 'name'] isn't numbers"),
        (at("proprio/0/observation", ["robot", "at", 7]), "there is no element 7; there are 2"),
        (at("proprio/0/observation", ["goal", "x"]), "there is no 'x', it is an array (2,) float64"),
        (at("proprio/0/names", ["x", "y", "z"]), "there are 2 numbers, and 3 names"),
        (at("proprio/2/indices", [5]), "there is no index 5; there are 2 numbers"),
        (at("action/constants", []), "nothing is said of index 3 of its action space Box"),
        (at("action/constants/0/index", 4), "there is no index 4: its action space is Box"),
        (at("action/constants/0/value", -7), "a constant at its low becomes -7 at index 3, whose bounds are 0 and 200"),
        (at("action/elements/0/scale", 200), "dx at its low becomes -20 at index 0, whose bounds are -10 and 10"),
        (at("instruction", {"info": "tsak"}), "there is no 'tsak', there are task, near; did you mean 'task'?"),
        (at("instruction", {"observation": "top"}), "'top' is ndarray, not text"),
        (at("instruction", {"attribute": "taks"}), "there is no attribute 'taks'; there are"),
        (
            at("success", {"info": "succes"}),
            "there is no 'succes', there are is_success, cm, near, grip; did you mean 'is_success'?",
        ),
        (at("success", {"observation": "top"}), "'top' is an array (3, 8, 16) uint8, not a flag or a number"),
        (at("make/kwargs/broken", "late"), "there is no 'is_success', there are no keys; may_be_missing says"),
        (at("metrics/0/kind", "int"), ""),
        (at("metrics/1/info", []), "[] is dict, not float"),
        (at("make/kwargs/broken", "random"), "it doesn't repeat: seed-0 with the same actions was observed otherwise"),
        (at("make/kwargs/broken", "seedless"), "does it draw from its seed alone"),
    ],
)
def test_an_environment_that_is_not_what_the_file_says(change: Change, told: str) -> None:
    document = complete(changed(change), source="shelf.json")
    if not told:
        assert suite_document(document, [0, 1])
        return
    with pytest.raises(GrinningFaceError) as caught:
        suite_document(document, [0, 1])
    assert told in str(caught.value)
    assert str(caught.value).startswith("local/shelf-v1")
    assert isinstance(caught.value, MissingDependencyError if "pip install" in told else PluginError)


def test_what_may_be_missing() -> None:
    def change(document: dict[str, Any]) -> None:
        document["make"]["kwargs"]["broken"] = "late"
        document["success"]["may_be_missing"] = True

    assert suite_document(complete(changed(change), source="shelf.json"), [0])


def test_rewards_whose_last_bits_vary() -> None:
    document = changed(at("make/kwargs/broken", "bits"))
    with pytest.raises(PluginError, match="or decimals, if it is the last bits of rewards that vary"):
        suite_document(complete(document, source="shelf.json"), [0])
    assert suite_document(complete({**document, "decimals": 9}, source="shelf.json"), [0])


def test_other_instructions() -> None:
    for said, told in (
        ({"text": "tidy up"}, "tidy up"),
        ({"attribute": "task"}, "reach the "),
        ({"info": ["task"]}, "reach the "),
    ):
        suite, _ = suite_document(complete(changed(at("instruction", said)), source="shelf.json"), [0, 1, 2])
        assert all(row["instruction"].startswith(told) for row in suite["episodes"])


def test_what_an_author_should_know() -> None:
    unsaid = complete(changed(at("replayable", False)), source="shelf.json")
    assert "repeat bit for bit" in suite_document(unsaid, [0, 1])[1][0]
    random = complete(changed(at("make/kwargs/broken", "random")) | {"replayable": False}, source="shelf.json")
    assert suite_document(random, [0, 1])[1] == []


def test_an_instruction_that_is_not_the_suites_any_more(play: Callable[..., Any]) -> None:
    with pytest.raises(PluginError, match="the environment says 'reach the blue cup', and the suite 'reach the red cup'"):
        play(options={"goal": [55.0, 20.0]})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (at("success", {}), "#/success: it says none of info, observation, reward, total_reward, terminated; say exactly one"),
        (at("success", {"info": "a", "reward": 1}), "#/success: it says info, reward of"),
        (at("cameras/top", {}), "#/cameras/top: it says none of observation, render"),
        (at("cameras/top/chanels", "first"), "#/cameras/top/chanels: unknown key; did you mean 'channels'?"),
        (at("cameras/top/flip", "up"), "#/cameras/top/flip"),
        (at("instruction", {}), "#/instruction"),
        (at("instruction", {"text": "a", "info": "b"}), "#/instruction"),
        (at("action/elements/0/high", -0.1), "#/action/elements/0/high: it isn't greater than low"),
        (at("action/elements/0/scale", 0), "#/action/elements/0/scale: with 0, the element would do nothing"),
        (at("action/elements/1/index", 0), "#/action/elements/1/index: 0 stands there twice"),
        (at("action/elements/1/name", "dx"), "#/action/elements/1/name: 'dx' stands there twice"),
        (at("action/constants/0/index", 2), "#/action/constants/0/index: 2 stands there twice"),
        (at("proprio/2/names", ["a", "b"]), "#/proprio/2/names: there are 2 names for 1 indices"),
        (at("proprio/2/names", ["x"]), "#/proprio: 'x' stands there twice"),
        (at("metrics/1/name", "near"), "#/metrics/1/name: 'near' stands there twice"),
        (at("metrics/1/name", "total_reward"), "#/metrics/1/name: 'total_reward' is always reported"),
        (at("control_hz", 0), "#/control_hz"),
        (at("proprio", ...), "'proprio' is missing"),
        (at("make/id", ...), "'id' is missing"),
        (at("kind", "suite"), "this is 'suite', not 'gymnasium'"),
    ],
)
def test_a_file_that_is_wrong(change: Change, told: str) -> None:
    with pytest.raises(SchemaError) as caught:
        complete(changed(change), source="shelf.json")
    assert told in str(caught.value)


def test_reading_a_file_imports_nothing_of_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "gym_trap.py").write_text("raise RuntimeError('imported')\n")
    (tmp_path / "trap.json").write_text(json.dumps(changed(at("make/module", "gym_trap"))))
    assert main(["list", "envs", "--plugin", str(tmp_path / "trap.json")]) == 0
    assert main(["gym", "suite", str(tmp_path / "trap.json"), "--out", str(tmp_path / "out.json")]) == 2
    assert "it can't be made (RuntimeError: imported)" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()
    (tmp_path / "wrong.json").write_text(json.dumps(changed(at("action/elements/0/scale", 0))))
    assert main(["list", "envs", "--plugin", str(tmp_path / "wrong.json")]) == 2
    assert "wrong.json#/action/elements/0/scale: with 0" in capsys.readouterr().err


def test_files_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "envs", "--plugin", str(tmp_path / "none.json")]) == 2
    assert "there is no such file" in capsys.readouterr().err
    (tmp_path / "broken.json").write_text('{"schema_version": "1.0",')
    assert main(["gym", "suite", str(tmp_path / "broken.json"), "--out", str(tmp_path / "out.json")]) == 2
    assert "broken.json" in capsys.readouterr().err


def test_a_foreign_namespace_is_that_of_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shelf.json").write_text(json.dumps(changed(at("id", "gf/tabletop-v1"))))
    assert main(["list", "envs", "--plugin", str(tmp_path / "shelf.json")]) == 0
    assert "local/tabletop-v1" in capsys.readouterr().out


def test_a_distribution_can_bring_one() -> None:
    spec = env_spec(DOCUMENT)
    assert spec.id == "local/shelf-v1"
    assert spec.action.field.low == (-0.1, -0.1, 0)
    assert spec.proprio.names == ("x", "y", "opening", "goal_y")
    assert [metric.name for metric in spec.metrics] == ["near", "cm", "absent", "total_reward", "state_sha256"]
    context = EnvContext(slots=1, threads=1, control_hz=10.0, load_deck=lambda name: None)  # type: ignore[arg-type,return-value]
    env = make_env(default_settings(spec.config_schema), context)
    assert env.spec == spec
    env.close()


@pytest.mark.skipif(not EXAMPLE.is_file(), reason="examples/ is part of the checkout, not of the wheel")
def test_the_example_is_valid() -> None:
    assert env_spec(complete(json.loads(EXAMPLE.read_text()), source="pusht.json")).replayable


def test_what_was_told_is_hashed_so_that_different_things_differ() -> None:
    told: list[Any] = [
        {"a": {"b": 1.0}},
        {"a": {}, "b": 1.0},
        {"a": 1.0, "b": {}},
        [1.0, [2.0]],
        [1.0, 2.0],
        ["ab", "c"],
        ["a", "bc"],
        [np.zeros(2), np.zeros(1)],
        [np.zeros(1), np.zeros(2)],
        None,
        "None",
    ]
    assert len({b"".join(_parts(one, "test")) for one in told}) == len(told)
