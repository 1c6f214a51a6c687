"""Tables of a repository: who is ranked, against whom, and where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gf_core.canonical import sha256
from gf_core.leaderboard.board import change, init, read_board
from gf_core.leaderboard.board.document import to_document
from gf_core.leaderboard.board.ranking import Ranking, rank
from gf_core.plugins import PluginHost
from gf_core.schemas import validate
from gf_core.statistics import standings

from . import recount
from .boards import edit, suite, write_entry


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight entries of which some are separable; one target emoji is harder than the other."""
    board = tmp_path_factory.mktemp("filled")
    init(board, title="Ours", storage="files")

    def skill(base: float) -> Callable[[str], float]:
        return lambda cluster: min(1.0, max(0.0, base + int(sha256(cluster)[:2], 16) / 512 - 0.25))

    for number, base in enumerate((0.85, 0.8, 0.78, 0.6, 0.55, 0.3)):
        write_entry(board, f"Controlled {number}", skill(base), seed=number, backbone="some/vlm")
    write_entry(board, "Open high", 0.9, seed=10, robot_data=["other robot data"])
    write_entry(board, "Open low", 0.5, seed=11, robot_data=[])
    return board


@pytest.fixture(scope="module")
def ranked(filled: Path, host: PluginHost) -> Ranking:
    return rank(read_board(filled), host)


def test_divisions_are_ranked_apart_best_first(ranked: Ranking) -> None:
    assert [(t.division, t.tier, t.track, t.split) for t in ranked.tables] == [
        ("controlled", "replayed", "simulation", "val"),
        ("open", "replayed", "simulation", "val"),
    ]
    controlled, open_ = ranked.tables
    assert [place.played.entry.name for place in open_.places] == ["Open high", "Open low"]
    rates = [place.success.estimate for place in controlled.places]
    assert rates == sorted(rates, key=lambda rate: -(rate or 0))
    assert not ranked.unranked


def test_an_outsider_comes_to_the_same_ranks(filled: Path, ranked: Ranking) -> None:
    found = recount.read(filled, dict(suite().document))
    for table in ranked.tables:
        ours = [(p.best, p.worst, p.success.k, p.success.n, p.played.entry.name) for p in table.places]
        assert sorted(ours) == sorted(recount.ranks(found[table.division]))
    assert any(place.best < place.worst for place in ranked.tables[0].places)
    assert any(place.best > 1 for place in ranked.tables[0].places)


def test_letters_say_what_ranks_say(ranked: Ranking) -> None:
    table = ranked.tables[0]
    for a, first in enumerate(table.places):
        for b, second in enumerate(table.places):
            if a != b:
                assert bool(set(first.letters) & set(second.letters)) is not bool(table.separable[a, b])


def test_who_is_not_ranked_and_why(tmp_path: Path, host: PluginHost) -> None:
    init(tmp_path, title="Ours", storage="files")
    write_entry(tmp_path, "Few", 0.5, lost=1200)
    write_entry(tmp_path, "Ended", 0.5, lost=900)
    write_entry(tmp_path, "Only consistent", 0.5, badge="consistent")
    disputed = write_entry(tmp_path, "Disputed", 0.5)
    gone = write_entry(tmp_path, "Gone", 0.5)
    smoke = write_entry(tmp_path, "Smoke", 0.5, of=suite("gf/smoke@1"))
    old = write_entry(tmp_path, "Old", 0.5)
    other = write_entry(tmp_path, "Other", 0.5)
    change(tmp_path, disputed, "disputed", "trained on val")
    change(tmp_path, gone, "withdrawn", "a mistake")
    edit(tmp_path / "entries" / old / "outcomes.json", lambda d: d["runs"][0]["described"].update(suite="gf/standard@0"))
    edit(tmp_path / "entries" / other / "outcomes.json", lambda d: d["runs"][0]["described"].update(suite_sha256="0" * 64))
    board = read_board(tmp_path)
    found = rank(board, host)
    why = {one.played.entry.name: one.why for one in found.unranked}
    assert why.pop("Old").startswith("gf/standard@0 isn't known here any more")
    assert why == {
        "Few": "provisional: 0 scored episodes, and 400 are needed",
        "Ended": "provisional: 300 scored episodes, and 400 are needed",
        "Only consistent": "only consistent: its physics isn't verified",
        "Disputed": "disputed: trained on val",
        "Smoke": "gf/smoke@1 isn't for ranking",
        "Other": "gf/standard@1 here isn't the one that was run",
    }
    assert smoke
    assert not found.tables
    document = {"schema_version": "1.0", "kind": "ranking", **to_document(board, found)}
    validate(document, "ranking", source="list")
    assert [entry["name"] for entry in document["withdrawn"]] == ["Gone"]


def test_policies_that_were_run_again_are_ranked_apart(filled: Path, host: PluginHost) -> None:
    board = read_board(filled)
    again = [(entry.id, "gf/standard@1") for entry in board.entries if entry.name in ("Controlled 0", "Controlled 5")]
    tables = rank(board, host, rerun=again).tables
    assert [(t.division, t.tier, len(t.places)) for t in tables] == [
        ("controlled", "re-run", 2),
        ("controlled", "replayed", 4),
        ("open", "replayed", 2),
    ]


def test_an_incomplete_run_is_compared_on_the_common_episodes(tmp_path: Path, host: PluginHost) -> None:
    init(tmp_path, title="Ours", storage="files")
    for name in ("First", "Second"):
        write_entry(tmp_path, name, 0.7, seed=len(name))
    # Faults in the id split, which comes first, don't touch val.
    write_entry(tmp_path, "Third", 0.2, lost=5, seed=3)
    (table,) = rank(read_board(tmp_path), host).tables
    assert [place.success.n for place in table.places] == [400, 400, 400]
    found = recount.read(tmp_path, dict(suite().document))[table.division]
    ours = [(p.best, p.worst, p.success.k, p.success.n, p.played.entry.name) for p in table.places]
    assert sorted(recount.ranks(found)) == sorted(ours)


def test_an_outsider_also_says_of_the_common_episodes_who_is_better() -> None:
    """The first has 30 episodes more, in all of which it is right."""
    known, right, clusters = np.ones((2, 60), bool), np.zeros((2, 60), bool), np.repeat(np.arange(20), 3)
    known[1, :30] = False
    right[0, :30] = right[1, 30::3] = True
    entries = {
        name: [(e, clusters[e], bool(right[n, e])) for e in np.flatnonzero(known[n])] for n, name in enumerate(("all", "half"))
    }
    found = standings(right, known, clusters)
    told = {name: (best, worst) for best, worst, _, _, name in recount.ranks(entries)}
    assert (
        told
        == {name: (found.best[n], found.worst[n]) for n, name in enumerate(("all", "half"))}
        == {"all": (2, 2), "half": (1, 1)}
    )


def test_the_list_prints_ranges_letters_and_intervals(gf: Callable[..., tuple[int, str, str]], filled: Path) -> None:
    code, text, _ = gf("leaderboard", "list", filled)
    assert code == 0
    assert "gf/standard@1 · simulation · controlled division · replayed, by val" in text
    assert "rank" in text
    assert "Controlled 0" in text
    line = next(line for line in text.splitlines() if "Controlled 5" in line)
    assert line.startswith("6  ")
    code, text, _ = gf("leaderboard", "list", filled, "--json")
    document = json.loads(text)
    validate(document, "ranking", source="list")
    assert [len(table["places"]) for table in document["tables"]] == [6, 2]
