"""Holds a run's own files against its suite: GF404 to GF417. Each check raises GrinningFaceError, with its rule's code where it
checks several."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gf_core.canonical import content_hash, sha256
from gf_core.errors import GrinningFaceError, did_you_mean
from gf_core.evaluation.environment import load_deck
from gf_core.evaluation.suites import Suite, load_suite
from gf_core.leaderboard.archive import Archive
from gf_core.leaderboard.bundle import MAX_DOCUMENT, BundledRun, read_document, read_rows
from gf_core.runs import EPISODES, INVALID_ERROR_RATE, RUN, Row, is_valid
from gf_core.schemas import validate_config
from gf_core.summary import ENV_ERROR, POLICY_ERROR, SplitSummary, summarize

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

SELECTION_SUITE = "gf/dev@1"
"""The one suite by whose results checkpoints may be chosen."""
TRAINING_SPLIT = "train"
"""The split of a deck whose items may be trained on."""
_RELEASED = re.compile(r"[0-9]+(\.[0-9]+)*((a|b|rc)[0-9]+)?(\.post[0-9]+)?")
"""A version without a local part and without .dev, PEP 440."""
_ALWAYS = ("grinningface", "numpy")

Identity = Mapping[str, Any]


def read_identity(archive: Archive, path: str) -> dict[str, Any]:
    """run.json."""
    return read_document(archive, f"{path}/{RUN}", "run", MAX_DOCUMENT)


def known_suite(identity: Identity, path: str, host: PluginHost) -> Suite:
    """The suite as it is installed here."""
    recorded = identity["suite"]
    where = f"{path}/{RUN}#/suite"
    if not re.fullmatch(r"[a-z0-9/@_-]{1,100}", recorded["id"]):
        raise GrinningFaceError("not the id of a suite", where=where)
    suite = load_suite(recorded["id"], host)
    if suite.sha256 != recorded["sha256"]:
        raise GrinningFaceError(f"{suite.id} has the hash {suite.sha256[:12]}…, not {recorded['sha256'][:12]}…", where=where)
    return suite


def suite_settings(suite: Suite, host: PluginHost) -> dict[str, Any]:
    """The environment's settings as the suite wants them, completed with their defaults."""
    return validate_config(suite.env_config, host.envs.get(suite.env).config_schema, source=suite.id)


def check_as_in_suite(identity: Identity, path: str, suite: Suite, host: PluginHost) -> None:
    """The flags in run.json, and everything that they are set by."""
    expected: dict[str, tuple[object, object]] = {
        "partial": (identity["partial"], False),
        "variant": (identity["variant"], False),
        "unpackaged": (identity["unpackaged"], False),
        "episodes": (identity["episodes"], None),
        "control_hz": (float(identity["control_hz"]), suite.control_hz),
        "horizon_scale": (float(identity["horizon_scale"]), 1.0),
        "timing": (dict(identity["timing"]), {"mode": "paused", "latency_steps": None}),
        "files": (dict(identity["files"]), {}),
        "decks": (dict(identity["decks"]), dict(suite.decks)),
        "environment/id": (identity["environment"]["id"], suite.env),
        "environment/config": (identity["environment"]["config"], suite_settings(suite, host)),
    }
    for pointer, (found, wanted) in expected.items():
        if found != wanted:
            raise GrinningFaceError(f"is {found!r} and should be {wanted!r}", where=f"{path}/{RUN}#/{pointer}")
    for part in ("suite", "environment", "policy"):
        if identity[part]["provenance"] is None or identity[part]["id"].startswith("local/"):
            raise GrinningFaceError(f"{identity[part]['id']} comes from no package", where=f"{path}/{RUN}#/{part}")


def check_rows(archive: Archive, path: str, identity: Identity, suite: Suite) -> BundledRun:
    """The run with its rows, as far as they can be checked without the recordings: GF404, GF407, GF408."""
    previous = sha256(archive.read(f"{path}/{RUN}", MAX_DOCUMENT))
    records: list[Row] = []
    for where, line, row in read_rows(archive, path):
        if row["previous"] != previous:
            raise GrinningFaceError("doesn't follow from the row before it", where=where, code="GF408")
        if wrong := _misplaced(row, len(records), suite):
            raise GrinningFaceError(wrong, where=where, code="GF407")
        failed = row["ending"] in (ENV_ERROR, POLICY_ERROR)
        if failed is not ("reason" in row) or (failed and row["success"]):
            raise GrinningFaceError(f"an ending {row['ending']!r} doesn't go with its other fields", where=where, code="GF404")
        records.append(row)
        previous = sha256(line)
    if len(records) < len(suite.episodes):
        missing = suite.episodes[len(records)].id
        raise GrinningFaceError(
            f"{len(records)} of {len(suite.episodes)} episodes; {missing!r} is the first that is missing",
            where=f"{path}/{EPISODES}",
            code="GF407",
        )
    hashes = {row["episode"]: row["trajectory_sha256"] for row in records}
    return BundledRun(archive=archive, path=path, identity=identity, records=tuple(records), hashes=hashes)


def _misplaced(row: Row, number: int, suite: Suite) -> str:
    if number >= len(suite.episodes):
        return f"{suite.id} has {len(suite.episodes)} episodes, and this is one more"
    episode = suite.episodes[number]
    if row["episode"] != episode.id:
        return f"is {row['episode']!r}, and episode {number + 1} of {suite.id} is {episode.id!r}"
    for name, wanted in (("split", episode.split), ("cluster", episode.cluster), ("factors", dict(episode.factors))):
        if row[name] != wanted:
            return f"{name} is {row[name]!r}, and {wanted!r} in {suite.id}"
    return ""


