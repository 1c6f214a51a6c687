from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gf_core.canonical import canonical_json, sha256
from gf_core.contracts import Episode
from gf_core.errors import RunDirectoryError, SchemaError, UnknownIdError
from gf_core.evaluation.suites import Suite
from gf_core.reporting import RunReport, find_runs, plain, read_evidence, read_report, render, to_csv, to_document, to_markdown
from gf_core.schemas import validate
from gf_core.summary import MetricDecl

MakeRun = Callable[..., Path]


@pytest.fixture
def load(demo: Any) -> Callable[[str], Suite]:
    return lambda _: demo.suite()


def text(*reports: RunReport, width: int = 100, whiskers: bool = False) -> str:
    return plain(render(reports, width=width, whiskers=whiskers))


def rewrite(run: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Edit the episodes, mend the chain and lose the journal, as a careful forger would."""
    (run / "journal.jsonl").unlink()
    rows = change([json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()])
    previous, lines = sha256((run / "run.json").read_bytes()), []
    for row in rows:
        lines.append(canonical_json({**row, "previous": previous}))
        previous = sha256(lines[-1])
    (run / "episodes.jsonl").write_text("".join(line + "\n" for line in lines))


def test_a_report_has_a_row_per_split_in_the_suites_order(make_run: MakeRun, load: Any) -> None:
    report = read_report(make_run(), load)
    assert [s.split for s in report.splits] == ["val", "id"]
    assert (report.recorded, report.planned, report.complete, report.valid, report.marks) == (120, 120, True, True, ())
    assert [m.rate.n for m in report.splits[0].metrics][:2] == [60, 60]
    assert report.splits[0].metrics[2].rate.n == report.splits[0].metrics[1].rate.k
    lines = text(report).splitlines()
    assert lines[0] == "demo/suite@1"
    assert lines[1].split() == ["n", "success", "%", "execution", "%", "recognition", "%", "n", "corr.", "intent", "%"]
    assert re.match(r"  val   60  33\.3 \[\d+\.\d, \d+\.\d\]  93\.3 \[", lines[3])
    chance = next(line for line in lines if line.startswith("chance"))
    assert chance.split() == ["chance", "33.3", "0.0", "33.3"]
    assert "Emojis never trained on." in text(report)


def test_a_runs_name_leaves_out_settings_that_have_their_default(make_run: MakeRun, load: Any) -> None:
    run = make_run(run={"policy": {"config": {"device": "auto", "batch": 8, "model": "mine"}}})
    report = read_report(run, load, lambda policy: {"device": "auto", "batch": 1, policy: None})
    name = text(report).splitlines()[2]
    assert "batch=8 model=mine" in name
    assert "device" not in name
    assert "device=auto" in text(read_report(run, load))
    assert to_document([report])["runs"][0]["policy"]["settings"] == {"device": "auto", "batch": 8, "model": "mine"}


def test_lines_fit_the_width(make_run: MakeRun, load: Any) -> None:
    report = replace(read_report(make_run(run={"policy": {"config": {"setting": "of some length"}}}), load), path="runs/a")
    for width in (60, 80, 100):
        for whiskers in (False, True):
            assert max(map(len, text(report, width=width, whiskers=whiskers).splitlines())) <= width
    assert text(report, width=60).count("demo/policy-v1") == 2  # two tables, one below the other
    assert text(report, width=100).count("demo/policy-v1") == 1


def test_whiskers_show_interval_estimate_and_chance(make_run: MakeRun, load: Any) -> None:
    drawn = [line for line in text(read_report(make_run(), load), whiskers=True).splitlines() if "●" in line]
    assert len(drawn) == 2
    success, execution, recognition, intent = re.split(r"\s{2,}", drawn[0].strip())
    assert re.fullmatch(r"·+├─*●─*┤·+", success)
    assert execution.index("●") > success.index("●")
    assert "┊" in recognition
    assert "┊" in intent
    assert len(success) == len("33.3 [21.7, 46.7]")


def test_an_unfinished_run_is_called_incomplete(make_run: MakeRun, load: Any) -> None:
    report = read_report(make_run(only=30), load)
    assert not report.complete
    assert (report.recorded, report.planned) == (30, 120)
    assert "INCOMPLETE: 30 of 120 episodes" in text(report)
    assert "INCOMPLETE: 30 of 120 episodes" in to_markdown([report])
    assert to_document([report])["runs"][0]["complete"] is False  # type: ignore[index,call-overload]
    assert "30 of 120" in to_csv([report])


def test_rows_dropped_from_the_end_leave_a_run_incomplete(make_run: MakeRun, load: Any) -> None:
    run = make_run()
    rewrite(run, lambda rows: rows[:-5])
    report = read_report(run, load)
    assert not report.complete
    assert "INCOMPLETE: 115 of 120 episodes" in report.marks


def test_a_run_of_chosen_episodes_is_partial_but_complete(make_run: MakeRun, load: Any, demo: Any) -> None:
    chosen = [e.id for e in demo.suite().episodes[:12]]
    report = read_report(make_run(run={"episodes": chosen, "partial": True}), load)
    assert report.marks == ("partial: 12 of 120 episodes",)
    assert report.complete


def test_everything_that_bars_a_run_from_ranking_is_marked(make_run: MakeRun, load: Any) -> None:
    identity = {"policy": {"privileged": True, "seed": 3, "config": {"speed": 2}, "execute_steps": 5}}
    timing = {"mode": "realtime", "latency_steps": None}
    report = read_report(make_run(run={**identity, "unpackaged": True, "variant": True, "control_hz": 5, "timing": timing}), load)
    assert report.marks == ("privileged", "unpackaged", "variant: 5 Hz, realtime")
    assert "demo/policy-v1 speed=2 seed=3 execute_steps=5 · privileged · unpackaged · variant: 5 Hz, realtime" in text(report)
    assert "never ranked" in text(report)


def test_too_many_infrastructure_faults_make_a_run_invalid(make_run: MakeRun, load: Any, demo: Any) -> None:
    def faulty(episode: Episode) -> dict[str, Any]:
        return demo.outcome(True, ending="env_error", reason="lost") if episode.id.endswith("-2") else demo.outcome(True)

    report = read_report(make_run(play=faulty), load)
    assert not report.valid
    assert "INVALID: too many infrastructure faults" in report.marks
    assert report.splits[0].metrics[0].rate.n == 40
    assert "40 infrastructure faults (env_error) left out of every rate." in text(report)


def test_nothing_to_count_is_a_dash(make_run: MakeRun, load: Any, demo: Any) -> None:
    report = read_report(make_run(play=lambda _: demo.outcome(None, intended=False)), load)
    row = text(report).splitlines()[3]
    assert row.split() == ["val", "60", "0.0", "[0.0,", "16.1]", "0.0", "[0.0,", "16.1]", "—", "0", "—", "0.0", "[0.0,", "16.1]"]
    document: Any = to_document([report])
    recognition = document["runs"][0]["splits"][0]["metrics"][2]
    assert (recognition["n"], recognition["estimate"], recognition["interval"], recognition["corrected"]) == (0, None, None, None)


def test_an_unknown_suite_leaves_success_and_says_why(make_run: MakeRun, demo: Any) -> None:
    def missing(reference: str) -> Suite:
        raise UnknownIdError(f"no plugin brings {reference}")

    run = make_run()
    report = read_report(run, missing)
    assert [m.decl.name for m in report.splits[0].metrics] == ["success"]
    assert "no plugin brings demo/suite@1" in " ".join(text(report).split())
    other = read_report(run, lambda _: demo.suite(sha256="6" * 64))
    assert "isn't the one that was run (555555555555…)" in " ".join(text(other).split())
    assert read_report(make_run("unfinished", only=3), missing).planned is None


def test_overall_is_shown_where_it_is_not_success(make_run: MakeRun, load: Any, demo: Any) -> None:
    def beside(episode: Episode) -> dict[str, Any]:
        """Counts as a success by a looser rule: beside the card, on none."""
        return {**demo.outcome(None), "success": True, "ending": "success"}

    assert "overall %" not in text(read_report(make_run("strict"), load))
    report = read_report(make_run("loose", play=beside), load)
    assert report.splits[0].overall is not None
    assert report.splits[0].overall.k == 0
    assert "overall %" in text(report)


def test_a_rate_of_executed_episodes_alone_is_not_compared_however_it_is_declared(make_run: MakeRun, demo: Any) -> None:
    """Recognition may be null without a choice, and not say what is given; intent is null for the same episodes for all."""
    recognition = MetricDecl(name="recognition", metric="recognized", chance=1 / 3)
    declared = (*(m for m in demo.suite().metrics if not m.given), recognition)

    def play(executes: bool) -> Callable[[Episode], dict[str, Any]]:
        def one(episode: Episode) -> dict[str, Any]:
            row: dict[str, Any] = demo.outcome(True if executes or episode.id.endswith("-1") else None)
            recognized, intended = True if row["metrics"]["executed"] else None, None if episode.id.endswith("-2") else True
            return {**row, "metrics": {**row["metrics"], "recognized": recognized, "intended": intended}}

        return one

    def compared(*executes: bool) -> set[str]:
        runs = [make_run(f"run-{number}-{len(executes)}", play=play(always)) for number, always in enumerate(executes)]
        evidence = [read_evidence(run, lambda _: replace(demo.suite(), metrics=declared)) for run in runs]
        document: Any = to_document([one.report for one in evidence], evidence)
        return {one["name"] for one in document["comparisons"]}

    assert compared(True, False) == {"success", "execution", "intent"}
    assert compared(True, False, True) == {"success", "execution", "intent"}


def test_suites_are_never_in_one_table(make_run: MakeRun, load: Any) -> None:
    first = read_report(make_run(), load)
    second = replace(first, suite="demo/other@1")
    assert text(first, second, first).count("success %") == 2
    assert to_markdown([first, second]).count("| policy |") == 2


def test_json_fits_its_schema(make_run: MakeRun, load: Any, demo: Any) -> None:
    def unknown(reference: str) -> Suite:
        raise UnknownIdError(f"no plugin brings {reference}")

    reports = [
        read_report(make_run("whole"), load),
        read_report(make_run("begun", only=3), unknown),
        read_report(make_run("null", play=lambda _: demo.outcome(None)), load),
        read_report(make_run("empty", only=0), load),
    ]
    assert not reports[3].splits
    validate(json.loads(json.dumps(to_document(reports), allow_nan=False)), "report", source="report")
    assert "no episodes" in text(reports[3])


def test_json_is_complete_and_repeatable(make_run: MakeRun, load: Any) -> None:
    run = make_run()
    document = to_document([read_report(run, load)])
    assert json.dumps(document) == json.dumps(to_document([read_report(run, load)]))
    split: Any = document["runs"][0]["splits"][0]  # type: ignore[index,call-overload]
    success = split["metrics"][0]
    assert (success["k"], success["n"], success["clusters"]) == (20, 60, 20)
    assert success["interval"][0] < success["estimate"] < success["interval"][1]
    assert split["overall"]["k"] == success["k"]
    assert split["provisional"] is True
    assert split["endings"]["success"] == 20


def test_csv_has_a_row_per_rate_and_no_formulas(make_run: MakeRun, load: Any) -> None:
    report = read_report(make_run(run={"policy": {"id": "=cmd|' /C calc'!A0"}}), load)
    renamed = tuple(replace(s, split=name) for s, name in zip(report.splits, ("@SUM(1)", " ＝1+1"), strict=True))
    rows = list(csv.DictReader(io.StringIO(to_csv([replace(report, splits=renamed)]))))
    assert len(rows) == 8
    assert {row["policy"] for row in rows} == {"'=cmd|' /C calc'!A0"}
    assert [row["split"] for row in rows[::4]] == ["'@SUM(1)", "' ＝1+1"]
    recognition = next(row for row in rows if row["metric"] == "recognition")
    assert int(recognition["k"]) / int(recognition["n"]) == pytest.approx(float(recognition["estimate"]))
    assert float(recognition["corrected_low"]) < 0  # a number stays one, minus sign and all


def test_strangers_text_is_harmless(make_run: MakeRun, load: Any) -> None:
    nasty = "\x1b]0;x\x07\u202e<script>|[x](y)`_*\n# h"
    report = read_report(make_run(run={"policy": {"id": nasty, "config": {nasty: nasty}}}), load)
    for shown in (text(report), to_csv([report]), to_markdown([report])):
        assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", shown)
    table = to_markdown([report])
    assert "<script" not in table
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1
    assert json.loads(json.dumps(to_document([report])))["runs"][0]["policy"]["id"] == nasty


def test_a_directory_of_runs_stands_for_them_all(make_run: MakeRun, tmp_path: Path) -> None:
    b, a = make_run("b"), make_run("a")
    assert find_runs([tmp_path]) == [a, b]
    assert find_runs([b, tmp_path]) == [b, a]
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunDirectoryError, match="empty: no run directory, and none is inside; give a directory"):
        find_runs([tmp_path / "empty"])
    with pytest.raises(RunDirectoryError, match="there is no such directory"):
        find_runs([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [*rows, rows[0]], "is recorded twice"),
        (lambda rows: [{**rows[0], "episode": "made-up"}, *rows[1:]], "'made-up' of split 'val' and cluster 'val/0' isn't one"),
        (lambda rows: [{**rows[0], "split": "id"}, *rows[1:]], "of split 'id' and cluster 'val/0' isn't one"),
        (lambda rows: [{**rows[0], "success": 1}, *rows[1:]], "episode row 1 has no proper 'success'"),
        (lambda rows: [rows[0], {k: v for k, v in rows[1].items() if k != "metrics"}], "episode row 2 has no proper 'metrics'"),
        (lambda rows: [{**r, "metrics": {**r["metrics"], "executed": "yes"}} for r in rows], "the metric 'executed' is 'yes'"),
    ],
)
def test_forged_rows_are_refused_without_a_traceback(make_run: MakeRun, load: Any, change: Any, message: str) -> None:
    run = make_run()
    rewrite(run, change)
    with pytest.raises(RunDirectoryError, match=message):
        read_report(run, load)


def test_a_damaged_run_json_is_refused(make_run: MakeRun, load: Any) -> None:
    run = make_run(only=0)
    document = json.loads((run / "run.json").read_bytes())
    (run / "run.json").write_text(json.dumps({**document, "control_hz": "fast"}))
    with pytest.raises(SchemaError, match=r"run\.json#/control_hz"):
        read_report(run, load)
