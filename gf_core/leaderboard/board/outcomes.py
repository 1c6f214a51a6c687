"""What is kept of a submission's runs in the repository: enough for every table and comparison, small, and quick to check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from itertools import product
from string import ascii_lowercase, digits
from typing import TYPE_CHECKING, Any

from gf_core.canonical import JSON
from gf_core.errors import GrinningFaceError, SchemaError
from gf_core.evaluation.suites import Suite, load_suite
from gf_core.leaderboard.bundle import BundledRun, describe_run
from gf_core.leaderboard.checks import run_key
from gf_core.leaderboard.verify import PRINT
from gf_core.runs import Row
from gf_core.summary import ENV_ERROR, POLICY_ERROR

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

_SIGN: Mapping[object, str] = {True: "1", False: "0", None: "-"}
_VALUE: Mapping[str, bool | None] = {"1": True, "0": False, "-": None}
PLACES = digits + ascii_lowercase
"""Characters that stand for endings."""
_NO_PRINT = "." * PRINT


def pack_run(run: BundledRun, suite: Suite, prints: Mapping[str, str]) -> dict[str, JSON]:
    """A run of outcomes.json.

    Args:
        run: as it was checked: complete, its rows in the suite's order.
        suite: what it is of.
        prints: episode to the hash of its actions.

    Raises:
        GrinningFaceError: more kinds of ending than there are characters.
    """
    rows = run.records
    endings = sorted({row["ending"] for row in rows})
    if len(endings) > len(PLACES):
        raise SchemaError(f"{len(endings)} kinds of ending, and {len(PLACES)} can be kept", where=run.path)
    # Also one that is null throughout: where nothing was placed, nothing was recognized, and the suite's rate is of none.
    values = {name: [row["metrics"].get(name) for row in rows] for name in sorted({m for row in rows for m in row["metrics"]})}
    names = [name for name in values if name != "success" and all(isinstance(value, bool | None) for value in values[name])]
    texts: dict[str, JSON] = {name: "".join(_SIGN[value] for value in values[name]) for name in names}
    # Which card was chosen, say: consistency and position bias are counted from it.
    numbers: dict[str, JSON] = {
        name: "".join("-" if value is None else PLACES[value] for value in all_of)
        for name, all_of in values.items()
        if name not in names and all(value is None or _is_small(value) for value in all_of)
    }
    return {
        "key": run_key(run.identity),
        "described": describe_run(run.path, run.identity, rows, suite),
        "endings": [*endings],
        "ending": "".join(PLACES[endings.index(row["ending"])] for row in rows),
        "steps": " ".join(str(row["steps"]) for row in rows),
        "clipped_steps": " ".join(str(row["clipped_steps"]) for row in rows),
        "metrics": {"success": "".join(_SIGN[row["success"]] for row in rows), **texts},
        "numbers": numbers,
        "prints": "".join(prints.get(row["episode"], "")[:PRINT] or _NO_PRINT for row in rows),
    }


def _is_small(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(PLACES)


def check_run(run: Mapping[str, Any], *, where: str) -> None:
    """Nothing, if what is said of a run's episodes is said of each. Raises SchemaError."""
    episodes = run["described"]["episodes"]
    counts = {"ending": len(run["ending"]), "prints": len(run["prints"]) / PRINT}
    counts |= {key: len(run[key].split()) for key in ("steps", "clipped_steps")}
    counts |= {f"{key}/{name}": len(text) for key in ("metrics", "numbers") for name, text in run[key].items()}
    wrong = next((key for key, count in counts.items() if count != episodes), None)
    if wrong is None and "success" not in run["metrics"]:
        wrong = "metrics/success"
    if wrong is not None:
        raise SchemaError(f"{wrong} doesn't tell of {episodes} episodes", where=where, hint="the file was edited")
    if any(PLACES.index(place) >= len(run["endings"]) for place in set(run["ending"])):
        raise SchemaError("an ending that isn't listed", where=where, hint="the file was edited")


def check_fits(run: Mapping[str, Any], suite: Suite, *, where: str) -> None:
    """Nothing, if a run tells of as many episodes as its suite has, and of every metric that it declares. Raises SchemaError."""
    episodes = run["described"]["episodes"]
    if episodes != len(suite.episodes):
        what = f"it tells of {episodes} episodes, and {suite.id} has {len(suite.episodes)}"
        raise SchemaError(what, where=where, hint="the file was edited")
    if not set(run["endings"]) - {ENV_ERROR, POLICY_ERROR}:
        return  # where nothing was played no metric was reported
    needed = (metric for decl in suite.metrics for metric in (decl.metric, decl.given) if metric)
    missing = next((metric for metric in needed if metric not in run["metrics"]), None)
    if missing is not None:
        what = f"the metric {missing!r} is missing, which {suite.id} declares"
        raise SchemaError(what, where=where, hint="the file was edited")


@lru_cache(maxsize=1)  # a command looks suites up in several places, and loading one takes a second
def suites_here(host: PluginHost) -> Callable[[str], Suite | None]:
    """Looks suites up by their id, each once; ``None`` for one that isn't here."""

    @cache
    def find(name: str) -> Suite | None:
        if name.endswith(".json"):  # a file that an entry names isn't opened
            return None
        try:
            return load_suite(name, host)
        except GrinningFaceError:
            return None

    return find


def suite_of(run: Mapping[str, Any], find: Callable[[str], Suite | None]) -> Suite | None:
    """The suite that a run is of; ``None`` where it isn't here, or here with another content."""
    suite = find(run["described"]["suite"])
    return suite if suite is not None and suite.sha256 == run["described"]["suite_sha256"] else None


def unpack_run(run: Mapping[str, Any], suite: Suite) -> list[Row]:
    """The rows again, as far as :mod:`gf_core.summary` reads them, with their factors from the suite."""
    texts: Mapping[str, str] = run["metrics"]
    steps, clipped = ([int(number) for number in run[key].split()] for key in ("steps", "clipped_steps"))
    numbers: Mapping[str, str] = run["numbers"]
    rows: list[Row] = []
    for number, episode in enumerate(suite.episodes):
        rows.append(
            {
                "episode": episode.id,
                "split": episode.split,
                "cluster": episode.cluster,
                "factors": dict(episode.factors),
                "success": texts["success"][number] == "1",
                "ending": run["endings"][PLACES.index(run["ending"][number])],
                "steps": steps[number],
                "clipped_steps": clipped[number],
                "metrics": {
                    **{name: _VALUE[text[number]] for name, text in texts.items() if name != "success"},
                    **{name: None if (sign := text[number]) == "-" else int(sign, 36) for name, text in numbers.items()},
                },
            }
        )
    return rows


def prints_of(run: Mapping[str, Any], suite: Suite) -> dict[str, str]:
    """Episode to print, where there is one."""
    return {suite.episodes[number].id: mark for number, mark in marks_of(run)}


def marks_of(run: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Number of an episode and its print, where there is one."""
    marks = (run["prints"][place : place + PRINT] for place in range(0, len(run["prints"]), PRINT))
    return [(number, mark) for number, mark in enumerate(marks) if mark != _NO_PRINT]


def in_common(runs: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> str:
    """What the runs of two entries share and mustn't (GF421, GF422); empty if nothing. Recordings are compared within a suite."""
    for run, other in product(runs, others):
        if run["key"] == other["key"]:
            return "a run of it"
        if run["described"]["suite_sha256"] == other["described"]["suite_sha256"] and {*marks_of(run)} & {*marks_of(other)}:
            return "a recording of it"
    return ""