def recompute(run: BundledRun, suite: Suite) -> list[SplitSummary]:
    """The suite's rates."""
    try:
        return summarize(run.records, suite.metrics)
    except GrinningFaceError as error:
        raise GrinningFaceError(error.what, where=f"{run.path}/{EPISODES}") from error


def check_faults(run: BundledRun) -> None:
    """The share of infrastructure faults."""
    if not is_valid(run.records):
        faults = sum(row["ending"] == ENV_ERROR for row in run.records)
        what = f"{faults} of {len(run.records)} episodes are infrastructure faults, more than {INVALID_ERROR_RATE:.0%}"
        raise GrinningFaceError(what, where=f"{run.path}/{EPISODES}")


def check_versions(identity: Identity, path: str) -> None:
    """Released versions of everything that results depend on."""
    versions, where = identity["versions"], f"{path}/{RUN}#/versions"
    needed: dict[str, str | None] = dict.fromkeys(_ALWAYS)
    parts = [identity[part]["provenance"] for part in ("suite", "environment", "policy")]
    needed |= {part["distribution"]: part["version"] for part in parts if part is not None}
    for name, version in needed.items():
        if name not in versions:
            raise GrinningFaceError(f"{name!r} is missing", where=where)
        if version is not None and versions[name] != version:
            raise GrinningFaceError(f"{name} is {versions[name]!r}, and brought something as {version!r}", where=where)
    for name, version in versions.items():
        if not _RELEASED.fullmatch(version):
            raise GrinningFaceError(f"{name} {version!r} isn't a released version", where=where)


def check_unprivileged(identity: Identity, path: str, host: PluginHost) -> None:
    """Neither by its own word nor, where it is installed here, by its registration."""
    policy = identity["policy"]
    known = policy["id"] in host.policies and host.policies.get(policy["id"]).privileged
    if policy["privileged"] or known:
        raise GrinningFaceError(f"{policy['id']} sees the simulator's state", where=f"{path}/{RUN}#/policy")


def check_one_policy(identities: Mapping[str, Identity]) -> None:
    """The same policy throughout, and no run twice."""
    first = next(iter(identities))
    seen: dict[str, str] = {}
    for path, identity in identities.items():
        for key in ("id", "config", "provenance", "spec_sha256", "execute_steps"):
            if identity["policy"][key] != identities[first]["policy"][key]:
                raise GrinningFaceError(f"isn't as in {first}", where=f"{path}/{RUN}#/policy/{key}")
        same = seen.setdefault(run_key(identity), path)
        if same != path:
            raise GrinningFaceError(f"is the same run as {same}: suite, policy and seed", where=path)


def run_key(identity: Identity) -> str:
    """The same for runs that must give the same results: policy with its settings and what they point to, seed and suite.

    The settings alone won't do: a checkpoint is named by its path, and two groups' paths may be alike.
    """
    policy = identity["policy"]
    parts = [policy[key] for key in ("id", "config", "spec_sha256", "execute_steps", "seed")]
    return content_hash([*parts, identity["suite"]["id"]])


def check_training(card: Mapping[str, Any], suites: Sequence[Suite], host: PluginHost) -> None:
    """No target that it was trained to act on, outside the deck's training split. Names may be of decks that no suite here has:
    robot data for pretraining shows others."""
    here = {deck: _splits(deck, host) for suite in suites for deck in suite.decks}
    unknown = set(card["trained_items"]).difference(*({*items, *items.values()} for items in here.values()))
    if unknown:
        _check_names(sorted(unknown), list(here), host)
    for suite in suites:
        items = {name: split for deck in suite.decks for name, split in here[deck].items()}
        trained = {item for item, split in items.items() if {item, split} & set(card["trained_items"])}
        for episode in suite.episodes:
            if episode.cluster in trained and items[episode.cluster] != TRAINING_SPLIT:
                what = f"it was trained on {episode.cluster!r}, the target of {episode.id!r} in {suite.id}"
                raise GrinningFaceError(what, where="card.json#/trained_items")


def _splits(deck: str, host: PluginHost) -> dict[str, str]:
    """Each item's split."""
    return {name: item.split for name, item in load_deck(deck, host).items.items()}


def _check_names(names: Sequence[str], here: Sequence[str], host: PluginHost) -> None:
    """Each is an item or a split of a deck: a word that is none may be a target that was written wrongly."""
    known: set[str] = set()
    for spec in host.decks:
        with suppress(GrinningFaceError):  # a deck that is broken is its plugin's affair
            items = _splits(spec.id, host)
            known |= {*items, *items.values()}
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"the suite's are those of {', '.join(here) or 'no deck'}"
            raise GrinningFaceError(
                f"{name!r} is neither an item nor a split of a deck here", where="card.json#/trained_items", hint=hint
            )


def check_selection(card: Mapping[str, Any]) -> None:
    """What chose the checkpoint."""
    for name in card["selected_by"]:
        if name != SELECTION_SUITE:
            raise GrinningFaceError(f"{name!r}; only {SELECTION_SUITE} may choose", where="card.json#/selected_by")
