"""Epochs of re-runs by commit and reveal.

A maintainer publishes the hash of a secret, then policies commit themselves, then each commitment gets challenge episodes of its
own, drawn from a seed that neither side could choose: the maintainer's secret was fixed before the policy, and the policy before
the seed was known. When the epoch closes the secret is published, and anybody can work out every seed again.

::

    epochs/NAME/epoch.json                         the secret's hash; once closed, the secret
    epochs/NAME/commitments/ENTRY.json             which policy an entry stands for
    epochs/NAME/reruns/ENTRY/SUITE.json            what running it again came to
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gf_core._problems import printable
from gf_core.canonical import content_hash, sha256
from gf_core.errors import GrinningFaceError, did_you_mean
from gf_core.leaderboard import checks
from gf_core.leaderboard.archive import open_archive
from gf_core.leaderboard.board.repository import Board, Entry, Problem, changing, today, write_json
from gf_core.leaderboard.bundle import read_manifest
from gf_core.schemas import load_document, validate

EPOCHS, EPOCH, COMMITMENTS, RERUNS = "epochs", "epoch.json", "commitments", "reruns"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_SECRET_BYTES = 32
_SEED_BITS = 53
"""The most that every reader of JSON keeps exactly."""


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """An epoch as read.

    Attributes:
        path: its folder.
        document: epoch.json.
        commitments: entry to commitment.
        reruns: entry and suite to what running it again came to.
        problems: files that aren't what they should be; nothing else suffers from them.
    """

    path: Path
    document: Mapping[str, Any]
    commitments: Mapping[str, Mapping[str, Any]]
    reruns: Mapping[tuple[str, str], Mapping[str, Any]]
    problems: tuple[Problem, ...]

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.document["name"])

    @property
    def closed(self) -> Mapping[str, Any] | None:
        """When it was closed, and its secret; ``None`` while it is open."""
        found: Mapping[str, Any] | None = self.document["closed"]
        return found


def commitment_hash(commitment: Mapping[str, Any]) -> str:
    """What a commitment's seed comes from: the entry, its submission and its policy."""
    return content_hash({key: commitment[key] for key in ("entry", "submission_sha256", "policy")})


def challenge_seed(secret: bytes, commitment: str, suite: str, epoch: str) -> int:
    """The first 53 bits of the HMAC-SHA256 (RFC 2104) of the commitment's hash, the suite's id and the epoch's name."""
    digest = hmac.new(secret, "\n".join((commitment, suite, epoch)).encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _SEED_BITS)


def open_epoch(path: Path, name: str, secret_file: Path, *, layers: int = 1, date: str | None = None) -> Epoch:
    """Begin an epoch: draw a secret, keep it in a file of its own, and publish its hash.

    Args:
        path: the repository.
        name: the epoch's: a-z, 0-9 and hyphens.
        secret_file: where the secret goes; readable for its owner only. Not in the repository, which is published.
        layers: how often each target is asked in a challenge.
        date: the day; by default today's, UTC.

    Raises:
        GrinningFaceError: another epoch is open, the name is taken or unfit, or the secret's file is there already or in the way.
    """
    if not _NAME.fullmatch(name):
        raise GrinningFaceError(f"{name!r} can't be an epoch's name", hint="a-z, 0-9 and hyphens, at most 40")
    if secret_file.resolve().is_relative_to(path.resolve()):
        raise GrinningFaceError("the secret would lie in the repository", where=str(secret_file), hint="keep it elsewhere")
    with changing(path):
        for other in read_epochs(path)[0]:
            if other.closed is None:
                raise GrinningFaceError(f"epoch {other.name!r} is open", hint=f"`gf leaderboard epoch close {path} {other.name}`")
        folder = path / EPOCHS / name
        if folder.exists():
            raise GrinningFaceError(f"there was an epoch {name!r} already", where=str(folder), hint="give another name")
        secret = secrets.token_bytes(_SECRET_BYTES)
        _keep(secret, secret_file)
        document = {
            "schema_version": "1.0",
            "kind": "epoch",
            "name": name,
            "secret_sha256": sha256(secret),
            "opened": date or today(),
            "layers": layers,
            "closed": None,
        }
        validate(document, "epoch", source=str(folder / EPOCH))
        write_json(folder / EPOCH, document)
    return read_epoch(path, name)


