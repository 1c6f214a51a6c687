"""What a careless user types: one line that says what, where and what to do; exit code 2; nothing written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import WICKED, Gf, results, rows, smoke

Refused = Callable[..., str]
SMOKE = ("run", "gf/smoke@1", "--policy", "gf/null-v1")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rnu"], "there is no command 'rnu'; did you mean 'run'?; `gf --help` shows how"),
        (["run", "gf/smoke@1"], "missing option '--policy'; `gf run --help` shows how"),
        (["run", "gf/smok@1", "--policy", "gf/null-v1"], "there is no suite 'gf/smok@1'; did you mean 'gf/smoke@1'?"),
        (["run", "gf/smoke@1", "--policy", "gf/nul-v1"], "there is no policy 'gf/nul-v1'; did you mean 'gf/null-v1'?"),
        (["run", "gf/smoke@1", "--policy", "gf/tabletop-v1"], "there is no policy 'gf/tabletop-v1'; it is one of the envs"),
        ([*SMOKE, "--set", "speed=1"], "--set speed: unknown key; there are no settings here"),
        ([*SMOKE, "--env-set", "rendr=fast"], "--env-set rendr: unknown key; did you mean 'render'?"),
        ([*SMOKE, "--hz", "7"], "control_hz: --hz wants 7 Hz and gf/tabletop-v1 offers 20, 10, 5"),
        ([*SMOKE, "--hz", "0"], "control_hz: --hz wants 0 Hz and gf/tabletop-v1 offers 20, 10, 5"),
        ([*SMOKE, "--slots", "0"], "invalid value for '--slots': 0 is not in the range 1<=x<=4096; `gf run --help` shows how"),
        ([*SMOKE, "--limit", "0"], "invalid value for '--limit': 0 is not in the range x>=1; `gf run --help` shows how"),
        ([*SMOKE, "--deadline", "nan"], "invalid value for '--deadline': nan isn't a finite number; `gf run --help` shows how"),
        ([*SMOKE, "--episodes", ","], "--episodes: it names no episode; leave it out to run them all"),
        ([*SMOKE, "--plugin", "nope.py"], "--plugin nope.py: the file can't be read: No such file or directory"),
        (["show", "gf/quik@1"], "nothing is called 'gf/quik@1'; did you mean 'gf/quick@1'?"),
        (
            ["report", "nowhere"],
            "nowhere: there is no such directory; give a directory that `gf run --out` wrote, or one that holds several",
        ),
        (["replay", "nowhere", "x"], "nowhere: there is no such directory; give a directory that `gf run` wrote"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_in_one_line(refused: Refused, arguments: list[str], line: str) -> None:
    assert refused(*arguments) == line


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Sets what lies at a path, such as ``episodes/1/horizon``; removes it for ``...``."""

    def apply(document: dict[str, Any]) -> None:
        *way, last = (int(key) if key.isdigit() else key for key in path.split("/"))
        place: Any = document
        for key in way:
            place = place[key]
        if value is ...:
            del place[last]
        else:
            place[last] = value

    return apply


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("schema_version", "2.0", "#/schema_version: suite documents of version 2.0 aren't known"),
        ("episodes/1/id", "../../evil", "#/episodes/1/id: '../../evil' isn't well-formed"),
        ("episodes/1/horizon", -5, "#/episodes/1/horizon: must be at least 1, found -5"),
        ("episodes/1/scene/target", 5, "#/episodes/1/scene/target: there is no card 5"),
        ("episodes/1/scene/cards", [], "#/episodes/1/scene/cards: needs at least 1 items, has 0"),
        ("episodes/1/scene/render", "ugly", "#/episodes/1/scene/render: 'ugly' isn't one of"),
        ("episodes/1/scene/cards/0/item", "u1f9999", "#/episodes/1/scene/cards/0/item: the deck gf/emoji-noto@1 has no item"),
        ("episodes/1/scene/cards/0/deck", "gf/emoji@1", "#/episodes/1/scene/cards/0/deck: the suite lists no deck 'gf/emoji@1'"),
        ("decks", {}, "#/episodes/0/scene/cards/0/deck: the suite lists no deck 'gf/emoji-noto@1'; add it to decks"),
        ("decks/gf/missing@1", "a" * 64, ": it needs the deck 'gf/missing@1': there is no deck 'gf/missing@1'"),
        ("decks/gf/emoji-noto@1", "a" * 64, ": it was made with the deck 'gf/emoji-noto@1' of content aaaaaaaaaaaa…"),
        ("metrics/0/metric", "sucess", "#/metrics/0/metric: the environment gf/tabletop-v1 reports no 'sucess'; did you mean"),
        ("env/id", "gf/tabeltop-v1", "#/env/id: there is no environment 'gf/tabeltop-v1'; did you mean 'gf/tabletop-v1'?"),
        ("env/config", {"rendr": "fast"}, "#/env/config/rendr: unknown key; did you mean 'render'?"),
        ("control_hz", 7, "local/mine@1 wants 7 Hz and gf/tabletop-v1 offers 20, 10, 5"),
        ("episodes", ..., "#: 'episodes' is missing"),
    ],
)
def test_a_suite_that_is_wrong_is_refused_before_the_first_step(
    refused: Refused, tmp_path: Path, path: str, value: Any, line: str
) -> None:
    document = smoke()
    if path.startswith("decks/"):
        document["decks"][path.removeprefix("decks/")] = value
    else:
        change(path, value)(document)
    (tmp_path / "mine.json").write_text(json.dumps(document))
    said = refused("run", "mine.json", "--policy", "gf/null-v1")
    assert line in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "mine.json: is empty; a JSON document was expected"),
        ('{"a": NaN}', "mine.json#/a: NaN isn't JSON; write null, or leave it out"),
        ('{"a": 1, "a": 2}', "mine.json#/a: the key appears more than once; keep one"),
        ("[" * 100_000, "mine.json:1:65: is nested more than 64 levels deep; flatten it"),
    ],
    ids=["empty", "NaN", "twice", "deep"],
)
def test_a_suite_that_is_no_json_is_refused(refused: Refused, tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "mine.json").write_text(text)
    assert refused("run", "mine.json", "--policy", "gf/null-v1") == line


