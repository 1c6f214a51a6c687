"""The page: its numbers, its structure, and that nobody's text does any harm."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gf_core.contracts import Episode
from gf_core.errors import GrinningFaceError, UnknownIdError
from gf_core.evaluation.suites import Suite
from gf_core.plugins import load_plugins
from gf_core.reporting import Evidence, read_evidence, to_document, to_html, write_page
from gf_core.reporting.faces import Faces
from gf_core.reporting.gallery import make_gallery
from gf_core.reporting.tables import percent
from gf_core.statistics import Interval
from gf_core.summary import MetricDecl

from .page import Page, check, spaced

MakeRun = Callable[..., Path]
Load = Callable[[str], Suite]

NASTY = "</style></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'`{{7*7}}{% raw %}\u202e\x1b[31m=1+1&lt;"


@pytest.fixture
def load(demo: Any) -> Load:
    return lambda _: demo.suite()


def show(*evidence: Evidence, strips: Any = ()) -> Any:
    found = Page(to_html(evidence, Faces({}), strips))
    check(found)
    return found


def always(demo: Any, chosen: bool | None) -> Callable[[Episode], dict[str, Any]]:
    return lambda _: demo.outcome(chosen, intended=bool(chosen))


def test_the_tables_hold_the_documents_numbers(make_run: MakeRun, load: Load, demo: Any) -> None:
    evidence = [read_evidence(make_run("a"), load), read_evidence(make_run("b", play=always(demo, True)), load)]
    document: Any = to_document([one.report for one in evidence])
    shown = show(*evidence)
    for split in ("val", "id"):
        *rows, guessing = shown.rows(f"Rates in per cent on {split},")
        for row, run in zip(rows, document["runs"], strict=True):
            found = next(s for s in run["splits"] if s["split"] == split)
            rates = {m["name"]: m for m in found["metrics"]}
            expected = {name: percent(m["estimate"], Interval(*m["interval"])).replace(" %", "") for name, m in rates.items()}
            assert row[1] == str(rates["success"]["n"])
            assert row[2:5] == [expected["success"], expected["execution"], expected["recognition"]]
            assert row[5] == str(rates["recognition"]["n"])
            assert row[7] == expected["intent"]
        assert guessing == ["guessing", "", "", "", "33.3", "", "0.0", "33.3", ""]


def test_a_chart_says_in_words_what_it_draws(make_run: MakeRun, load: Load) -> None:
    evidence = read_evidence(make_run(), load)
    rate = evidence.report.splits[0].metrics[2].rate
    assert rate.estimate is not None
    assert rate.interval is not None
    (chart,) = [s for s in show(evidence).named("svg") for t in s.all("title") if t.text.startswith("recognition")][:1]
    assert f"1 demo/policy-v1: {percent(rate.estimate, rate.interval)}." in chart.all("desc")[0].text
    assert "Guessing: 33.33 %." in chart.all("desc")[0].text
    (dot,) = chart.all("circle")
    assert float(dot.attributes["cx"].rstrip("%")) == pytest.approx(100 * rate.estimate, abs=0.01)
    (bar,) = [r for r in chart.all("rect") if r.attributes["class"] == "span"]
    assert float(bar.attributes["x"].rstrip("%")) == pytest.approx(100 * rate.interval.low, abs=0.01)
    assert float(bar.attributes["width"].rstrip("%")) == pytest.approx(100 * (rate.interval.high - rate.interval.low), abs=0.02)


def test_runs_that_cannot_be_told_apart_share_a_letter_and_are_called_so(make_run: MakeRun, load: Load, demo: Any) -> None:
    def almost(episode: Episode) -> dict[str, Any]:
        return demo.outcome(not episode.id.endswith("07-1"))

    plays = {"best": always(demo, True), "close": almost, "never": always(demo, None)}
    evidence = [read_evidence(make_run(name, play=play), load) for name, play in plays.items()]
    shown = show(*evidence)
    rates = shown.rows("Rates in per cent on val,")
    assert [row[-1] for row in rates] == ["a", "a", "b", ""]
    pairs = [row[1:] for row in pairs_of(shown, "success", "val")]
    assert [row[3] for row in pairs] == ["not separable", "separable", "separable"]
    close = pairs[0]
    assert close[0].startswith("+1.7 [")
    assert re.fullmatch(r"about [\d,]+", close[4])
    summary = shown.named("header")[0].text
    assert re.search(r"Not separable by success: 1 demo/policy-v1 and 2 demo/policy-v1 \(about [\d,]+ episodes would", summary)
    assert "3 demo/policy-v1 succeeds in 0 % [0, 16] of 60 val episodes." in summary


def pairs_of(shown: Any, metric: str, split: str) -> list[list[str]]:
    return shown.rows(f"Difference in {metric} on common episodes of {split};")


def test_what_became_of_the_episodes_adds_up(make_run: MakeRun, load: Load, demo: Any) -> None:
    def mixed(episode: Episode) -> dict[str, Any]:
        what = int(episode.id[-1])
        if episode.id.startswith("val-00") and what == 0:
            return demo.outcome(None, ending="policy_error", reason="boom")
        return demo.outcome([True, False, None][what])

    shown = show(read_evidence(make_run(play=mixed), load))
    tables = [t for t in shown.named("table") if t.all("caption")[0].text.startswith("The same in numbers")]
    heads = [[spaced(th) for th in t.all("thead")[0].all("th")] for t in tables]
    assert heads[0] == ["Run", "right choice", "wrong choice", "not executed", "policy error", "median steps", "clipped steps"]
    (row,) = tables[0].all("tbody")[0].all("tr")
    assert [c.text for c in row.children][1:] == ["19", "20", "20", "1", "70", "60"]
    assert "demo/policy-v1: right choice 19, wrong choice 20, not executed 20, policy error 1." in shown.source


def test_the_heat_map_counts_successes_of_each_cluster(make_run: MakeRun, load: Load, demo: Any) -> None:
    hard = read_evidence(make_run("a", play=lambda e: demo.outcome(e.cluster != "val/3" or e.id.endswith("0"))), load)
    easy = read_evidence(make_run("b", play=always(demo, True)), load)
    shown = show(hard, easy)
    cells = [row for part in (1, 2, 3) for row in shown.rows(f"Successes of val by target, part {part}")]
    assert cells[0] == ["val/3", "1/3", "3/3"]
    assert cells[1:] == [[name, "3/3", "3/3"] for name in sorted(f"val/{c}" for c in range(20) if c != 3)]


def test_the_same_runs_give_the_same_bytes(make_run: MakeRun, load: Load) -> None:
    run = make_run()
    assert to_html([read_evidence(run, load)], Faces({})) == to_html([read_evidence(run, load)], Faces({}))


def test_the_policy_of_the_page_allows_its_style_alone(make_run: MakeRun, load: Load) -> None:
    shown = show(read_evidence(make_run(), load))
    (policy,) = [m.attributes["content"] for m in shown.named("meta") if "http-equiv" in m.attributes]
    style = re.search(r"<style>(.*)</style>", shown.source, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def hostile_suite(demo: Any) -> Suite:
    plain: Suite = demo.suite()
    name = NASTY + " metric"
    metrics = (*plain.metrics, MetricDecl(name=name, metric="intended", chance=0.5, description=NASTY))
    episodes = tuple(
        replace(e, instruction=NASTY, scene={"cards": [{"item": NASTY, "deck": NASTY}], "target": 0}) for e in plain.episodes
    )
    return replace(plain, id=NASTY, summary=NASTY, splits=dict.fromkeys(plain.splits, NASTY), metrics=metrics, episodes=episodes)


def test_hostile_text_in_every_field_is_shown_and_does_nothing(
    make_run: MakeRun, demo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GF_PLUGIN_AUTOLOAD", "0")
    provenance = {"distribution": NASTY, "version": NASTY, "plugin": NASTY}
    thing = {"id": NASTY, "config": {NASTY: NASTY}, "spec_sha256": "5" * 64, "provenance": provenance}
    run = make_run(
        play=lambda _: demo.outcome(False, ending=NASTY, reason=NASTY),
        run={
            "suite": {"id": NASTY, "sha256": "5" * 64, "provenance": provenance},
            "environment": {**thing, "runtime": {NASTY: NASTY}},
            "policy": thing,
            "decks": {NASTY: "5" * 64},
            "files": {NASTY: "5" * 64},
            "versions": {NASTY: NASTY},
            "platform": {"system": NASTY, "machine": NASTY, "python": NASTY},
        },
    )
    evidence = read_evidence(run, lambda _: hostile_suite(demo))
    assert evidence.suite is not None
    renamed = replace(evidence, report=replace(evidence.report, path=NASTY, marks=(NASTY,), problem=NASTY))
    faces = Faces({})
    (strip,) = make_gallery([renamed], faces, load_plugins())
    assert len(strip.tiles) == 12
    shown = show(renamed, strips=[strip])
    assert "alert(1)" in shown.named("body")[0].text
    assert "{{7*7}}" in shown.named("body")[0].text
    assert "49" not in [e.text for e in shown.elements]


def test_a_name_of_ten_thousand_characters_is_cut(make_run: MakeRun, load: Load) -> None:
    long = "long-" + "x" * 10_000
    evidence = read_evidence(make_run(run={"policy": {"id": long, "config": {"note": long}}}), load)
    shown = show(replace(evidence, report=replace(evidence.report, path=long, marks=(long,))))
    assert "x" * 4_001 not in shown.source
    assert len(shown.source) < 150_000


def test_unfinished_and_empty_runs_have_a_page(make_run: MakeRun, load: Load, demo: Any) -> None:
    begun = read_evidence(make_run("begun", only=3), load)
    empty = read_evidence(make_run("empty", only=0), load)
    assert "INCOMPLETE: 3 of 120 episodes" in spaced(show(begun).named("table")[0])
    shown = show(empty)
    assert "INCOMPLETE: 0 of 120 episodes" in spaced(shown.named("table")[0])
    assert "No episode is recorded yet." in shown.named("main")[0].text
    mixed = show(empty, begun, read_evidence(make_run("whole"), load))
    assert [row[1] for row in mixed.rows("Rates in per cent on val,")] == ["3", "60", ""]


def test_a_rate_without_an_episode_is_a_dash_everywhere(make_run: MakeRun, load: Load, demo: Any) -> None:
    shown = show(read_evidence(make_run(play=always(demo, None)), load))
    assert shown.rows("Rates in per cent on val,")[0][4:7] == ["—", "0", "—"]
    assert "demo/policy-v1: —." in shown.source


def test_infrastructure_faults_alone_leave_nothing_to_compare(make_run: MakeRun, load: Load, demo: Any) -> None:
    lost = make_run("lost", play=lambda _: demo.outcome(None, ending="env_error", reason="lost"))
    shown = show(read_evidence(lost, load), read_evidence(make_run("whole"), load))
    assert "INVALID: too many infrastructure faults" in shown.source
    assert "1 demo/policy-v1 has no scored val episode." in shown.source
    assert "Runs compared" not in shown.source


def test_an_unknown_suite_leaves_success_and_says_why(make_run: MakeRun) -> None:
    def missing(reference: str) -> Suite:
        raise UnknownIdError(f"no plugin brings {reference}")

    shown = show(read_evidence(make_run(), missing))
    assert "no plugin brings demo/suite@1" in shown.source
    assert [th.text for th in shown.named("table")[1].all("thead")[0].all("th")] == ["Run", "n", "success %"]


def test_numbers_of_different_suites_are_never_in_one_table(make_run: MakeRun, load: Load) -> None:
    first = read_evidence(make_run(), load)
    second = replace(first, report=replace(first.report, suite="demo/other@1"))
    shown = show(first, second)
    assert [h.text for h in shown.named("h2") if h.attributes.get("id", "").startswith("suite-")] == [
        "demo/suite@1",
        "demo/other@1",
    ]
    assert "Runs compared" not in shown.source


def test_the_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    assert write_page(tmp_path / "a.html", "ü") == 2
    assert (tmp_path / "a.html").read_bytes() == "ü".encode()
    with pytest.raises(GrinningFaceError, match="there is no such folder"):
        write_page(tmp_path / "no" / "a.html", "x")
    (tmp_path / "b.html").mkdir()
    with pytest.raises(GrinningFaceError, match="is a directory; name a file"):
        write_page(tmp_path / "b.html", "x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_json_is_untouched_by_the_page(make_run: MakeRun, load: Load) -> None:
    evidence = read_evidence(make_run(), load)
    before = json.dumps(to_document([evidence.report]))
    show(evidence)
    assert json.dumps(to_document([evidence.report])) == before
