"""`gf run` and `gf replay`, through the real program."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gf_core.cli.main import main
from gf_core.schemas import validate

FAKES = str(Path(__file__).parent.parent / "fakes" / "reach.py")


@pytest.fixture(autouse=True)
def only_the_fakes(monkeypatch, tmp_path):
    monkeypatch.setenv("GF_PLUGIN_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def suite(tmp_path):
    def episode(number: int, **changes):
        scene = {"start": [0.0, 0.0], "goal": [0.3, 0.01 * number]}
        row = {"id": f"e{number}", "split": "all", "cluster": f"c{number}", "seed": 0, "instruction": "go", "horizon": 20}
        return {**row, "factors": {}, "scene": scene, **changes}

    document = {
        "schema_version": "1.0",
        "kind": "suite",
        "id": "local/tiny@1",
        "summary": "for tests",
        "license": "Apache-2.0",
        "env": {"id": "local/reach-v1", "config": {}},
        "control_hz": 20,
        "decks": {},
        "splits": {"all": {"description": "all"}},
        "metrics": [{"name": "near", "metric": "near", "description": "near"}],
        "episodes": [episode(0), episode(1, horizon=2), episode(2)],
    }
    path = tmp_path / "tiny.json"

    def write(**changes) -> str:
        path.write_text(json.dumps({**document, **changes}))
        return str(path)

    write.episode = episode
    return write


def gf(capfd, *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    out, err = capfd.readouterr()
    return code, out, err


def run(capfd, suite: str, *more: str) -> tuple[int, str, str]:
    return gf(capfd, "run", suite, "--policy", "local/reacher-v1", "--plugin", FAKES, *more)


def test_run_report_and_replay(capfd, suite, tmp_path):
    code, out, err = run(capfd, suite(), "--out", "here", "--slots", "2")
    assert code == 0, err
    assert "local/tiny@1" in out
    assert "3/3 episodes" in err
    code, out, err = gf(capfd, "replay", "here", "first-failure", "--plugin", FAKES, "--suite", "tiny.json", "--video", "e.webp")
    assert (code, err) == (0, "")
    assert out.splitlines() == ["e1: 'go', horizon after 2 steps", "replayed exactly as recorded", "wrote e.webp"]
    assert (tmp_path / "e.webp").read_bytes()[:4] == b"RIFF"
    code, out, err = run(capfd, suite(), "--out", "here", "--json")
    assert code == 0
    assert "finished before" in err
    assert json.loads(out)["runs"][0]["run"] == "here"


def test_default_directory(capfd, suite, tmp_path):
    assert run(capfd, suite())[0] == 0
    (made,) = (tmp_path / "runs").iterdir()
    assert made.name.startswith("local.tiny@1-local.reacher-v1-")


def test_replay_exits_with_1_where_something_differs(capfd, suite, tmp_path):
    assert run(capfd, suite(), "--out", "here", "--in-process")[0] == 0
    from gf_core.runs import read_run

    there = read_run(tmp_path / "here")
    rows = [json.loads(line) for line in (there.path / "episodes.jsonl").read_text().splitlines()]
    rows[-1]["metrics"]["distance"] = 0.0  # the last row: the chain before it still holds, and the journal is gone
    (there.path / "journal.jsonl").unlink()
    (there.path / "episodes.jsonl").write_text(
        "".join(json.dumps(row, sort_keys=True, separators=(",", ":")) + "\n" for row in rows)
    )
    replay = ("replay", "here", "e2", "--plugin", FAKES, "--suite", "tiny.json")
    code, out, _ = gf(capfd, *replay)
    assert code == 1
    assert "distance: 0.0 recorded" in out
    code, out, _ = gf(capfd, *replay, "--json")
    assert code == 1
    document = json.loads(out)
    assert (document["kind"], document["equal"]) == ("replay", False)


def test_replaying_an_infrastructure_fault_says_that_nothing_was_compared(capfd, suite):
    fault = suite.episode(0, scene={"start": [0, 0], "goal": [1, 1], "fault": "always"})
    assert run(capfd, suite(episodes=[fault]), "--out", "here", "--in-process")[0] == 3
    replay = ("replay", "here", "e0", "--plugin", FAKES, "--suite", "tiny.json")
    code, out, _ = gf(capfd, *replay)
    assert (code, out.splitlines()[1].partition(":")[0]) == (1, "shown, not compared")
    code, out, _ = gf(capfd, *replay, "--json")
    document = json.loads(out)
    validate(document, "replay", source="stdout")
    assert (code, document["equal"], document["differences"]) == (1, None, [])


def test_what_others_print_is_no_part_of_the_json(capfd, suite):
    """The environment prints when it is reset, and the policy, in this process, when it is asked."""
    talking = suite(env={"id": "local/reach-v1", "config": {"broken": "talks"}})
    replay = ("replay", "here", "--plugin", FAKES, "--suite", talking, "--json")
    for code, out, err in (
        run(capfd, talking, "--out", "here", "--in-process", "--json"),
        gf(capfd, *replay),
        gf(capfd, *replay[:2], "e0", *replay[2:]),
        gf(capfd, "report", "here", "--plugin", FAKES, "--suite", talking, "--html", "page.html", "--json"),
    ):
        assert code == 0, err
        assert json.loads(out)["kind"] in ("report", "verification", "replay")
        assert "GPU 0 was chosen" in err
        assert "as a library in C would say" in err


def test_an_invalid_run_exits_with_3(capfd, suite):
    episodes = [suite.episode(0), suite.episode(1, scene={"start": [0, 0], "goal": [1, 1], "fault": "always"})]
    code, _, err = run(capfd, suite(episodes=episodes), "--out", "here")
    assert code == 3
    assert "infrastructure fault" in err
    assert run(capfd, suite(episodes=episodes), "--out", "here")[0] == 3, "it stays invalid"


def test_failed_episodes_are_no_failed_run(capfd, suite):
    code, _, _ = run(capfd, suite(episodes=[suite.episode(0, instruction="nan", horizon=9)]), "--out", "here", "--in-process")
    assert code == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--set", "chunk=lots"], "--set chunk: "),
        (["--set", "chnk=1"], "did you mean 'chunk'"),
        (["--env-set", "drift=far"], "--env-set drift: "),
        (["--hz", "7"], "--hz wants 7 Hz"),
        (["--episodes", "e9"], "no episode 'e9'"),
        (["--latency-steps", "2"], "add --timing realtime"),
        (["--out", "tiny.json/x"], "Not a directory"),
        (["--set", "unloadable=true"], "ValueError: no weights here"),
        (["--env-set", "broken=make"], "no such plane"),
        (["--env-set", "broken=missing"], "apt-get install libegl1"),
        (["--slots", "0"], "--slots"),
        (["--policy-seed", str(2**63)], "--policy-seed"),
        (["--execute-steps", str(2**63)], "--execute-steps"),
        (["--timing", "realtime", "--latency-steps", str(2**63)], "--latency-steps"),
        (["--plugin", "none.py"], "none.py"),
    ],
)
def test_a_users_mistake_is_a_line_and_exit_code_2(capfd, suite, more, words):
    code, out, err = run(capfd, suite(), "--out", "here", *more)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["run", "replay", "pack"])
def test_a_damaged_run_json_is_a_line_and_exit_code_2(capfd, suite, tmp_path, command):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "run.json").write_text('{"schema_version": "1.0", "kind": "run", "environment": []}')
    (tmp_path / "here" / "episodes.jsonl").write_text("")
    more = {
        "run": ("run", suite(), "--policy", "local/reacher-v1", "--plugin", FAKES, "--out", "here"),
        "replay": ("replay", "here", "first-failure", "--video", "e.webp"),
        "pack": ("submit", "pack", "here", "--out", "x.zip"),
    }
    code, out, err = gf(capfd, *more[command])
    assert (code, out) == (2, "")
    assert "here/run.json#/environment: expected an object" in err


@pytest.mark.parametrize("key", ["success", "ending", "split"])
def test_a_damaged_journal_is_a_line_and_exit_code_2(capfd, suite, tmp_path, key):
    assert run(capfd, suite(), "--out", "here", "--in-process", "--slots", "1")[0] == 0
    (tmp_path / "here" / "episodes.jsonl").unlink()
    journal = tmp_path / "here" / "journal.jsonl"
    rows = [json.loads(line) for line in journal.read_text().splitlines()[:-1]]
    del rows[1]["record"][key]
    journal.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for code, _, err in (
        run(capfd, suite(), "--out", "here", "--in-process"),
        gf(capfd, "replay", "here", "first-failure", "--plugin", FAKES, "--suite", "tiny.json"),
    ):
        assert (code, err) == (2, "error: here/journal.jsonl:2: not a row of a journal; the file was edited\n")


def test_an_unknown_policy(capfd, suite):
    code, _, err = gf(capfd, "run", suite(), "--policy", "local/recher-v1", "--plugin", FAKES)
    assert code == 2
    assert "did you mean 'local/reacher-v1'" in err


def test_options_reach_the_run(capfd, suite, tmp_path):
    options = [
        "--hz",
        "10",
        "--limit",
        "2",
        "--execute-steps",
        "2",
        "--timing",
        "realtime",
        "--latency-steps",
        "1",
        "--policy-seed",
        "5",
    ]
    code, out, _ = run(capfd, suite(), "--out", "here", "--set", "chunk=3", "--in-process", *options)
    assert code == 0
    identity = json.loads((tmp_path / "here" / "run.json").read_text())
    assert identity["control_hz"] == 10
    assert identity["timing"] == {"mode": "realtime", "latency_steps": 1}
    assert identity["policy"]["execute_steps"] == 2
    assert identity["policy"]["seed"] == 5
    assert identity["policy"]["config"]["chunk"] == 3
    assert (identity["partial"], identity["variant"], identity["unpackaged"]) == (True, True, True)
    assert "partial" in out


def test_the_largest_numbers_of_a_run_are_read_again(capfd, suite, tmp_path):
    largest = ("--policy-seed", str(2**63 - 1), "--execute-steps", "1000000", "--latency-steps", "1000000")
    assert run(capfd, suite(), "--out", "here", "--in-process", "--limit", "1", "--timing", "realtime", *largest)[0] == 0
    assert json.loads((tmp_path / "here" / "run.json").read_text())["policy"]["seed"] == 2**63 - 1


def test_nothing_heavy_is_imported_for_help():
    code = "import sys; from gf_core.cli.main import main; main(['run', '--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Examples:" in done.stdout
    assert not {"numpy", "rich", "PIL", "mujoco"} & set(done.stdout.split())
