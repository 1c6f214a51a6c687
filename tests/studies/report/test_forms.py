"""The forms of a study's report: sentences, text, JSON, the page, and the command. No policy here was trained."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from gf_core.cli.main import main
from gf_core.reporting import plain
from gf_core.reporting.faces import Faces
from gf_core.reporting.tables import points
from gf_core.schemas import validate
from gf_core.studies.folder import StudyFolder
from gf_core.studies.report import render_study, to_document
from gf_core.studies.report.evidence import StudyEvidence, read_evidence_of_study
from gf_core.studies.report.html import to_html
from gf_core.studies.report.tables import make_tables

from . import making
from .making import Skill, make_study, write_cell, write_run, write_study, write_whole_study
from .pages import ALLOWED, Page, check_structure

PLAN = making.suite(12, 2).episodes
NASTY = "</style></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'`{{7*7}}{% raw %}\u202e\x1b[31m=1+1&lt;"
SWEEP = {"keys": ["stages.*.learning_rate.*"], "values": [0.5, 1, 2]}


@cache
def read(root: Path) -> StudyEvidence:
    """The evidence, read once: no test changes a study that another one reads."""
    return read_evidence_of_study(root, lambda _: making.suite(12, 2))


def choice(name: str) -> dict[str, Any]:
    tried = [
        {"value": 0.5, "estimate": 0.25, "episodes": 96, "run": f"sweeps/nano/{name}/act/0/runs/dev", "reason": None},
        {"value": 1, "estimate": 0.5, "episodes": 96, "run": f"sweeps/nano/{name}/act/1/runs/dev", "reason": None},
        {"value": 2, "estimate": None, "episodes": 0, "run": None, "reason": "train: the loss isn't finite"},
    ]
    return {"backbone": "nano", "arm": name, "head": "act", "tried": tried, "chosen": 1}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine finished cells with probes and losses, a sweep, and a control."""
    root = tmp_path_factory.mktemp("studies") / "a study"
    study = make_study(sweep=SWEEP)
    write_whole_study(root, study, PLAN, choices=[choice(name) for name in study.arms])
    write_run(root / "controls" / "expert", Skill(1.1, 1.1), 0, PLAN, policy="gf/expert-v1")
    return root


@pytest.fixture
def broken(tmp_path: Path) -> StudyFolder:
    """A seed of one arm is done, one failed; the other arms aren't begun."""
    study = make_study(seeds=[0, 1])
    folder = write_study(tmp_path / "study", study)
    for cell in [cell for cell in study.cells if cell.arm == "full"]:
        if cell.seed == 1:
            write_cell(folder, study, cell, {}, failed=("train", NASTY))
        else:
            run = write_run(folder.cell(cell) / "runs" / "demo.suite@1", Skill(0.8, 0.35), 1, PLAN)
            write_cell(folder, study, cell, {"demo/suite@1": run})
    return folder


def page_of(root: Path, place: Path | None = None) -> Any:
    evidence = read(root)
    found = Page(to_html(evidence, make_tables(evidence), Faces({}), {}, place or root.parent / "report.html"))
    check_structure(found)
    return found


def test_the_summary_says_what_separates_and_what_does_not(whole: Path) -> None:
    document: Any = to_document(read(whole))
    text = " ".join(document["summary"])
    assert document["summary"][0] == "9 of 9 cells are finished."
    table = document["tables"][0]
    for one in table["contrasts"]:
        if one["rate"] == "success":
            pair = f"{one['first']['arm']} − {one['second']['arm']}"
            apart = next(s for s in document["summary"] if s.startswith("Separable by success"))
            assert (pair in apart) == one["separable"]
            assert one["separable"] or f"{pair} (" in text
    rates = {row["condition"]["arm"]: row["figures"][0]["estimate"] for row in table["rows"]}
    for name in (min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)):
        assert re.search(rf"success ranges.*{re.escape(points(rates[name]))} % \[[^]]*\] \({name}\)", text)
    assert "The intent interval of scratch holds the 33.3 % of guessing." in text
    assert "vision-language models were right in" in text


