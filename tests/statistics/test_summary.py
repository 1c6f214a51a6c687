from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gf_core.errors import GrinningFaceError
from gf_core.statistics import clustered_rate
from gf_core.summary import MetricDecl, SplitSummary, outcomes, summarize, tally

METRICS = (
    MetricDecl(name="success", metric="success"),
    MetricDecl(name="execution", metric="executed"),
    MetricDecl(name="recognition", metric="right", given="executed", chance=1 / 3),
    MetricDecl(name="intent", metric="intended", chance=1 / 3),
)


def row(executed: bool = True, right: bool | None = True, intended: bool | None = True, **changes: Any) -> dict[str, Any]:
    metrics = {"executed": executed, "right": right, "intended": intended, "slip": 0.001}
    success = executed and right is True
    ending = "success" if success else "placed"
    base = {
        "split": "val",
        "cluster": "a",
        "success": success,
        "ending": ending,
        "steps": 10,
        "clipped_steps": 0,
        "metrics": metrics,
    }
    return {**base, **changes}


def only(rows: list[dict[str, Any]]) -> SplitSummary:
    (split,) = summarize(rows, METRICS)
    return split


def counts(split: SplitSummary) -> dict[str, tuple[int, int]]:
    return {m.decl.name: (m.rate.k, m.rate.n) for m in split.metrics}


def test_each_rate_has_its_own_denominator() -> None:
    rows = [row(), row(right=False), row(executed=False), row(executed=False, intended=False, cluster="b")]
    split = only(rows)
    assert counts(split) == {"success": (1, 4), "execution": (2, 4), "recognition": (1, 2), "intent": (3, 4)}
    assert split.metrics[0].rate == clustered_rate([1, 0], [3, 1])
    assert split.metrics[2].rate.clusters == 1  # cluster b executed nothing


def test_where_a_question_does_not_arise_it_is_not_counted() -> None:
    rows = [row(), row(intended=None), row(intended=None, ending="policy_error")]
    (split,) = summarize(rows, METRICS)
    intent = next(m for m in split.metrics if m.decl.name == "intent")
    assert (intent.rate.k, intent.rate.n) == (1, 2)


def test_a_broken_policy_does_not_fail_where_no_question_arises() -> None:
    """A split without a right card has neither recognition nor intent, whatever broke in it."""
    broken = row(right=None, intended=None, executed=False, ending="policy_error", episode="broken")
    placed = row(right=None, intended=None, ending="placed", episode="placed", success=False)
    val = row(split="val", episode="val")
    split = next(
        s for s in summarize([*[{**r, "split": "absent"} for r in (placed, broken, broken)], val], METRICS) if s.split != "val"
    )
    assert counts(split) == {"success": (0, 3), "execution": (1, 3), "recognition": (0, 0), "intent": (0, 0)}
    intent = METRICS[3]
    assert outcomes([placed, broken], intent) == outcomes([broken], intent) == {}
    assert outcomes([{**broken, "metrics": {"intended": False}}], intent) == {"broken": False}
    assert outcomes([val, broken], intent) == {"val": True, "broken": False}


def test_a_broken_policy_fails_and_a_broken_environment_is_left_out() -> None:
    rows = [row(), row(ending="policy_error"), row(ending="policy_error", metrics={}, success=False), row(ending="env_error")]
    split = only(rows)
    assert counts(split) == {"success": (1, 3), "execution": (1, 3), "recognition": (1, 1), "intent": (1, 3)}
    assert split.tally.env_errors == 1
    assert split.tally.endings == {"env_error": 1, "policy_error": 2, "success": 1}


def test_only_infrastructure_faults_leave_no_number() -> None:
    split = only([row(ending="env_error", metrics={}, success=False)])
    assert all(m.rate.estimate is m.rate.interval is m.corrected is m.corrected_interval is None for m in split.metrics)
    assert split.tally.steps_median is None
    assert summarize([], METRICS) == []


def test_chance_correction_carries_the_interval_along() -> None:
    recognition = only([row(right=i % 2 == 0, cluster=str(i)) for i in range(60)]).metrics[2]
    assert recognition.corrected == pytest.approx(0.25)
    assert recognition.corrected_interval is not None
    assert recognition.rate.interval is not None
    assert recognition.corrected_interval.low == pytest.approx((recognition.rate.interval.low - 1 / 3) / (2 / 3))
    assert only([row()]).metrics[1].corrected is None  # no chance level declared


def test_tally_counts_what_happened() -> None:
    rows = [row(steps=10, clipped_steps=2), row(steps=20), row(steps=31, metrics={"slip": 0.004, "executed": None})]
    assert tally(rows).steps_median == 20
    assert tally(rows).clipped_steps == 2
    assert tally(rows).slip_max == 0.004
    assert tally([row(metrics={})]).slip_max is None
    assert tally(rows).provisional
    assert not tally([row()] * 400).provisional
    assert tally([*[row()] * 399, row(ending="env_error")]).provisional


def test_success_is_reported_even_if_not_declared() -> None:
    (split,) = summarize([row()], [METRICS[1]])
    assert [m.decl.name for m in split.metrics] == ["success", "execution"]
    assert split.overall is None


def test_a_misspelled_or_numeric_metric_is_an_error_and_not_zero_per_cent() -> None:
    with pytest.raises(GrinningFaceError, match=r"no episode reports the metric 'execute' .* did you mean 'executed'"):
        summarize([row()], [MetricDecl(name="execution", metric="execute")])
    with pytest.raises(GrinningFaceError, match=r"the metric 'slip' is 0\.001, and a rate counts true and false"):
        summarize([row()], [MetricDecl(name="slip", metric="slip")])


episodes = st.lists(
    st.builds(
        row,
        st.booleans(),
        st.booleans(),
        st.sampled_from([True, False, None]),
        cluster=st.sampled_from("abcd"),
        split=st.sampled_from(["id", "val"]),
    ),
    max_size=30,
)


@settings(max_examples=50, deadline=None)
@given(episodes, st.integers(0, 9))
def test_order_of_rows_and_names_of_clusters_do_not_matter(rows: list[dict[str, Any]], seed: int) -> None:
    renamed = [{**r, "cluster": "z" + {"a": "1", "b": "0", "c": "3", "d": "2"}[r["cluster"]]} for r in rows]
    random.Random(seed).shuffle(renamed)

    def by_name(found: list[SplitSummary]) -> list[SplitSummary]:
        return sorted(found, key=lambda s: s.split)

    assert by_name(summarize(rows, METRICS)) == by_name(summarize(renamed, METRICS))


@settings(max_examples=50, deadline=None)
@given(episodes)
def test_overall_is_execution_times_recognition(rows: list[dict[str, Any]]) -> None:
    for split in summarize(rows, METRICS):
        execution, recognition = split.metrics[1].rate, split.metrics[2].rate
        assert split.overall is not None
        assert split.overall.n == execution.n
        if execution.estimate is not None and recognition.estimate is not None:
            assert split.overall.estimate == pytest.approx(execution.estimate * recognition.estimate)
