"""Writes the site."""

from __future__ import annotations

import base64
import csv
import io
import json
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core._files import explained
from gf_core.errors import GrinningFaceError, MissingDependencyError
from gf_core.evaluation.suites import Suite
from gf_core.leaderboard.board.claims import read_claims
from gf_core.leaderboard.board.document import to_document
from gf_core.leaderboard.board.epochs import agreeing, read_epochs
from gf_core.leaderboard.board.outcomes import unpack_run
from gf_core.leaderboard.board.pictures import pictures_of
from gf_core.leaderboard.board.ranking import Played, Ranking, rank, runs_of
from gf_core.leaderboard.board.repository import Board, Entry
from gf_core.leaderboard.rules import RULES
from gf_core.leaderboard.site.model import (
    TIERS,
    Page,
    comparison_data,
    control_lines,
    failures,
    gap_lines,
    make_heat,
    make_pages,
    shown,
    slug,
    stacked,
    text,
)
from gf_core.leaderboard.site.techniques import make_matrix
from gf_core.reporting.faces import Faces, load_decks
from gf_core.reporting.html import TEMPLATES as REPORT_TEMPLATES
from gf_core.reporting.html import page_environment
from gf_core.reporting.tables import csv_text

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

HERE = Path(__file__).parent
TEMPLATES, STATIC = HERE / "templates", HERE / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'"
)
"""Content Security Policy Level 3: nothing from elsewhere, and nothing that stands in a page itself."""
MARK = ".grinningface-site"
"""A file in every site, so that a later build knows that it may replace what is there."""
_FAILURES = 20
Watch = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Built:
    """What was written: the folder, its pages, and the bytes of the front page with all that it loads."""

    out: Path
    pages: int
    front_bytes: int


def build(board: Board, host: PluginHost, out: Path, *, watch: Watch = lambda done, of: None) -> Built:
    """Write the site of a repository.

    Args:
        board: the repository.
        host: the plugins, which know the suites.
        out: the folder: new, empty, or a site that was built before, which is replaced.
        watch: is told how many pages are written, of how many.

    Raises:
        MissingDependencyError: the extra ``leaderboard`` isn't installed.
        GrinningFaceError: the folder holds something else, or can't be written. Nothing half-written is left beside it.
    """
    library = table_library()
    if util.find_spec("pyarrow") is None:  # told before anything is written
        raise MissingDependencyError("the site's Parquet file needs pyarrow", hint="pip install 'grinningface[leaderboard]'")
    _check_place(out)
    ranking = rank(board, host, rerun=agreeing(board.path))
    suites = {table.suite.id: table.suite for table in ranking.tables}
    for one in ranking.unranked:
        suites |= _known(one.played.suite, suites, host)
    place = out.resolve()  # a link stays one, and what it leads to is the site
    with explained(out, kind=GrinningFaceError), _beside(place) as beside:
        writer = _Writer(beside, board, host, ranking, suites, watch)
        writer.write(library)
        _replace(place, beside)
    front = ["index.html", "static/report.css", "static/board.css", "static/board.js", "static/dt_bundle.js"]
    return Built(out=out, pages=writer.written, front_bytes=sum((out / name).stat().st_size for name in front))


def table_library() -> Path:
    """The script of DataTables, which the package itables brings. Raises MissingDependencyError: it isn't installed."""
    spec = util.find_spec("itables")
    for folder in spec.submodule_search_locations or () if spec else ():
        script = Path(folder) / "html" / "dt_bundle.js"
        if script.is_file():
            return script
    raise MissingDependencyError("the site's tables need itables", hint="pip install 'grinningface[leaderboard]'")


@contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """A new folder beside a place; whatever happens, it is gone afterwards."""
    beside = place.with_name(f".{place.name}.{secrets.token_hex(4)}.half")
    try:
        beside.mkdir(parents=True)
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _replace(place: Path, beside: Path) -> None:
    """Put a site in a place. The folder itself stays where there is one: somebody may stand in it, or it may be mounted."""
    place.mkdir(exist_ok=True)
    (beside / MARK).replace(place / MARK)  # first, so that a build that is interrupted here can be given again
    for old in place.iterdir():
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        elif old.name != MARK:
            old.unlink()
    for new in beside.iterdir():
        new.rename(place / new.name)