def _keep(secret: bytes, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise GrinningFaceError(
            "there is a file already", where=str(file), hint="a secret is used once: give another file"
        ) from None
    except OSError as error:
        raise GrinningFaceError(f"can't be written ({error.strerror})", where=str(file)) from error
    with os.fdopen(descriptor, "w") as out:
        out.write(secret.hex() + "\n")


def read_secret(file: Path, epoch: Epoch) -> bytes:
    """An epoch's secret. Raises GrinningFaceError: there is none in the file, or it is another epoch's."""
    try:
        secret = bytes.fromhex(file.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise GrinningFaceError("holds no secret", where=str(file), hint="give the file that `epoch open` wrote") from error
    if sha256(secret) != epoch.document["secret_sha256"]:
        raise GrinningFaceError(f"isn't the secret of epoch {epoch.name!r}", where=str(file))
    return secret


def close_epoch(path: Path, name: str, secret_file: Path, *, date: str | None = None) -> Epoch:
    """End an epoch and publish its secret. Whatever comes later is late.

    Raises:
        GrinningFaceError: no such epoch, it is closed already, the secret isn't its, or something in it is of a later day.
    """
    with changing(path):
        epoch = read_epoch(path, name)
        if epoch.closed is not None:
            raise GrinningFaceError(f"epoch {name!r} was closed on {epoch.closed['date']}")
        secret = read_secret(secret_file, epoch)
        day = date or today()
        _check_last(epoch, day)
        document = {**epoch.document, "closed": {"date": day, "secret": secret.hex()}}
        validate(document, "epoch", source=str(epoch.path / EPOCH))
        write_json(epoch.path / EPOCH, document)
    return read_epoch(path, name)


def _check_last(epoch: Epoch, day: str) -> None:
    """Nothing, if nothing in an epoch is of a later day: it would be late for ever. Raises GrinningFaceError."""
    dated = [(epoch.document["opened"], "it was opened")]
    dated += [(one["date"], f"{entry} was committed") for entry, one in epoch.commitments.items()]
    dated += [(one["date"], f"{entry} was run again on {suite}") for (entry, suite), one in epoch.reruns.items()]
    last, what = max(dated)
    if last > day:
        raise GrinningFaceError(f"{what} on {last}, and it can't be closed on {day}", where=epoch.name, hint=f"--date {last}")


def commit(path: Path, entry_name: str, epoch_name: str, scratch: Path, *, date: str | None = None) -> Mapping[str, Any]:
    """Commit an entry's policy in an epoch: what its runs say of it, with the hash of what its settings point to.

    Args:
        path: the repository.
        entry_name: the entry, or a beginning of its id.
        epoch_name: the epoch, which must be open.
        scratch: a folder for the submission.
        date: the day; by default today's, UTC.

    Returns:
        The commitment. One that is there already stays, and is returned.

    Raises:
        GrinningFaceError: no such entry or epoch, a closed one, or a submission that can't be fetched.
    """
    with changing(path) as board:
        entry, epoch = board.entry(entry_name), read_epoch(path, epoch_name)
        if entry.id in epoch.commitments:
            return epoch.commitments[entry.id]
        if epoch.closed is not None:
            what = f"epoch {epoch.name!r} was closed on {epoch.closed['date']}: a commitment would be late"
            raise GrinningFaceError(what, where=entry.id, hint="commit in the next one")
        if not entry.listed:
            raise GrinningFaceError("it is withdrawn", where=entry.id)
        policy = recorded_policy(board, entry, scratch)
        document = {
            "schema_version": "1.0",
            "kind": "commitment",
            "entry": entry.id,
            "submission_sha256": entry.document["submission"]["sha256"],
            "policy": {key: policy[key] for key in ("id", "config", "spec_sha256", "execute_steps")},
            "date": date or today(),
        }
        file = epoch.path / COMMITMENTS / f"{entry.id}.json"
        validate(document, "commitment", source=str(file))
        write_json(file, document)
    return document


def recorded_policy(board: Board, entry: Entry, scratch: Path) -> Mapping[str, Any]:
    """What the first run of an entry's submission says of its policy. Raises GrinningFaceError: the submission isn't there."""
    digest = entry.document["submission"]["sha256"]
    file = scratch / f"{digest}.zip"
    if not file.is_file():
        board.storage.fetch(digest, file)
    with open_archive(file) as archive:
        policy: Mapping[str, Any] = checks.read_identity(archive, read_manifest(archive)["runs"][0]["path"])["policy"]
    return policy


def read_epoch(path: Path, name: str) -> Epoch:
    """An epoch by its name. Raises GrinningFaceError: there is none, or its epoch.json is broken."""
    folder = path / EPOCHS / name
    if not _NAME.fullmatch(name) or not (folder / EPOCH).is_file():
        known = [one.name for one in read_epochs(path)[0]]
        hint = did_you_mean(name, known) or (
            f"there are {', '.join(known)}" if known else "`gf leaderboard epoch open` begins one"
        )
        raise GrinningFaceError(f"there is no epoch {name!r}", where=str(path), hint=hint)
    return _read(folder)


def read_epochs(path: Path) -> tuple[list[Epoch], list[Problem]]:
    """All epochs by the day on which they were opened, and what can't be read."""
    found: list[Epoch] = []
    problems: list[Problem] = []
    for folder in sorted((path / EPOCHS).iterdir()) if (path / EPOCHS).is_dir() else ():
        if folder.name.startswith("."):
            continue
        try:
            epoch = _read(folder)
        except GrinningFaceError as error:
            problems.append(Problem(where=printable(f"{EPOCHS}/{folder.name}"), what=_line(error)))
            continue
        found.append(epoch)
        problems += epoch.problems
    return sorted(found, key=lambda one: (one.document["opened"], one.name)), problems


def _read(folder: Path) -> Epoch:
    document = load_document(folder / EPOCH, "epoch")
    if document["name"] != folder.name:
        raise GrinningFaceError(f"{EPOCH} says that it is {document['name']}", where=str(folder), hint="the folder was renamed")
    problems: list[Problem] = []
    commitments: dict[str, Mapping[str, Any]] = {}
    reruns: dict[tuple[str, str], Mapping[str, Any]] = {}
    for file in sorted((folder / COMMITMENTS).glob("*.json")):
        where = printable(f"{EPOCHS}/{folder.name}/{COMMITMENTS}/{file.name}")
        try:
            commitment = load_document(file, "commitment")
            if file.stem != commitment["entry"]:
                raise GrinningFaceError(f"is of {commitment['entry']}, whose commitment is another file")
            commitments[commitment["entry"]] = commitment
        except GrinningFaceError as error:
            problems.append(Problem(where=where, what=_line(error)))
    for file in sorted((folder / RERUNS).glob("*/*.json")):
        where = printable(f"{EPOCHS}/{folder.name}/{RERUNS}/{file.parent.name}/{file.name}")
        try:
            rerun = load_document(file, "rerun")
            if wrong := _misplaced(rerun, file, document, commitments, reruns):
                raise GrinningFaceError(wrong)
            reruns[(rerun["entry"], rerun["suite"])] = rerun
        except GrinningFaceError as error:
            problems.append(Problem(where=where, what=_line(error)))
    return Epoch(path=folder, document=document, commitments=commitments, reruns=reruns, problems=tuple(problems))


def _misplaced(
    rerun: Mapping[str, Any],
    file: Path,
    epoch: Mapping[str, Any],
    commitments: Mapping[str, Mapping[str, Any]],
    reruns: Mapping[tuple[str, str], Mapping[str, Any]],
) -> str:
    """Why a challenge's answer doesn't count; empty if it does."""
    commitment = commitments.get(rerun["entry"])
    if commitment is None:
        return f"{rerun['entry']} has no commitment in this epoch"
    if rerun["commitment"] != commitment_hash(commitment) or rerun["epoch"] != epoch["name"]:
        return "answers the challenge of another commitment or epoch"
    if rerun["policy_spec_sha256"] != commitment["policy"]["spec_sha256"]:
        return "was run with another checkpoint, or another version of the policy, than was committed"
    if (rerun["entry"], rerun["suite"]) in reruns:
        return f"the challenge of {rerun['entry']} on {rerun['suite']} is answered twice; the first answer stands"
    if epoch["closed"] is not None and rerun["date"] > epoch["closed"]["date"]:
        return f"late: of {rerun['date']}, and the secret was published on {epoch['closed']['date']}"
    if file.parent.name != rerun["entry"]:
        return f"lies in the folder of {file.parent.name}"
    return ""


def _line(error: GrinningFaceError) -> str:
    return error.line


def agreeing(path: Path) -> set[tuple[str, str]]:
    """Entry and suite of all policies that were run again with results that agree with the submission's, in any epoch."""
    return {key for epoch in read_epochs(path)[0] for key, rerun in epoch.reruns.items() if rerun["agrees"]}
