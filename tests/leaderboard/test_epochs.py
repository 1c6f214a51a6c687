"""A whole round of commit and reveal through the command line, with two honest submitters and three that cheat."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gf_core.canonical import canonical_json, sha256
from gf_core.errors import GrinningFaceError
from gf_core.evaluation import Request, Resources, run_suite
from gf_core.leaderboard.board import read_board
from gf_core.leaderboard.board.epochs import challenge_seed, read_epoch
from gf_core.leaderboard.board.repository import Entry
from gf_core.leaderboard.board.rerun import _check_settings
from gf_core.plugins import load_plugins
from gf_core.schemas import validate
from gf_core.serving.opening import open_server

from .boards import edit
from .forging import CARD, Forgery

HERE = Path(__file__).parent
Gf = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The distribution ``arena``, installed; returns a folder for the round."""
    site = tmp_path_factory.mktemp("site")
    shutil.copy(HERE / "arena.py", site / "gf_arena.py")
    shutil.copy(HERE.parent / "fakes" / "reach.py", site / "reach.py")
    info = site / "arena-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: arena\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[grinningface]\narena = gf_arena\n")
    package = site / "gf_arena_data"
    package.mkdir()
    (package / "__init__.py").write_text("")
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    gf_arena = importlib.import_module("gf_arena")
    (package / "plane.json").write_text(canonical_json(gf_arena.document(gf_arena.SUITE, 1, 4)))
    yield tmp_path_factory.mktemp("round")
    sys.path.remove(str(site))
    for name in ("gf_arena", "gf_arena_data", "reach"):
        sys.modules.pop(name, None)


def checkpoint(arena: Path, skill: float) -> Path:
    path = arena / f"skill-{skill}.json"
    path.write_text(json.dumps({"skill": skill}))
    return path


def played(arena: Path, skill: float) -> Path:
    """A run of arena/plane@1 with a checkpoint of this skill, played once."""
    out = arena / f"run-{skill}"
    request = Request(
        suite="arena/plane@1", policy="arena/walker-v1", policy_config={"checkpoint": str(checkpoint(arena, skill))}
    )
    run_suite(request, host=load_plugins(), out=out, resources=Resources(in_process=True))
    return out


def submission(arena: Path, gf: Gf, name: str, run: Path) -> Path:
    card = arena / f"{name}.json"
    card.write_text(json.dumps({**CARD, "name": name, "trained_items": [], "robot_data": []}))
    code, _, err = gf("submit", "pack", run, "--card", card, "--out", arena / f"{name}.zip")
    assert code == 0, err
    return arena / f"{name}.zip"


def relabelled(arena: Path, run: Path, name: str, spec_sha256: str, **config: Any) -> Path:
    """A run that says that another checkpoint did it."""
    forged = Forgery(run, arena / f"forged-{name}")
    forged.identity["policy"].update(spec_sha256=spec_sha256, config=config)
    return forged.write()


def entries(board: Path) -> dict[str, str]:
    return {entry.name: entry.id for entry in read_board(board).entries}


@pytest.fixture
def closed(arena: Path, gf: Gf) -> Path:
    """The folder of a round that was played to its end, once in each process: tests may be shared out among several."""
    if not (arena / "played").exists():
        play_round(arena, gf)
        (arena / "played").touch()
    return arena


def test_a_round(closed: Path) -> None:
    assert read_epoch(closed / "board", "first").closed is not None


