"""What the control splits say of a policy that reads, one that has a habit, and one that guesses."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gf_core.contracts import Episode
from gf_core.evaluation.suites import Suite
from gf_core.reporting import Evidence, read_evidence, to_document, to_html
from gf_core.reporting.controls import CONTROL_SPLITS, Controls, read_controls
from gf_core.reporting.faces import Faces
from gf_core.reporting.prose import read_control
from gf_core.schemas import validate
from gf_core.summary import MetricDecl

from .page import Page, check

K, SCENES = 3, 20
METRICS = (
    MetricDecl(name="success", metric="success"),
    MetricDecl(name="execution", metric="executed"),
    MetricDecl(name="recognition", metric="recognized", given="executed", chance=1 / K),
)
Choose = Callable[[Episode, int | None], int | None]


def controls_suite(demo: Any) -> Suite:
    plain: Suite = demo.suite()

    def episode(split: str, scene: int, target: int | None, name: str) -> Episode:
        factors = {"scene": f"val-{scene}", "target_position": target}
        cluster = f"emoji-{scene // 2}" if split != "counterfactual" else f"card-{scene}-{target}"
        scene_data = {"target": target}
        return replace(plain.episodes[0], id=name, split=split, cluster=cluster, factors=factors, scene=scene_data)

    episodes = [
        *(episode(split, s, s % K, f"{split}-{s}") for split in ("blank", "nonsense") for s in range(SCENES)),
        *(episode("absent", s, None, f"absent-{s}") for s in range(SCENES)),
        *(episode("counterfactual", s, k, f"counterfactual-{s}-{k}") for s in range(SCENES) for k in range(K)),
    ]
    return replace(plain, metrics=METRICS, splits=dict.fromkeys(CONTROL_SPLITS, ""), episodes=tuple(episodes))


@pytest.fixture
def evidence_of(make_run: Callable[..., Path], demo: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Evidence]:
    controls = controls_suite(demo)

    def make(name: str, choose: Choose, only: int | None = None) -> Evidence:
        def play(episode: Episode) -> dict[str, Any]:
            target = episode.scene["target"]
            chosen = choose(episode, target)
            recognized = None if chosen is None or target is None else chosen == target
            metrics = {"executed": chosen is not None, "chosen": chosen, "recognized": recognized}
            ending = "placed" if chosen is not None else "horizon"
            common = {"steps": 9, "clipped_steps": 0, "metrics": metrics, "factors": dict(episode.factors)}
            return {"success": recognized is True, "ending": ending, **common}

        return read_evidence(make_run(name, play=play, only=only, plan=controls.episodes), lambda _: controls)

    return make


def reads(episode: Episode, target: int | None) -> int | None:
    """Follows the instruction; without one it takes any card."""
    told = episode.split == "counterfactual"
    return target if told else None if episode.split == "absent" else random.Random(episode.id).randrange(K)


def habit(episode: Episode, target: int | None) -> int | None:
    return 0


def guess(episode: Episode, target: int | None) -> int | None:
    return random.Random(episode.id).randrange(K)


def figures(*evidence: Evidence) -> Controls:
    found = read_controls(evidence)
    assert found is not None
    return found


def test_a_policy_that_reads_is_consistent_and_switches(evidence_of: Callable[..., Evidence]) -> None:
    controls = figures(evidence_of("reads", reads))
    (row,) = controls.rows
    assert (controls.cards, controls.guessing_consistency, row.guessing_switches) == (K, 1 / 27, pytest.approx(8 / 9))
    assert row.consistency is not None
    assert row.switches is not None
    assert (row.consistency.k, row.consistency.n, row.consistency.clusters) == (SCENES, SCENES, SCENES // 2)
    assert (row.switches.k, row.switches.n) == (SCENES, SCENES)
    assert row.acts is not None
    assert (row.acts.k, row.acts.n) == (0, SCENES)
    assert [round(rate.estimate or 0, 9) for rate in row.positions["counterfactual"].rates] == [round(1 / K, 9)] * K
    assert row.positions["counterfactual"].p == 1
    assert "absent" not in row.positions


def test_a_habit_neither_switches_nor_is_it_consistent(evidence_of: Callable[..., Evidence]) -> None:
    (row,) = figures(evidence_of("habit", habit)).rows
    assert row.consistency is not None
    assert row.switches is not None
    assert (row.consistency.k, row.switches.k, row.switches.n) == (0, 0, SCENES)
    assert [rate.estimate for rate in row.positions["blank"].rates] == [1, 0, 0]
    assert row.positions["blank"].p < 0.001
    assert row.blind["blank"].estimate == pytest.approx(7 / 20)


def test_guessing_gives_less_to_a_run_that_does_not_place_each_time(evidence_of: Callable[..., Evidence]) -> None:
    def twice(episode: Episode, target: int | None) -> int | None:
        return target if target != 2 else None

    evidence = evidence_of("twice", twice)
    (row,) = figures(evidence).rows
    assert row.switches is not None
    assert (row.switches.k, row.switches.n, row.guessing_switches) == (SCENES, SCENES, pytest.approx(2 / 3))
    document: Any = json.loads(json.dumps(to_document([evidence.report], [evidence])))
    validate(document, "report", source="report")
    assert document["controls"][0]["guessing"]["switches"] == pytest.approx(2 / 3)


def test_scenes_that_are_not_complete_are_left_out(evidence_of: Callable[..., Evidence]) -> None:
    (row,) = figures(evidence_of("begun", reads, only=3 * SCENES + 2 * K + 1)).rows
    assert row.consistency is not None
    assert row.consistency.n == 2
    (row,) = figures(evidence_of("barely", reads, only=3)).rows
    assert (row.consistency, row.switches, row.acts) == (None, None, None)


def test_the_page_shows_them_and_says_what_they_mean(evidence_of: Callable[..., Evidence]) -> None:
    runs = [evidence_of(name, choose) for name, choose in {"a": reads, "b": habit, "c": guess}.items()]
    page = Page(to_html([*runs, evidence_of("barely", reads, only=3)], Faces({})))
    check(page)
    rows = page.rows("Controls.")
    assert [row[1].split()[0] for row in rows[:2]] == ["100", "0.0"]
    assert [row[3] for row in rows] == ["88.9", "88.9", "88.9", "—", ""]
    assert rows[3][1:] == ["—", "—", "—", *rows[3][4:5], "—", "—"]
    assert rows[4] == ["guessing", "3.7", "", "", "33.3", "33.3", ""]
    summary = " ".join(page.named("header")[0].text.split())
    assert (
        "1 demo/policy-v1 follows the instruction for each of the 3 cards in 100 % [72, 100] of the scenes, more often" in summary
    )
    assert (
        "2 demo/policy-v1 follows the instruction for each of the 3 cards in 0 % [0, 28] of the scenes, no more often" in summary
    )
    assert "its choice changes with the instruction in 0 % [0, 28]" in summary
    assert "Successes by target" not in page.source


def test_a_target_found_without_being_told_may_be_chance(evidence_of: Callable[..., Evidence]) -> None:
    evidence = [evidence_of("peeks", lambda episode, target: target), evidence_of("left", habit)]
    peeks, left = (read_control(number, figures(*evidence), "it") for number in range(2))
    assert "finds the target with a blank and a nonsense instruction more often than by guessing" in peeks
    assert "or it is chance, as in one of 40 such comparisons" in peeks
    assert "finds the target" not in left


def test_other_suites_have_no_controls(make_run: Callable[..., Path], demo: Any) -> None:
    assert read_controls([read_evidence(make_run(), lambda _: demo.suite())]) is None


def test_the_document_says_the_same(evidence_of: Callable[..., Evidence]) -> None:
    evidence = [evidence_of("reads", lambda episode, target: target or 0), evidence_of("left", lambda episode, target: 0)]
    document: Any = json.loads(json.dumps(to_document([one.report for one in evidence], evidence), allow_nan=False))
    validate(document, "report", source="report")
    reads, left = document["controls"]
    assert (reads["run"], left["run"], reads["cards"]) == (1, 2, K)
    assert (reads["consistency"]["estimate"], left["consistency"]["estimate"]) == (1.0, 0.0)
    assert [rate["estimate"] for rate in left["positions"]["counterfactual"]["rates"]] == [1.0, 0.0, 0.0]
    assert left["positions"]["counterfactual"]["p"] < 0.01 < reads["positions"]["counterfactual"]["p"]
    (success,) = [c for c in document["comparisons"] if (c["split"], c["name"]) == ("counterfactual", "success")]
    (pair,) = success["pairs"]
    assert (pair["first"], pair["second"], pair["separable"]) == (1, 2, True)
    assert pair["difference"] == pytest.approx(2 / 3)
    assert set(success["letters"]["1"]).isdisjoint(success["letters"]["2"])
