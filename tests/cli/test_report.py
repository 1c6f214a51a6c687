"""`gf report --html`, through the real program: with a made-up environment, and with the tabletop."""

from __future__ import annotations

import html
import json
import re
import shlex
from pathlib import Path

import pytest

from gf_core.cli.main import main

FAKES = str(Path(__file__).parents[1] / "fakes" / "reach.py")
REACH = ("--plugin", FAKES)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("GF_PLUGIN_AUTOLOAD", "0")
    episodes = [
        {"id": f"e{i}", "split": "all", "cluster": f"c{i}", "seed": 0, "instruction": "go", "horizon": 20 - 18 * (i == 1)}
        | {"factors": {}, "scene": {"start": [0.0, 0.0], "goal": [0.3, 0.01 * i]}}
        for i in range(4)
    ]
    head = {"schema_version": "1.0", "kind": "suite", "id": "local/tiny@1", "summary": "for tests", "license": "Apache-2.0"}
    env = {"env": {"id": "local/reach-v1", "config": {}}, "control_hz": 20, "decks": {}}
    near = {"name": "near", "metric": "near", "description": "near"}
    document = head | env | {"splits": {"all": {"description": "all"}}, "metrics": [near], "episodes": episodes}
    (tmp_path / "tiny@1.json").write_text(json.dumps(document))
    return "tiny@1.json"


def run(suite: str, out: str, *more: str) -> None:
    assert main(["run", suite, "--policy", "local/reacher-v1", *REACH, "--out", out, "--in-process", *more]) == 0


def test_a_page_with_pictures_and_one_without(suite: str, capfd: pytest.CaptureFixture[str]) -> None:
    run(suite, "here")
    capfd.readouterr()
    report = ["report", "here", "--suite", suite, *REACH]
    assert main([*report, "--html", "page.html"]) == 0
    assert re.fullmatch(r"wrote page\.html \(0\.\d MB\)\n", capfd.readouterr().out)
    whole = Path("page.html").read_text()
    assert whole.count('class="moving"') == 4
    assert main([*report, "--html", "plain.html", "--no-gallery", "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["kind"] == "report"
    assert err.startswith("wrote plain.html")
    assert "<img" not in Path("plain.html").read_text()


def test_a_page_that_has_no_place_is_refused_at_once(suite: str, capfd: pytest.CaptureFixture[str]) -> None:
    run(suite, "here")
    capfd.readouterr()
    assert main(["report", "here", "--suite", suite, *REACH, "--html", "no/page.html"]) == 2
    assert capfd.readouterr().err == "error: no: there is no such folder; make it first\n"


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--limit", "2"),
        ("--episodes", "e0,e2"),
        ("--hz", "10"),
        ("--policy-seed", "3", "--execute-steps", "2"),
        ("--set", "chunk=3", "--env-set", "drift=0.02"),
        ("--timing", "realtime", "--latency-steps", "1"),
    ],
)
def test_the_command_on_the_page_makes_the_same_run(suite: str, options: tuple[str, ...]) -> None:
    run(suite, "first", *options)
    assert main(["report", "first", "--suite", suite, *REACH, "--html", "page.html", "--no-gallery"]) == 0
    found = re.search(r"<pre><code>(.*?)</code></pre>", Path("page.html").read_text())
    assert found is not None
    words = shlex.split(html.unescape(found[1]))
    assert words[:2] == ["gf", "run"]
    plugin = words.index("--plugin") + 1
    assert words[plugin] == "reach.py"
    words[plugin] = FAKES
    assert main([*words[1:], "--out", "second", "--in-process"]) == 0
    assert Path("second/run.json").read_bytes() == Path("first/run.json").read_bytes()


def test_the_tabletop_has_faces_and_animations() -> None:
    assert main(["run", "gf/smoke@1", "--policy", "gf/random-card-v1", "--limit", "3", "--out", "here"]) == 0
    assert main(["report", "here", "--html", "page.html"]) == 0
    page = Path("page.html").read_text()
    assert page.count('class="moving"') == 3
    assert page.count("<symbol id=") >= 3
    assert "No pictures" not in page
    assert "replayed as" not in page
