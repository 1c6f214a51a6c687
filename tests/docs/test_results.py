"""The page of results says what the reports beside it say."""

from __future__ import annotations

import fnmatch
import json
import re
import runpy
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from gf_core.cli.main import main
from gf_core.evaluation.suites import load_suite
from gf_core.plugins import load_plugins
from gf_core.schemas import validate
from gf_core.statistics.seeds import two_level_difference

from .pages import ROOT

RESULTS = ROOT / "docs" / "results"
pytestmark = pytest.mark.skipif(not RESULTS.is_dir(), reason="docs/ is part of the checkout, not of the wheel")


FIRST, LATENT = "inheritance", "inheritance-latent"
"""The five arms with three seeds, and latent actions after they were mended."""
ARMS = {FIRST: ("scratch", "full", "lora", "freeze", "cotrain"), LATENT: ("latent",)}


def read(name: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_bytes())
    return report


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", [FIRST, LATENT])
def test_tables_are_those_of_the_report(name: str) -> None:
    report = read(name)
    validate(report, "study_report", source=name)
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    tables = runpy.run_path(str(ROOT / "scripts" / "results_tables.py"))["tables"](report, ARMS[name])
    assert len(tables) == 3
    assert all(table in page for table in tables)


def test_the_page_is_of_the_same_cells_as_the_numbers() -> None:
    page = (RESULTS / "inheritance.html").read_text(encoding="utf-8")
    done = [cell for cell in read(FIRST)["cells"] if cell["state"] == "done"]
    assert done
    assert all(cell["checkpoint_sha256"][:12] in page for cell in done)


def test_both_reports_are_of_one_study() -> None:
    assert read(FIRST)["study"] == read(LATENT)["study"]


def test_numbers_of_latent_actions_are_counted_again_from_their_episodes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "report", str(RESULTS / f"{LATENT}.zip"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read(LATENT)


def test_latent_actions_are_contrasted_with_full_fine_tuning_as_reports_do_it() -> None:
    """No report holds both arms: one's episodes are in the pack, the other's are the demo's entries."""
    latent, full = [], []
    with zipfile.ZipFile(RESULTS / f"{LATENT}.zip") as pack:
        for name in fnmatch.filter(pack.namelist(), "cells/nano/latent/standard/*/runs/gf.standard@1/episodes.jsonl"):
            episodes = [json.loads(line) for line in pack.read(name).splitlines()]
            latent.append(by_cluster((one["cluster"], one["success"]) for one in episodes))
    suite = load_suite("gf/standard@1", load_plugins())
    for entry in (ROOT / "docs" / "demo" / "entries").glob("*-nano-full-seed-*"):
        (run,) = json.loads((entry / "outcomes.json").read_bytes())["runs"]
        played = zip(suite.episodes, run["metrics"]["success"], strict=True)
        full.append(by_cluster((one.cluster, won == "1") for one, won in played if one.split == "val"))
    found = two_level_difference(latent, full)
    low, high = (f"{100 * end:.1f}".removesuffix(".0").replace("-", "−") for end in (found.interval.low, found.interval.high))
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert len(latent) == len(full) == 3
    assert f"`latent` − `full`, is −{-100 * found.estimate:.1f} points of success [{low}, {high}], not separable" in page


def by_cluster(outcomes: Iterable[tuple[str, bool]]) -> dict[str, tuple[int, int]]:
    """Successes and episodes of each."""
    found: dict[str, tuple[int, int]] = {}
    for cluster, won in outcomes:
        successes, episodes = found.get(cluster, (0, 0))
        found[cluster] = (successes + won, episodes + 1)
    return found


def test_what_the_page_says_of_the_longer_token_arm_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    page = " ".join((ROOT / "docs" / "results.md").read_text(encoding="utf-8").split())
    assert main(["report", str(RESULTS / "fast-long"), "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    (split,) = run["splits"]
    counts = {metric["name"]: (metric["k"], metric["n"]) for metric in split["metrics"]}
    (right, episodes), (placed, _) = counts["success"], counts["execution"]
    middle = sum(row["metrics"]["chosen"] == 1 for row in rows(RESULTS / "fast-long" / "episodes.jsonl"))
    assert f"Of the first {episodes} episodes of `gf/standard@1` `val`" in page
    assert f"places the cube in {placed}, {right} of these on the right card" in page
    assert f"{middle} of the {placed} are on the card in the middle" in page
    losses = [row["losses"]["action/tokens"] for row in rows(RESULTS / "fast-long" / "metrics.jsonl")]
    said = [f"{sum(losses[step - 50 : step]) / 50:.2f}" for step in (500, 1000, 1500)]
    assert len(losses) == 1500
    assert f"the loss is at {said[0]}, {said[1]} and {said[2]} nats a token after 500, 1,000 and 1,500 steps" in page


def test_links_of_the_page_lead_somewhere() -> None:
    """The study's directory isn't here, so nothing may lead there, nor say where it lies on the machine that computed it."""
    page = (RESULTS / "inheritance.html").read_text(encoding="utf-8")
    names = set(re.findall(r'id="([^"]+)"', page))
    links = re.findall(r'<a [^>]*href="([^"]+)"', page)
    assert links
    assert not [link for link in links if link[0] != "#" or link[1:] not in names]