def _check_place(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise GrinningFaceError("the folder holds something else than a site", where=str(out), hint="give an empty or a new one")
    if out.exists() and not out.is_dir():
        raise GrinningFaceError("it is a file", where=str(out), hint="give a folder")


def _known(name: str, suites: Mapping[str, Suite], host: PluginHost) -> dict[str, Suite]:
    from gf_core.evaluation.suites import load_suite

    if name in suites:
        return {}
    try:
        return {name: load_suite(name, host)}
    except GrinningFaceError:
        return {}


class _Writer:
    def __init__(
        self, out: Path, board: Board, host: PluginHost, ranking: Ranking, suites: Mapping[str, Suite], watch: Watch
    ) -> None:
        self._out, self._board, self._ranking, self._suites, self._watch = out, board, ranking, suites, watch
        self._environment = page_environment(TEMPLATES, REPORT_TEMPLATES)
        self._faces = Faces(load_decks(suites.values(), host))
        self._pages = make_pages(ranking, suites)
        self._listed = [entry for entry in board.entries if entry.listed]
        self._epochs, broken = read_epochs(board.path)
        self._claims, unread = read_claims(board.path)
        self._problems = (*board.problems, *broken, *unread)
        self._total = len(self._pages) + len(self._listed) + 6
        self.written = 0

    def write(self, library: Path) -> None:
        (self._out / "static").mkdir(parents=True)
        (self._out / MARK).write_text("", encoding="utf-8")
        for file in sorted(STATIC.iterdir()):
            shutil.copy(file, self._out / "static" / file.name)
        shutil.copy(library, self._out / "static" / library.name)
        shutil.copy(REPORT_TEMPLATES / "report.css", self._out / "static" / "report.css")
        front = self._pages[0] if self._pages else None
        self._page("index.html", "table.html.j2", page=front, root="")
        for page in self._pages:
            self._page(f"tables/{page.file}", "table.html.j2", page=page, root="../")
        for entry in self._listed:
            self._page(f"entries/{entry.id}.html", "entry.html.j2", root="../", **self._entry(entry))
        tables = self._ranking.tables
        committed = [one for epoch in self._epochs for one in epoch.commitments.values()]
        policies = {one["entry"]: f"{one['policy']['id']} {one['policy']['spec_sha256']}" for one in committed}
        matrices = [(table, make_matrix(table, policies)) for table in tables]
        self._page("techniques.html", "techniques.html.j2", root="", matrices=matrices)
        self._page("targets.html", "targets.html.j2", root="", heats=[(t, make_heat(t)) for t in tables])
        self._page("compare.html", "compare.html.j2", root="", sources=self._comparisons())
        self._page("claims.html", "claims.html.j2", root="", claims=self._claims)
        withdrawn = [entry for entry in self._board.entries if not entry.listed]
        self._page("about.html", "about.html.j2", root="", withdrawn=withdrawn, problems=self._problems, epochs=self._epochs)
        self._data()
        self._draw_faces()

    def _draw_faces(self) -> None:
        """The cards' faces that pages show, each once."""
        folder = self._out / "static" / "faces"
        folder.mkdir()
        for key, uri in self._faces.used.items():
            (folder / f"{key}.webp").write_bytes(base64.b64decode(uri.partition(",")[2]))

    def _page(self, name: str, template: str, *, root: str, **values: Any) -> None:
        target = self._out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        rendered = self._environment.get_template(template).render(
            root=root,
            policy=POLICY,
            title=text(self._board.document["title"]),
            description=text(self._board.document.get("description", ""), 2000),
            contact=text(self._board.document.get("contact", "")),
            version=metadata.version("grinningface"),
            pages=self._pages,
            tiers=TIERS,
            here=name,
            clean=text,
            face=self._faces.find,
            **values,
        )
        target.write_text(rendered, encoding="utf-8")
        self.written += 1
        self._watch(self.written, self._total)

    def _entry(self, entry: Entry) -> dict[str, Any]:
        runs = runs_of(entry)
        places = {p.played.path: (t, p) for t in self._ranking.tables for p in t.places if p.played.entry is entry}
        whys = {one.played.path: one.why for one in self._ranking.unranked if one.played.entry is entry}
        reruns = [(epoch, rerun) for epoch in self._epochs for (name, _), rerun in epoch.reruns.items() if name == entry.id]
        tier = next((table.tier for table, _ in places.values()), entry.badge)
        return {
            "entry": entry,
            "badge": tier,
            "runs": [self._run(run, places.get(run.path), whys.get(run.path, "")) for run in runs],
            "reruns": reruns,
            "flags": [rule for rule in entry.verdict["rules"] if rule["status"] in ("flag", "fail", "unchecked")],
            "rules": RULES,
            "card": _card(entry.card),
        }

    def _run(self, run: Played, placed: Any, why: str) -> dict[str, Any]:
        suite = self._suites.get(run.suite)
        known = suite is not None and suite.sha256 == run.suite_sha256
        chance = next((m.chance for m in suite.metrics if m.name == "recognition"), None) if suite else None
        rows = unpack_run(run.document, suite) if suite is not None and known else []
        probe = run.entry.probe
        drawn = self._pictures(run, {row["episode"] for row in rows})
        filmed, failed, more = failures(rows, suite, drawn, _FAILURES) if suite is not None else ([], [], 0)
        about = run.document["described"]
        return {
            "run": run,
            "place": placed[1] if placed else None,
            "table": placed[0] if placed else None,
            "why": why,
            "splits": [
                (split, [(n, shown(m)) for n, m in rates.items()], stacked(rates, chance)) for split, rates in run.rates.items()
            ],
            "gaps": gap_lines(probe, suite, rows) if probe and suite is not None and rows else [],
            "controls": control_lines(suite, rows) if suite is not None and rows else [],
            "filmed": filmed,
            "failures": failed,
            "more": more,
            "facts": {
                key: about.get(key) for key in ("policy", "policy_seed", "control_hz", "timing", "steps_per_chunk", "episodes")
            },
            "versions": about.get("versions", {}),
            "platform": about.get("platform", {}),
        }

    def _pictures(self, run: Played, episodes: Set[str]) -> dict[str, str]:
        """Copies the pictures of a run's episodes; says where they are, by episode."""
        found = {}
        for (path, episode), file in pictures_of(run.entry.path).items():
            if path == run.path and episode in episodes:
                name = f"pictures/{run.entry.id}/{file.name}"
                target = self._out / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
                found[episode] = name
        return found

    def _comparisons(self) -> list[tuple[str, str, str]]:
        """Suite, split and file of everything that can be compared."""
        found = []
        for page in self._pages:
            suite = self._suites.get(page.suite)
            if suite is None:
                continue
            runs = _first_runs(self._ranking, suite)
            if len(runs) > 1:
                name = f"data/{slug(page.suite, page.split)}.json"
                self._json(name, comparison_data(suite, page.split, runs))
                found.append((page.suite, page.split, name))
        return found

    def _json(self, name: str, content: Any) -> None:
        target = self._out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False), encoding="utf-8")

    def _data(self) -> None:
        document = {"schema_version": "1.0", "kind": "ranking", **to_document(self._board, self._ranking, self._claims)}
        self._json("data/board.json", document)
        rows = list(_flat(self._pages))
        (self._out / "data" / "board.csv").write_text(_csv(rows), encoding="utf-8")
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), self._out / "data" / "board.parquet")


