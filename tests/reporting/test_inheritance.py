"""The inheritance gap: counts by hand, probes found and refused, and the three forms of the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gf_core.canonical import content_hash
from gf_core.cli.main import cli
from gf_core.contracts import Episode
from gf_core.errors import GrinningFaceError, MismatchError
from gf_core.reporting import Evidence, attach_probes, read_evidence, to_document, to_html
from gf_core.reporting.faces import Faces
from gf_core.reporting.inheritance import inheritance, probe_file
from gf_core.schemas import validate

from .page import Page, check

MakeRun = Callable[..., Path]
GOLDEN = Path(__file__).parents[1] / "schemas" / "golden" / "probe-1" / "valid-one.json"
SHA = "5" * 64


def number(episode: str) -> int:
    """Episodes are called SPLIT-CLUSTER-NUMBER."""
    return int(episode.rpartition("-")[2])


def plays(demo: Any) -> Callable[[Episode], dict[str, Any]]:
    """Chooses card 0 always, but for the last episode of each cluster, where it chooses nothing."""

    def play(episode: Episode) -> dict[str, Any]:
        row: dict[str, Any] = demo.outcome(None if number(episode.id) == 2 else False)
        row["metrics"]["chosen"] = None if number(episode.id) == 2 else 0
        return row

    return play


def answered(demo: Any) -> list[dict[str, Any]]:
    """The right card is the episode's number; before it is known always, after only where it is card 1."""
    return [
        {
            "key": episode.id,
            "kind": "which-card",
            "split": episode.split,
            "cluster": episode.cluster,
            "right": (right := number(episode.id)),
            "before": right,
            "after": 1,
            "words": ["left", "left", "middle"],
        }
        for episode in demo.suite().episodes
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint's directory; only its hash matters here."""
    place = tmp_path / "checkpoint"
    place.mkdir()
    (place / "checkpoint.json").write_text('{"kind": "checkpoint"}')
    return place


@pytest.fixture
def document(folder: Path, demo: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(GOLDEN.read_text())
    found["checkpoint"] |= {"path": str(folder), "sha256": content_hash({"kind": "checkpoint"})}
    found["suite"] = {"id": "demo/suite@1", "sha256": SHA}
    found["answers"] = answered(demo)
    validate(found, "probe", source="test")
    return found


@pytest.fixture
def evidence(make_run: MakeRun, demo: Any, folder: Path) -> Evidence:
    run = make_run(play=plays(demo), run={"policy": {"config": {"checkpoint": str(folder)}}})
    return read_evidence(run, lambda _: demo.suite())


def write(path: Path, document: Mapping[str, Any]) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_the_gap_counted_by_hand(evidence: Evidence, document: dict[str, Any], folder: Path) -> None:
    write(folder / probe_file("demo/suite@1"), document)
    (found,) = attach_probes([evidence], [])
    gap = inheritance(found, "val")
    assert gap is not None
    before, after = gap.everywhere["before"], gap.everywhere["after"]
    assert (before.both, before.only_knew, before.only_chose, before.neither) == (20, 40, 0, 0)
    assert (after.both, after.only_knew, after.only_chose, after.neither) == (0, 20, 20, 20)
    assert before.gap == pytest.approx(2 / 3)
    assert after.gap == 0
    assert before.p < 0.001 < after.p
    assert before.interval is not None
    assert before.interval.low < 2 / 3 < before.interval.high
    assert gap.decided["before"].n == 40  # nothing was chosen in the third episode of each cluster
    assert gap.decided["before"].gap == pytest.approx(0.5)


def test_json_page_and_text_show_it(evidence: Evidence, document: dict[str, Any], tmp_path: Path) -> None:
    (found,) = attach_probes([evidence], [write(tmp_path / "probe.json", document)])
    report = to_document([found.report], [found])
    validate(report, "report", source="test")
    assert isinstance(report["inheritance"], list)
    assert [entry["split"] for entry in report["inheritance"] if isinstance(entry, dict)] == ["val", "id"]
    page = Page(to_html([found], Faces({})))
    check(page)
    rows = page.rows("Inheritance gap on val")
    assert rows[0][1:6] == ["all", "before training", "60", "100", "33.3"]
    assert [row[-4:] for row in rows[:2]] == [["20", "40", "0", "0"], ["0", "20", "20", "20"]]
    shown = CliRunner().invoke(cli, ["report", found.report.path, "--probe", str(tmp_path / "probe.json")])
    assert shown.exit_code == 0
    assert "Inheritance gap" in shown.output
    assert "+66.7 [" in shown.output


def test_a_run_without_a_probe_says_nothing(evidence: Evidence) -> None:
    assert attach_probes([evidence], []) == [evidence]
    assert "inheritance" not in to_document([evidence.report], [evidence])
    assert "Inheritance" not in to_html([evidence], Faces({}))


@pytest.mark.parametrize("wrong", ["suite", "checkpoint"])
def test_a_probe_of_something_else_is_refused(
    evidence: Evidence, document: dict[str, Any], tmp_path: Path, folder: Path, wrong: str
) -> None:
    document[wrong]["sha256"] = "0" * 64
    with pytest.raises(MismatchError, match="is of none of these runs"):
        attach_probes([evidence], [write(tmp_path / "probe.json", document)])
    write(folder / probe_file("demo/suite@1"), document)
    with pytest.raises(GrinningFaceError, match="isn't of the checkpoint beside it"):
        attach_probes([evidence], [])


def test_where_the_checkpoint_is_gone_its_path_decides(
    evidence: Evidence, document: dict[str, Any], tmp_path: Path, folder: Path
) -> None:
    (folder / "checkpoint.json").unlink()
    (found,) = attach_probes([evidence], [write(tmp_path / "probe.json", document)])
    assert found.probe is not None
