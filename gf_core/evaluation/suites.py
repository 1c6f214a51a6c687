"""From a suite's frozen document to episodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from gf_core.canonical import content_hash
from gf_core.contracts import Episode, SubGoal
from gf_core.errors import GrinningFaceError, PluginError, did_you_mean
from gf_core.registry import brought_by, read_document
from gf_core.schemas import load_document, parse_json, validate
from gf_core.specs import Provenance
from gf_core.summary import MetricDecl

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite, ready to run.

    Attributes:
        id: ``namespace/name@N``; ``local/...`` for a file given on the command line.
        sha256: hash of the document's canonical JSON.
        source: what to call it in messages: its id or its file.
        summary: one line.
        env: id of the environment.
        env_config: the environment's settings.
        control_hz: control rate [1/s].
        decks: id of a deck to its content hash.
        splits: name to description.
        metrics: the rates that reports show.
        episodes: in plan order.
        ranked: whether results on it may enter a ranking.
        provenance: who brought it; ``None`` for a file.
        document: the document itself.
    """

    id: str
    sha256: str
    source: str
    summary: str
    env: str
    env_config: Mapping[str, Any]
    control_hz: float
    decks: Mapping[str, str]
    splits: Mapping[str, str]
    metrics: tuple[MetricDecl, ...]
    episodes: tuple[Episode, ...]
    ranked: bool
    provenance: Provenance | None
    document: Mapping[str, Any]


def load_suite(reference: str, host: PluginHost) -> Suite:
    """The suite with an id, or in a file (a reference that ends in ``.json``).

    Raises:
        UnknownIdError: no loaded plugin registered the id.
        SchemaError: the document isn't a suite.
        PluginError: the plugin's document isn't the one whose hash it registered.
        GrinningFaceError: a file that can't be read.
    """
    if reference.endswith(".json"):
        return _from_file(Path(reference))
    spec = host.suites.get(reference)
    document = cast("dict[str, Any]", parse_json(read_document(spec), source=spec.id))
    validate(document, "suite", source=spec.id)
    digest = content_hash(document)
    if digest != spec.sha256:
        raise PluginError(
            f"its document's hash is {digest[:12]}…, and {spec.sha256[:12] or 'none'}… was registered",
            where=f"{spec.id} of {brought_by(spec)}",
            hint="a suite never changes: reinstall the plugin, or register another @N",
        )
    if document["id"] != spec.id:
        raise PluginError(f"its document calls itself {document['id']!r}", where=f"{spec.id} of {brought_by(spec)}")
    return _build(document, id=spec.id, sha256=digest, source=spec.id, ranked=spec.ranked, provenance=spec.provenance)


def _from_file(path: Path) -> Suite:
    if not path.is_file():
        raise GrinningFaceError("there is no such file", where=str(path), hint="give a suite's id or its .json file")
    document = load_document(path, "suite")
    name = document["id"].partition("/")[2]
    return _build(document, id=f"local/{name}", sha256=content_hash(document), source=str(path), ranked=False, provenance=None)


def _build(
    document: Mapping[str, Any], *, id: str, sha256: str, source: str, ranked: bool, provenance: Provenance | None
) -> Suite:
    env, hz = document["env"], float(document["control_hz"])
    return Suite(
        id=id,
        sha256=sha256,
        source=source,
        summary=document["summary"],
        env=env["id"],
        env_config=env["config"],
        control_hz=hz,
        decks=document["decks"],
        splits={name: split["description"] for name, split in document["splits"].items()},
        metrics=tuple(_metric(row) for row in document["metrics"]),
        episodes=tuple(_episode(row, env=env["id"], control_hz=hz) for row in document["episodes"]),
        ranked=ranked,
        provenance=provenance,
        document=document,
    )


def _metric(row: Mapping[str, Any]) -> MetricDecl:
    return MetricDecl(**{key: value for key, value in row.items() if not key.startswith("x-")})


def _episode(row: Mapping[str, Any], *, env: str, control_hz: float) -> Episode:
    told = row["instruction"]
    instruction = (
        told
        if isinstance(told, str)
        else tuple(SubGoal(from_step=goal["from_step"], instruction=goal["instruction"]) for goal in told)
    )
    return Episode(
        id=row["id"],
        split=row["split"],
        cluster=row["cluster"],
        env=env,
        seed=row["seed"],
        instruction=instruction,
        horizon=row["horizon"],
        control_hz=control_hz,
        factors=row["factors"],
        scene=row["scene"],
    )


def check_splits(suite: Suite, splits: Iterable[str], *, where: str) -> None:
    """Nothing, where a suite has these splits.

    Args:
        suite: the suite.
        splits: their names.
        where: who asks.

    Raises:
        GrinningFaceError: it lacks one.
    """
    for split in splits:
        if split not in suite.splits:
            hint = did_you_mean(split, suite.splits) or f"it has {', '.join(suite.splits)}"
            raise GrinningFaceError(f"{suite.id} has no split {split!r}", where=where, hint=hint)


def at_rate(episode: Episode, control_hz: float) -> Episode:
    """The episode at another control rate: the same seconds, so horizon and sub-goals in proportion, rounded up."""

    def scaled(steps: int) -> int:
        return -int(-steps * control_hz // episode.control_hz)

    instruction = episode.instruction
    if not isinstance(instruction, str):
        instruction = tuple(SubGoal(from_step=scaled(g.from_step), instruction=g.instruction) for g in instruction)
    return dataclasses.replace(episode, horizon=scaled(episode.horizon), instruction=instruction, control_hz=control_hz)