def _first_runs(ranking: Ranking, suite: Suite) -> list[Played]:
    """Of each entry that isn't disputed, its run on a suite."""
    found: dict[str, Played] = {}
    candidates = [place.played for table in ranking.tables if table.suite.id == suite.id for place in table.places]
    candidates += [one.played for one in ranking.unranked if one.played.suite == suite.id]
    for run in candidates:
        if run.suite_sha256 == suite.sha256 and run.entry.badge != "disputed":
            found.setdefault(run.entry.id, run)
    return sorted(found.values(), key=lambda run: run.entry.name.casefold())


def _card(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The card's facts in words, in the order in which readers ask for them."""
    names = {
        "backbone": "Backbone",
        "technique": "Technique",
        "head": "Head",
        "trainable_parameters": "Trainable parameters",
        "total_parameters": "Parameters",
        "robot_data": "Robot data",
        "vision_language_data": "Vision-language data",
        "trained_items": "Cards trained on",
        "selected_by": "Selected by",
        "training_seed": "Training seed",
        "weights": "Weights",
        "weights_url": "Weights at",
        "code_url": "Code at",
        "paper": "Paper",
        "license": "Licence",
        "authors": "Authors",
        "contact": "Contact",
        "recipe": "Recipe",
        "notes": "Notes",
    }
    told = []
    for key, name in names.items():
        value = card.get(key)
        if value is None:
            continue
        if isinstance(value, list):
            words = ", ".join(str(one) for one in value) or "none"
        else:
            words = f"{value:,}" if isinstance(value, int) and key.endswith("parameters") else str(value)
        told.append((name, text(words, 2000)))
    return told


def _flat(pages: Iterable[Page]) -> Iterable[dict[str, Any]]:
    for page in pages:
        for row in page.rows:
            yield {
                "suite": page.suite,
                "split": page.split,
                "entry": row.id,
                "name": row.name,
                "badge": row.badge,
                "division": row.division,
                "track": row.track,
                "ranks": row.ranks.replace("–", "-") if row.best else "",
                "letters": row.letters,
                "not_ranked_because": row.why,
                "backbone": row.backbone,
                "technique": row.technique,
                "head": row.head,
                "added": row.added,
                **{
                    f"{name}_{part}": value
                    for name, rate in zip(page.columns, row.rates, strict=True)
                    for part, value in _parts(rate)
                },
            }


def _parts(rate: Any) -> Sequence[tuple[str, float | None]]:
    low, high = (None if limit is None else limit / 100 for limit in (rate.low, rate.high))
    return ("estimate", rate.order if rate.at is not None else None), ("low", low), ("high", high)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([csv_text(value) if isinstance(value, str) else value for value in (row.get(name) for name in names)])
    return out.getvalue()