def test_the_summary_of_few_seeds_claims_nothing(broken: StudyFolder) -> None:
    text = plain(render_study(read(broken.path)))
    assert "1 of 6 cells are finished, 1 failed and 4 are missing." in text
    words = " ".join(text.split())
    assert "nothing can be said of a technique" in words
    assert "Not compared on demo/suite@1 val: lora − full (no finished cell of lora)" in words
    assert "nano/full/act/1 failed: train: </style>" in text
    assert "nano/lora/act/0 to do" in text
    assert "\x1b" not in text


def test_the_summary_says_of_whom_nothing_can_be_said_and_why(tmp_path: Path) -> None:
    study, unsaid = make_study(), "Nothing can be said of full, lora and scratch as techniques: fewer than "
    folder = write_whole_study(tmp_path / "early", study, PLAN[:8])
    for cell in [cell for cell in study.cells if cell.seed == 2]:
        shutil.rmtree(folder.cell(cell))
    document: Any = to_document(read(folder.path))
    assert document["summary"][0] == "6 of 9 cells are finished and 3 are missing."
    assert unsaid + "3 training seeds." in document["summary"]

    one_target = [episode for episode in PLAN if episode.cluster == PLAN[0].cluster]
    document = to_document(read(write_whole_study(tmp_path / "narrow", study, one_target).path))
    assert unsaid + "two targets." in document["summary"]


def test_text_holds_the_documents_numbers(whole: Path) -> None:
    evidence = read(whole)
    document: Any = to_document(evidence)
    text = plain(render_study(evidence))
    (section,) = [part for part in text.split("\n\n") if part.startswith("demo/suite@1 val")]
    for row in document["tables"][0]["rows"]:
        line = " ".join(line for line in section.splitlines() if line.startswith(row["condition"]["arm"]))
        for found in row["figures"]:
            assert f"{points(found['estimate'])} [{points(found['interval'][0])}, {points(found['interval'][1])}]" in line
    assert re.search(r"full +25\.0 +50\.0 \* +failed", text)
    assert "control: gf/expert-v1" in text


def test_every_line_of_a_wrapped_contrast_says_by_which_rate(whole: Path) -> None:
    lines = plain(render_study(read(whole), width=50)).splitlines()
    shown = [line.split() for line in lines if re.match(r"(lora|full) − (full|scratch) ", line)]
    heads = [line.split() for line in lines if line.startswith("contrast ")]
    assert len(heads) > 1
    assert all(head[:2] == ["contrast", "by"] for head in heads)
    assert len(shown) == 4 * len(heads)
    assert all(line[3] in ("success", "intent") for line in shown)


def test_the_document_is_valid_and_its_hashes_are_those_of_the_files(whole: Path) -> None:
    document: Any = to_document(read(whole))
    validate(document, "study_report", source="report")
    assert json.dumps(document) == json.dumps(to_document(read.__wrapped__(whole)))
    runs = [run for cell in document["cells"] for run in cell["runs"]]
    assert len(runs) == 9
    for run in [*runs, *document["controls"]]:
        data = (whole / run["run"] / "episodes.jsonl").read_bytes()
        assert run["episodes_sha256"] == hashlib.sha256(data).hexdigest()
    assert str(whole.parent) not in json.dumps(document)


def test_an_unfinished_study_is_a_valid_document_too(broken: StudyFolder) -> None:
    document: Any = to_document(read(broken.path))
    validate(document, "study_report", source="report")
    assert [cell["state"] for cell in document["cells"]].count("failed") == 1


def test_a_study_without_any_result_is_reported(tmp_path: Path) -> None:
    write_study(tmp_path / "study", make_study())
    validate(to_document(read(tmp_path / "study")), "study_report", source="report")
    page = page_of(tmp_path / "study")
    assert len(page.rows("9 cells of the matrix")) == 9
    assert "0 of 9 cells are finished and 9 are missing." in plain(render_study(read(tmp_path / "study")))