def play_round(arena: Path, gf: Gf) -> None:
    board, secret = arena / "board", arena / "epoch.secret"
    strong, weak = played(arena, 0.9), played(arena, 0.3)
    best = played(arena, 0.95)
    weak_identity = json.loads((weak / "run.json").read_bytes())["policy"]

    assert gf("leaderboard", "init", board)[0] == 0
    code, _, err = gf("leaderboard", "epoch", "open", board, "first", "--secret", board / "secret")
    assert (code, "in the repository" in err) == (2, True)
    assert gf("leaderboard", "epoch", "open", board, "first", "--secret", secret, "--date", "2026-01-01")[0] == 0
    assert secret.stat().st_mode & 0o077 == 0
    code, _, err = gf("leaderboard", "epoch", "open", board, "second", "--secret", arena / "other")
    assert (code, "epoch 'first' is open" in err) == (2, True)

    weak_one = weak_identity["spec_sha256"]
    forged = relabelled(arena, played(arena, 0.93), "forged", weak_one, checkpoint="x")
    expert = relabelled(arena, played(arena, 1.0), "expert", weak_one, checkpoint="y")
    files = [
        submission(arena, gf, "honest-strong", strong),
        submission(arena, gf, "honest-weak", weak),
        submission(arena, gf, "swapped", best),  # played with a strong checkpoint, and a weak one is shipped
        submission(arena, gf, "forged", forged),  # the same, and the records say that the weak one did it
        submission(arena, gf, "expert", expert),  # an expert's recording, said to be the weak one's
    ]
    code, text, err = gf("leaderboard", "add", board, *files, "--date", "2026-01-02")
    assert code == 0, text + err
    ids = entries(board)
    assert gf("leaderboard", "commit", board, *ids.values(), "--epoch", "first", "--date", "2026-01-03")[0] == 0

    def rerun(name: str, skill: float, *more: object) -> tuple[int, str, str]:
        at = f"checkpoint={checkpoint(arena, skill)}"
        return gf("leaderboard", "rerun", board, ids[name], "--epoch", "first", "--secret", secret, "--set", at, *more)

    code, text, err = rerun("honest-strong", 0.9, "--json", "--date", "2026-01-04")
    assert code == 0, text + err
    document = json.loads(text)
    validate(document, "rerun", source="rerun")
    assert document["asked"]["close"] == document["asked"]["chunks"] > 8
    assert document["found"]["n"] == 100
    code, text, _ = rerun("honest-weak", 0.3, "--date", "2026-01-04")
    assert (code, "agrees" in text) == (0, True)

    before = sorted(path.name for path in (board / "epochs").rglob("*.json"))
    code, _, err = rerun("swapped", 0.3)
    assert (code, "another checkpoint" in err) == (2, True)
    assert sorted(path.name for path in (board / "epochs").rglob("*.json")) == before
    code, text, _ = rerun("forged", 0.3, "--date", "2026-01-04")
    assert (code, "contradicts its submission" in text, "success in" in text, "answered with the recorded" in text) == (
        1,
        True,
        True,
        True,
    )
    code, text, _ = rerun("expert", 0.3, "--date", "2026-01-04")
    assert (code, "contradicts its submission" in text) == (1, True)

    found = {entry.name: (entry.badge, entry.document["events"][-1]["reason"]) for entry in read_board(board).entries}
    assert found["honest-strong"] == found["honest-weak"] == found["swapped"] == ("replayed", "")
    for cheat in ("forged", "expert"):
        badge, reason = found[cheat]
        assert badge == "disputed"
        assert reason.startswith("re-run in epoch first: success in ")

    # Answered twice: the first answer stands, and nothing is run.
    code, text, _ = rerun("honest-strong", 0.9)
    assert (code, "answered before; nothing was done" in text) == (0, True)
    _, text, _ = gf("leaderboard", "list", board, "--json")
    document = json.loads(text)
    assert [(table["tier"], [place["entry"]["name"] for place in table["places"]]) for table in document["tables"]] == [
        ("re-run", ["honest-strong", "honest-weak"]),
        ("replayed", ["swapped"]),
    ]

    for early, last in (("2025-12-31", "2026-01-04"), ("2026-01-03", "2026-01-04")):
        code, _, err = gf("leaderboard", "epoch", "close", board, "first", "--secret", secret, "--date", early)
        assert (code, f"was run again on arena/plane@1 on {last}, and it can't be closed on {early}" in err) == (2, True)
    assert gf("leaderboard", "epoch", "close", board, "first", "--secret", secret, "--date", "2026-02-01")[0] == 0
    code, _, err = rerun("swapped", 0.95)
    assert (code, "would be late" in err) == (2, True)
    code, _, err = gf("leaderboard", "commit", board, ids["swapped"], "--epoch", "nobody")
    assert (code, "there is no epoch 'nobody'" in err) == (2, True)
    code, text, _ = gf("leaderboard", "audit", board)
    assert (code, text) == (0, "all is as the repository says\n")


