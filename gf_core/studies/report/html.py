"""The report as one page: no script, no other file; its links, if it has any, lead to the run directories beside it.

As in :mod:`gf_core.reporting.html`, a template escapes all text of strangers, and the page's policy allows its own style sheet
and pictures inside the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from gf_core.reporting.charts import AXIS_HEIGHT
from gf_core.reporting.faces import Faces, load_faces
from gf_core.reporting.film import Watch
from gf_core.reporting.gallery import Strip, make_gallery
from gf_core.reporting.html import TEMPLATES, content_policy, page_environment
from gf_core.reporting.model import Evidence
from gf_core.reporting.tables import NONE, points
from gf_core.statistics import FEWEST_SEEDS, LEVEL, MOST_SEEDS, POWER
from gf_core.studies.report import charts
from gf_core.studies.report.evidence import Condition, StudyEvidence
from gf_core.studies.report.probes import read_drift, read_questions
from gf_core.studies.report.prose import paragraph
from gf_core.studies.report.tables import Table, make_tables
from gf_core.studies.report.views import Views, clean, figure_view
from gf_core.studies.report.wording import Names, needs, probability, signed, signed_interval, verdict
from gf_core.summary import RANKABLE_EPISODES

if TYPE_CHECKING:
    from jinja2 import Environment

    from gf_core.plugins import PluginHost

ITEMS = 6
"""Most episodes of an arm in the gallery."""

_GALLERY_NOTE = "A run stands for an arm: its first finished seed, on the first suite's headline split."
_OWN = Path(__file__).with_name("templates")


def study_page(
    evidence: StudyEvidence,
    host: PluginHost,
    page: Path,
    *,
    gallery: bool = True,
    links: bool = True,
    watch: Watch = lambda done, of: None,
) -> str:
    """The page, drawn as far as this machine can.

    Args:
        evidence: the study.
        host: the plugins.
        page: where the page will be: links to the study's directory start from there.
        gallery: whether to show single episodes.
        links: whether to link to the study's directory: not on a page that goes where that doesn't.
        watch: is told how far the gallery's drawing is.
    """
    tables = make_tables(evidence)
    shown = _gallery_runs(evidence, tables)
    faces = load_faces([played.evidence for cell in evidence.cells for played in cell.runs[:1]], host)
    strips = make_gallery(list(shown.values()), faces, host, watch, items=ITEMS) if gallery and shown else []
    return to_html(evidence, tables, faces, dict(zip(shown, strips, strict=True)) if strips else {}, page if links else None)


def to_html(
    evidence: StudyEvidence, tables: Sequence[Table], faces: Faces, strips: dict[Condition, Strip], page: Path | None
) -> str:
    """The page, of what is given alone: the same study gives the same bytes.

    Args:
        evidence: the study.
        tables: its numbers.
        faces: the cards' faces.
        strips: episodes of conditions; empty for no gallery.
        page: where the page will be; ``None`` for no links to the study's directory.
    """
    names, questions = Names(evidence.conditions), read_questions(evidence)
    views = Views(evidence, tables, questions, names, page, faces)
    style = "".join(
        (folder / name).read_text(encoding="utf-8") for folder, name in ((TEMPLATES, "report.css"), (_OWN, "study.css"))
    )
    return (
        _environment()
        .get_template("study.html.j2")
        .render(
            style=style,
            policy=content_policy(style),
            version=metadata.version("grinningface"),
            study=evidence.study,
            sentences=[clean(sentence) for sentence in paragraph(evidence, tables, questions, names)],
            absent=[(cell, views.href(cell.path)) for cell in evidence.cells if not cell.done],
            views=views,
            linked=page is not None,
            conditions=views.conditions,
            questions=questions,
            drift=read_drift(evidence),
            choices=evidence.choices,
            controls=evidence.controls,
            strips=[(views.conditions[condition], strip) for condition, strip in strips.items()],
            gallery_note=_GALLERY_NOTE,
            faces=faces.used,
            items=ITEMS,
            level=f"{100 * LEVEL:g}",
            power=f"{100 * POWER:g}",
            fewest=FEWEST_SEEDS,
            most_seeds=MOST_SEEDS,
            rankable=RANKABLE_EPISODES,
            axis_height=AXIS_HEIGHT,
            field=charts,
            dash=NONE,
            kind_class=lambda kind: kind.name.lower(),
        )
    )


def _gallery_runs(evidence: StudyEvidence, tables: Sequence[Table]) -> dict[Condition, Evidence]:
    """For each condition the first seed's episodes on the headline split of the first suite."""
    if not tables:
        return {}
    table = tables[0]  # headline splits come first
    found: dict[Condition, Evidence] = {}
    for condition in evidence.conditions:
        runs = [p.evidence for cell in evidence.done(condition) for p in cell.runs if p.evidence.report.suite == table.suite]
        for one in runs[:1]:
            records = tuple(row for row in one.run.records if row["split"] == table.split)
            found[condition] = replace(one, run=replace(one.run, records=records))
    return found


def _environment() -> Environment:
    environment = page_environment(_OWN, TEMPLATES)
    environment.filters |= {
        "points": points,
        "signed": signed,
        "limits": signed_interval,
        "p": probability,
        "study_verdict": verdict,
        "study_needs": needs,
        "figure": figure_view,
        "number": lambda value: NONE if value is None else f"{value:.3g}",
        "tidy": clean,
    }
    return environment