def test_probes_and_the_inheritance_chart_hold_the_probes_numbers(whole: Path) -> None:
    document: Any = to_document(read(whole))
    asked = next(q for q in document["probes"] if (q["kind"], q["split"]) == ("which-card", "val"))
    files = sorted((whole / "cells/nano/full/act").glob("*/probe.json"))
    answers = [a for file in files for a in json.loads(file.read_text())["answers"] if a["split"] == "val"]
    full = next(row for row in asked["rows"] if row["condition"]["arm"] == "full")
    for time in ("before", "after"):
        assert full[time]["k"] == sum(a[time] == a["right"] for a in answers)
        assert full[time]["n"] == len(answers)
    page = page_of(whole)
    (chart,) = [s for s in page.named("svg") for t in s.all("title") if t.text.startswith("What the model knew")]
    assert f"1 full: which-card, demo/suite@1 val {100 * full['after']['estimate']:.1f} %" in chart.all("desc")[0].text


def test_the_pages_tables_and_charts_hold_the_documents_numbers(whole: Path) -> None:
    document: Any = to_document(read(whole))
    page = page_of(whole)
    table = document["tables"][0]
    rows = page.rows("Rates in per cent on val")
    for row, found in zip(rows, table["rows"], strict=False):
        for cell, figure in zip(row[2:], found["figures"], strict=True):
            words = [points(figure["estimate"]), f"[{points(figure['interval'][0])},", f"{points(figure['interval'][1])}]"]
            assert all(word in cell.split() for word in words)
            assert figure["letters"] is None or figure["letters"] in cell.split()
    assert [row[0] for row in rows[3:]] == ["guessing", "control: gf/expert-v1"]
    forests = [s for s in page.named("svg") for t in s.all("title") if t.text.startswith("Contrasts by success")]
    one = table["contrasts"][0]
    assert f"{100 * one['difference']:+.1f} points" in forests[0].all("desc")[0].text
    chosen = [td.text for td in page.named("td") if td.attributes.get("class") == "chosen"]
    assert len(chosen) == 3
    assert all(text.startswith("50.0") for text in chosen)


def test_every_number_leads_to_its_run(whole: Path, tmp_path: Path) -> None:
    """Links are relative to the page, wherever it lies, and lead to directories that are there; hashes stand beside them."""
    for place in (whole.parent / "report.html", whole / "report.html", tmp_path / "elsewhere.html"):
        page = page_of(whole, place)
        ids = {e.attributes["id"] for e in page.elements if "id" in e.attributes}
        links = [e.attributes["href"] for e in page.named("a")]
        outside = [link for link in links if not link.startswith("#") and "/sweeps/" not in f"/{link}"]
        assert len([link for link in outside if "/runs/" in link]) >= 18
        for link in outside:
            assert not re.match(r"[a-z]+:|/", link)
            assert (place.parent / unquote(link)).exists(), link
        assert {link[1:] for link in links if link.startswith("#")} <= ids
        for file in [*whole.glob("cells/*/*/*/*/runs/*/episodes.jsonl"), whole / "controls/expert/episodes.jsonl"]:
            assert hashlib.sha256(file.read_bytes()).hexdigest() in page.source
    figures = [td for td in page.named("td") if td.all("a") and td.all("a")[0].attributes["href"].startswith("#condition-")]
    assert len(figures) == 2 * 3 * 4


def test_a_page_without_links_says_where_and_leads_nowhere(whole: Path) -> None:
    evidence = read(whole)
    page = Page(to_html(evidence, make_tables(evidence), Faces({}), {}, None))
    check_structure(page)
    assert {link[0] for e in page.named("a") if (link := e.attributes["href"])} == {"#"}
    assert str(whole.parent) not in page.source
    for cell in evidence.cells:
        for played in cell.runs:
            assert played.path in page.source


def test_nobodys_text_does_harm(broken: StudyFolder) -> None:
    page = page_of(broken.path)
    assert {e.name for e in page.elements} <= ALLOWED
    assert not [a for e in page.elements for a in e.attributes if a.startswith("on") or a in ("style", "srcdoc")]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]", page.source)
    (policy,) = [e.attributes["content"] for e in page.named("meta") if e.attributes.get("http-equiv")]
    assert "script" not in policy
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    (listed,) = [row for row in page.rows("5 cells of the matrix") if row[1] == "failed"]
    assert listed[2].startswith("train: </style></script><script>alert(1)")