def break_secret(board: Path) -> None:
    edit(board / "epochs/first/epoch.json", lambda d: d["closed"].update(secret="0" * 64))


def rerun_file(board: Path, name: str) -> Path:
    return board / "epochs/first/reruns" / entries(board)[name] / "arena.plane@1.json"


def lie(**changes: Any) -> Callable[[Path], None]:
    return lambda board: edit(rerun_file(board, "honest-weak"), lambda d: d.update(changes))


def another_run(board: Path) -> None:
    strong = json.loads(rerun_file(board, "honest-strong").read_bytes())["run"]
    edit(rerun_file(board, "honest-weak"), lambda d: d.update(run=strong))


def twice(board: Path) -> None:
    shutil.copy(rerun_file(board, "honest-weak"), rerun_file(board, "honest-weak").with_name("zz.json"))


def uncommitted(board: Path) -> None:
    (board / "epochs/first/commitments" / f"{entries(board)['honest-weak']}.json").unlink()


def better_rates(board: Path) -> None:
    path = board / "entries" / entries(board)["honest-weak"] / "verdict.json"
    edit(path, lambda d: d["submissions"][0]["runs"][0]["splits"][0]["rates"][0].update(k=400, estimate=1.0))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (break_secret, "the secret isn't the one whose hash was published"),
        (lie(challenge_sha256="0" * 64), "the challenge isn't the one that its seed leads to"),
        (lie(found={"k": 100, "n": 100}), "successes in 100, and 100 are told"),
        (another_run, "successes in 100, and"),
        (lie(policy_spec_sha256="0" * 64), "was run with another checkpoint"),
        (lie(date="2026-03-01"), "late: of 2026-03-01"),
        (lie(commitment="0" * 64), "answers the challenge of another commitment"),
        (twice, "is answered twice; the first answer stands"),
        (uncommitted, "has no commitment in this epoch"),
        (better_rates, "aren't those that outcomes.json leads to"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_audit_names_what_is_wrong(closed: Path, gf: Gf, tmp_path: Path, damage: Callable[[Path], None], told: str) -> None:
    board = tmp_path / "board"
    shutil.copytree(closed / "board", board)
    damage(board)
    code, text, _ = gf("leaderboard", "audit", board)
    assert code == 1
    assert told in text
    assert text.endswith("1 problems\n")
    # What can be told from the files alone is told by `list`, too.
    seen = told in gf("leaderboard", "list", board)[2]
    assert seen is any(part in told for part in ("another checkpoint", "late", "another commitment", "twice", "no commitment"))


def test_an_epoch_is_not_closed_before_it_was_opened(gf: Gf, tmp_path: Path) -> None:
    board, epoch = tmp_path / "board", ("first", "--secret", tmp_path / "secret", "--date")
    assert gf("leaderboard", "init", board)[0] == 0
    assert gf("leaderboard", "epoch", "open", board, *epoch, "2026-01-02")[0] == 0
    code, _, err = gf("leaderboard", "epoch", "close", board, *epoch, "2026-01-01")
    assert (code, "it was opened on 2026-01-02, and it can't be closed on 2026-01-01; --date 2026-01-02" in err) == (2, True)
    assert gf("leaderboard", "epoch", "close", board, *epoch, "2026-01-02")[0] == 0


def test_seeds_depend_on_everything_that_they_should() -> None:
    seeds = {
        challenge_seed(secret, commitment, suite, epoch)
        for secret in (b"a" * 32, b"b" * 32)
        for commitment in ("1", "2")
        for suite in ("gf/standard@1", "gf/other@1")
        for epoch in ("e", "f")
    }
    assert len(seeds) == 16
    assert all(0 <= seed < 2**53 for seed in seeds)


def test_the_published_hash_is_the_secrets(closed: Path) -> None:
    epoch = read_epoch(closed / "board", "first")
    assert epoch.closed is not None
    assert sha256(bytes.fromhex(epoch.closed["secret"])) == epoch.document["secret_sha256"]
    assert bytes.fromhex((closed / "epoch.secret").read_text().strip()) == bytes.fromhex(epoch.closed["secret"])


@pytest.mark.parametrize(
    ("said", "given", "refused"),
    [
        ({"url": "wss://elsewhere"}, [], True),
        ({"requirements": ["strange"]}, [], True),
        ({"downloads": True}, [], True),
        ({"trust_remote_code": True}, [], True),
        ({"checkpoint": "somebody/policy@" + 40 * "a"}, [], True),
        ({"policy": "gf/remote-v1", "settings": ["url=wss://elsewhere"]}, [], True),
        ({"requirements": ["lerobot"], "settings": ["trust_remote_code=true"]}, ["requirements=[]"], True),
        ({"settings": ["checkpoint=somebody/policy@" + 40 * "a"]}, ["policy=gf/lerobot-v1"], True),
        ({"settings": ["downloads=false", "checkpoint=./mine", "play=steps"]}, [], False),
        ({"settings": ["url=wss://elsewhere"]}, ['settings=["url=ws://127.0.0.1:8000"]'], False),
        ({"checkpoint": "somebody/policy@" + 40 * "a"}, ["checkpoint=./copy"], False),
        ({"checkpoint": "trained/lora/checkpoint", "downloads": False, "url": ""}, [], False),
    ],
)
def test_what_a_submission_says_is_not_followed_unseen(said: dict[str, object], given: list[str], refused: bool) -> None:
    entry = cast(Entry, SimpleNamespace(id="2026-11-30-someone"))
    if not refused:
        _check_settings(said, given, entry)
        return
    with pytest.raises(GrinningFaceError, match="isn't followed unseen"):
        _check_settings(said, given, entry)


def test_a_served_policy_is_run_again_where_it_is_served_now(arena: Path, gf: Gf, tmp_path: Path) -> None:
    board, secret = tmp_path / "board", tmp_path / "secret"

    @contextmanager
    def serving(skill: float, folder: str) -> Iterator[str]:
        """At another address and from another file each time."""
        (tmp_path / folder).mkdir()
        file = shutil.copy(checkpoint(arena, skill), tmp_path / folder / "checkpoint.json")
        server = open_server("arena/walker-v1", load_plugins(), settings=[f"checkpoint={file}"], env_id="arena/reach-v1")
        threading.Thread(target=server.serve, daemon=True).start()
        try:
            yield f"url=ws://127.0.0.1:{server.port}"
        finally:
            server.close()

    with serving(0.7, "theirs") as url:
        request = Request(suite="arena/plane@1", policy="gf/remote-v1", policy_config=(url,))
        run_suite(request, host=load_plugins(), out=tmp_path / "run", resources=Resources(in_process=True))
    assert gf("leaderboard", "init", board)[0] == 0
    code, text, err = gf("leaderboard", "add", board, submission(tmp_path, gf, "served", tmp_path / "run"))
    assert code == 0, text + err
    assert gf("leaderboard", "epoch", "open", board, "first", "--secret", secret)[0] == 0
    assert gf("leaderboard", "commit", board, entries(board)["served"], "--epoch", "first")[0] == 0
    again = ("leaderboard", "rerun", board, entries(board)["served"], "--epoch", "first", "--secret", secret, "--set")
    code, _, err = gf(*again, "timeout=5")
    assert (code, "url is ws://" in err, "isn't followed unseen" in err) == (2, True, True)
    with serving(0.9, "better") as url:
        code, _, err = gf(*again, url)
        assert (code, "another checkpoint" in err) == (2, True)
    with serving(0.7, "ours") as url:
        code, text, err = gf(*again, url)
        assert (code, "agrees" in text) == (0, True), text + err
