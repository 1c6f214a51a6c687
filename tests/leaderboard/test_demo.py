"""The project's own entries, docs/demo: whole, counted again by an outsider, and a site."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from gf_core.evaluation.suites import load_suite
from gf_core.leaderboard.board import read_board
from gf_core.leaderboard.board.audit import audit
from gf_core.leaderboard.board.pictures import pictures_of
from gf_core.leaderboard.board.ranking import rank
from gf_core.leaderboard.site import build
from gf_core.plugins import PluginHost

from . import recount

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "docs" / "demo"
pytestmark = pytest.mark.skipif(not DEMO.is_dir(), reason="docs/ is part of the checkout, not of the wheel")


def test_every_rate_is_what_its_outcomes_lead_to(host: PluginHost, tmp_path: Path) -> None:
    found = audit(read_board(DEMO, host), host, tmp_path)
    assert (found.problems, found.unseen) == ((), {})


def test_an_outsider_comes_to_the_same_ranks(host: PluginHost) -> None:
    ranked = rank(read_board(DEMO), host)
    found = recount.read(DEMO, dict(load_suite("gf/standard@1", host).document))
    assert {table.division for table in ranked.tables} == set(found) == {"controlled", "open"}
    for table in ranked.tables:
        ours = [(p.best, p.worst, p.success.k, p.success.n, p.played.entry.name) for p in table.places]
        assert sorted(ours) == sorted(recount.ranks(found[table.division]))
    assert not ranked.unranked


def test_entries_are_the_policies_whose_numbers_are_published() -> None:
    """By the hashes of their checkpoints: three training seeds of each arm, and none that the study doesn't report."""
    report = json.loads((ROOT / "docs" / "results" / "inheritance.json").read_bytes())
    cells = {cell["checkpoint_sha256"]: cell["condition"]["arm"] for cell in report["cells"] if cell["state"] == "done"}
    probes = [json.loads(file.read_bytes()) for file in DEMO.glob("entries/*/probe.json")]
    arms = Counter(cells[probe["checkpoint"]["sha256"]] for probe in probes)
    assert len(arms) >= 5
    assert set(arms.values()) == {3}


def test_the_page_shows_the_tables(gf: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = gf("leaderboard", "list", DEMO)
    page = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    assert code == 0
    assert "\n".join(line.rstrip() for line in out.strip().splitlines()) in page


def test_the_site_shows_all_of_them(host: PluginHost, tmp_path: Path) -> None:
    pytest.importorskip("itables")
    board = read_board(DEMO)
    build(board, host, tmp_path / "site")
    front = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    for entry in board.entries:
        assert f"entries/{entry.id}.html" in front
        page = (tmp_path / "site" / "entries" / f"{entry.id}.html").read_text(encoding="utf-8")
        assert page.count("<figure>") == len(pictures_of(entry.path)) > 0