def test_equal_studies_give_equal_pages(whole: Path) -> None:
    place = whole.parent / "report.html"
    pages = [to_html(e, make_tables(e), Faces({}), {}, place) for e in (read(whole), read.__wrapped__(whole))]
    assert pages[0] == pages[1]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of real runs: the expert and the random-card control stand for two arms, on four episodes of gf/smoke@1."""
    root = tmp_path_factory.mktemp("played")
    arms = {"lora": "gf/expert-v1", "full": "gf/random-card-v1"}
    study = make_study(
        arms={name: {"description": f"{policy} stands for it."} for name, policy in arms.items()},
        seeds=[0],
        evaluate=[{"suite": "gf/smoke@1", "splits": ["val"]}],
        contrasts=[],
    )
    folder = write_study(root / "study", study)
    for cell in study.cells:
        out = folder.cell(cell) / "runs" / "gf.smoke@1"
        episodes = ",".join(_episodes("val"))
        arguments = ["run", "gf/smoke@1", "--policy", arms[cell.arm], "--out", str(out), "--episodes", episodes, "--in-process"]
        assert main(arguments) == 0
        write_cell(folder, study, cell, {"gf/smoke@1": out}, losses=[1.0, 0.5])
    return root / "study"


def _episodes(split: str) -> list[str]:
    from gf_core.evaluation.suites import load_suite
    from gf_core.plugins import load_plugins

    return [episode.id for episode in load_suite("gf/smoke@1", load_plugins()).episodes if episode.split == split]


Capture = pytest.CaptureFixture[str]


def test_the_command_prints_text_and_json_and_writes_a_page_with_pictures(played: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["study", "report", str(played)]) == 0
    out = capsys.readouterr().out
    assert "partial: 4 of 12 episodes" in out
    assert re.search(r"lora +1 +100 \[", out)
    page = tmp_path / "report.html"
    assert main(["study", "report", str(played), "--html", str(page), "--json"]) == 0
    shown = capsys.readouterr()
    validate(json.loads(shown.out), "study_report", source="output")
    assert "wrote" in shown.err
    found = Page(page.read_text(encoding="utf-8"))
    check_structure(found)
    tiles = [e for e in found.named("li") if e.attributes.get("class") == "tile"]
    assert len(tiles) == 8
    assert any(
        e.attributes.get("src", "").startswith("data:image/webp;base64,") for e in found.named("img")
    ) or "No pictures" in (found.source)


def test_suites_are_in_the_order_of_the_tables(whole: Path) -> None:
    evidence = read(whole)
    table = make_tables(evidence)[0]
    tables = [replace(table, suite=name) for name in ("z/first@1", "a/second@1", "z/first@1")]
    page = to_html(evidence, tables, Faces({}), {}, None)
    assert re.findall(r'<h2 id="suite-\d">([^<]+)<', page) == ["z/first@1", "a/second@1"]


def test_a_packed_study_has_a_page_without_links(played: Path, tmp_path: Path, capsys: Capture) -> None:
    pack, page = tmp_path / "study.zip", tmp_path / "report.html"
    assert main(["study", "pack", str(played), "--out", str(pack)]) == 0
    capsys.readouterr()
    assert main(["study", "report", str(pack), "--html", str(page), "--json"]) == 0
    numbers = capsys.readouterr().out
    found = Page(page.read_text(encoding="utf-8"))
    check_structure(found)
    assert {link.attributes["href"][0] for link in found.named("a")} == {"#"}
    assert "gf-study-" not in found.source
    assert main(["study", "report", str(played), "--json"]) == 0
    assert capsys.readouterr().out == numbers


def test_mistakes_are_explained(played: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["study", "report", str(tmp_path)]) == 2
    assert "holds no study.json" in capsys.readouterr().err
    assert main(["study", "report", str(played), "--html", str(tmp_path / "no" / "page.html")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    copy = tmp_path / "copy"
    shutil.copytree(played, copy)
    (copy / "study.json").write_text("{", encoding="utf-8")
    assert main(["study", "report", str(copy)]) == 2
    assert "study.json" in capsys.readouterr().err
