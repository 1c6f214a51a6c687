"""A report as one page that needs nothing else: no script, no other file, no network.

Text of strangers (names, settings, instructions, reasons) is written out by a template that escapes all of it; the page's policy
(Content-Security-Policy) allows its own style sheet, pictures inside the page, and nothing else.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from gf_core._problems import printable, shorten
from gf_core.errors import GrinningFaceError
from gf_core.reporting import prose
from gf_core.reporting.charts import AXIS_HEIGHT
from gf_core.reporting.faces import Faces, load_faces
from gf_core.reporting.film import Watch
from gf_core.reporting.gallery import ITEMS, Strip, make_gallery
from gf_core.reporting.model import Evidence
from gf_core.reporting.tables import NONE, percent, points
from gf_core.reporting.views import clean, view_runs, view_suites
from gf_core.statistics import LEVEL, POWER, RESAMPLES
from gf_core.summary import RANKABLE_EPISODES

if TYPE_CHECKING:
    from jinja2 import Environment

    from gf_core.plugins import PluginHost

TEMPLATES = Path(__file__).with_name("templates")


def html_report(
    evidence: Sequence[Evidence], host: PluginHost, *, gallery: bool = True, watch: Watch = lambda done, of: None
) -> str:
    """The page, drawn as far as this machine can: see :func:`gf_core.reporting.gallery.make_gallery` and :func:`to_html`.

    Args:
        evidence: the runs, in the order in which they are shown.
        host: the plugins.
        gallery: whether to show single episodes.
        watch: is told how far the gallery's drawing is.
    """
    faces = load_faces(evidence, host)
    return to_html(evidence, faces, make_gallery(evidence, faces, host, watch) if gallery else [])


def to_html(evidence: Sequence[Evidence], faces: Faces, strips: Sequence[Strip] = ()) -> str:
    """The page, of what is given alone: the same runs give the same bytes.

    Args:
        evidence: the runs.
        faces: the cards' faces.
        strips: a gallery for each run; empty for none.
    """
    environment = page_environment(TEMPLATES)
    runs = view_runs(evidence)
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    suites = view_suites(evidence, runs, faces)
    return environment.get_template("report.html.j2").render(
        style=style,
        policy=content_policy(style),
        version=metadata.version("grinningface"),
        runs=list(runs.values()),
        suites=suites,
        strips=list(zip(runs.values(), strips, strict=True)) if strips else [],
        faces=faces.used,
        level=f"{100 * LEVEL:g}",
        by_chance=prose.BY_CHANCE,
        resamples=RESAMPLES,
        power=f"{100 * POWER:g}",
        rankable=RANKABLE_EPISODES,
        items=ITEMS,
        axis_height=AXIS_HEIGHT,
        dash=NONE,
        kind_class=lambda kind: kind.name.lower(),
    )


def check_place(path: Path) -> None:
    """Raise GrinningFaceError where no file can be written, being a directory or without one to lie in, before time is spent."""
    if path.is_dir():
        raise GrinningFaceError("is a directory", where=str(path), hint="name a file")
    if not path.parent.is_dir():
        raise GrinningFaceError("there is no such folder", where=str(path.parent), hint="make it first")


def write_page(path: Path, page: str) -> int:
    """Write the file, whole or not at all. Returns its size in bytes. Raises GrinningFaceError if it can't be written."""
    check_place(path)
    data = page.encode()
    beside = path.with_name(f".{path.name}.tmp")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise GrinningFaceError(f"can't be written ({error.strerror or error})", where=str(path)) from error
    return len(data)


@cache
def page_environment(*folders: Path) -> Environment:
    """Templates of these folders, the first one first; all text that they are given is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "points": points,
        "rate": lambda rate: percent(rate.estimate, rate.interval) if rate else NONE,
        "verdict": prose.pair_verdict,
        "needed": prose.episodes_needed,
        "p": _probability,
        "signed": lambda share: f"{100 * share:+.1f}".replace("-", "−"),
        "text": clean,
        "brief": lambda text: shorten(printable(text), 48),
    }
    return environment


def content_policy(style: str) -> str:
    """Content Security Policy Level 3: nothing but the style sheet with this hash and pictures inside the page."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def _probability(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