LOOK = ("run", "gf/smoke@1", "--policy", "local/looker-v1", "--plugin", WICKED)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ('cameras=["thrid"]', "observes 'thrid' and gf/tabletop-v1 has third, wrist, demo; did you mean 'third'?"),
        ('cameras=["third","third"]', "observes.cameras repeats a name"),
        ("size=[0,0]", "observes.size: local/looker-v1 asks for 0 × 0 pixels"),
        ("size=[5000,5000]", "observes.size: local/looker-v1 asks for 5000 × 5000 pixels"),
        ('size=["a","b"]', "observes.size[0] is 'a', which is not a int"),
        ("history=[5]", "observes.history: local/looker-v1 asks for [5]"),
        ("history=[]", "observes.history: local/looker-v1 asks for []"),
        ("how=exit", "local/looker-v1 can't say what it needs (SystemExit: 3)"),
    ],
)
def test_a_policy_that_wants_what_there_is_not_is_refused(refused: Refused, setting: str, line: str) -> None:
    assert line in refused(*LOOK, "--set", setting)


FOREIGN = """
from gf_core.hookspecs import hookimpl
from gf_core.specs import PolicySpec

@hookimpl
def gf_register_policies(register):
    register(PolicySpec(id="gf/a-v1", summary="a", entry_point="mine:A"))
"""


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def f(:", "it isn't loaded (failed: SyntaxError: invalid syntax (mine.py, line 1))"),
        ("import sys; sys.exit(3)", "it isn't loaded (failed: it called sys.exit(3) (mine.py, line 1))"),
        (FOREIGN, "the namespace 'gf' belongs to the distribution 'grinningface'"),
    ],
    ids=["syntax", "exits", "foreign"],
)
def test_a_plugin_file_that_is_wrong_is_refused(refused: Refused, tmp_path: Path, source: str, line: str) -> None:
    (tmp_path / "mine.py").write_text(source)
    assert line in refused(*SMOKE, "--plugin", "mine.py")


def test_a_plugin_file_that_brings_nothing_gets_a_warning(gf: Gf, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x = 1\n")
    done = gf("list", "suites", "--plugin", "mine.py", GF_DISABLE_PLUGINS="gf_polices")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "warning: GF_DISABLE_PLUGINS: there is no plugin 'gf_polices'; did you mean 'gf_policies'?",
        "warning: mine.py: it implements no hook",
    ]


def test_without_the_plugin_it_says_which_one_is_off(refused: Refused) -> None:
    for switch in ({"GF_DISABLE_PLUGINS": "gf_envs"}, {"GF_PLUGIN_AUTOLOAD": "0"}):
        assert "the plugin 'gf_envs' of grinningface" in refused(*SMOKE, **switch)


def test_without_opengl_it_says_how_to_get_it(refused: Refused, gf: Gf, expert_run: Path) -> None:
    nothing = {"MUJOCO_GL": "glfw", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    said = refused(*LOOK, **nothing)
    assert said.startswith("[GF301] no OpenGL to draw with (glfw: ")
    assert "apt-get install -y libegl1 libgl1-mesa-dri" in said
    episode = rows(expert_run)[0]["episode"]
    assert "[GF301]" in refused("replay", expert_run, episode, "--video", "a.gif", **nothing)
    doctor = gf("doctor", **nothing)
    assert doctor.returncode == 2
    assert "apt-get install -y libegl1 libgl1-mesa-dri" in doctor.stdout
    assert gf(*SMOKE, "--limit", "1", **nothing).returncode == 0  # who looks at nothing needs none


def test_a_directory_that_is_taken_is_refused(refused: Refused, gf: Gf, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert refused(*SMOKE, "--out", "file") == "file: a file is in the way (File exists); choose another place"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("mine")
    assert "folder: the directory holds 'thesis.tex' but no run.json" in refused(*SMOKE, "--out", "folder")
    assert gf(*SMOKE, "--limit", "1", "--out", "run").returncode == 0
    before = results(tmp_path / "run")
    said = refused("run", "gf/smoke@1", "--policy", "gf/random-v1", "--limit", "1", "--out", "run")
    assert 'another configuration: /policy/id is "gf/null-v1" there and "gf/random-v1" here; give another --out' in said
    assert results(tmp_path / "run") == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written_is_refused(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    assert refused(*SMOKE, "--out", "locked/run") == "locked/run: can't be written (Permission denied); choose another place"


def test_a_directory_in_which_nothing_was_recorded_can_be_used_again(gf: Gf, tmp_path: Path) -> None:
    look = (*LOOK, "--env-set", "render=fast", "--limit", "1", "--out")
    failed = gf(*look, "run", "--set", "size=[2000,2000]")
    assert failed.returncode == 2
    assert "an image can't be 2000 x 2000 px" in failed.stderr
    for out in ("run", "fresh"):
        assert gf(*look, out, "--set", "size=[20,20]").returncode == 0
    assert results(tmp_path / "run") == results(tmp_path / "fresh")
