"""Robot data shows no card that is held out."""

from __future__ import annotations

from pathlib import Path

import pytest

from gf_core._shipped import shipped
from gf_core.evaluation.suites import Suite, load_suite
from gf_core.plugins import PluginHost, load_plugins
from gf_core.studies.document import SHIPPED, load_study
from gf_core.training.probe.material import choose

HELD_OUT = "val"


@pytest.fixture(scope="module")
def host() -> PluginHost:
    return load_plugins()


def shown(suite: Suite, split: str = "") -> set[tuple[str, str]]:
    """(deck, item) of every card that lies in a scene, whether it is the target or not."""
    return {face for asked in choose(suite, None) if split in ("", asked.episode.split) for face in asked.faces}


def overlap(suite: str, host: PluginHost) -> set[tuple[str, str]]:
    """Held-out cards that a suite for robot data shows."""
    held_out = shown(load_suite("gf/standard@1", host), HELD_OUT)
    assert len(held_out) == 100
    return held_out & shown(load_suite(suite, host))


def test_demonstrations_show_no_held_out_card(host: PluginHost) -> None:
    assert overlap("gf/demos@1", host) == set()


def test_the_check_finds_one_that_does(host: PluginHost) -> None:
    assert len(overlap("gf/standard@1", host)) == 100
    assert overlap("gf/paper@1", host) != set()


@pytest.mark.parametrize("study", sorted(shipped(SHIPPED).values()), ids=lambda path: path.stem)
def test_robot_data_of_shipped_studies_shows_none(study: Path, host: PluginHost) -> None:
    suites = {entry["demos"]["suite"] for entry in load_study(str(study)).data.values() if "demos" in entry}
    assert suites
    for suite in suites:
        assert overlap(suite, host) == set(), suite
