"""Random changes to a submission, by somebody who keeps hashes and chains right or doesn't: none verifies with other numbers."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gf_core.leaderboard import Verdict, to_document, verify_file

from .forging import CARD, Forgery, bundle

SAMPLE, ALL = 16, 1000


def flip_bytes(forgery: Forgery, draw: random.Random) -> None:
    """In any file of the run, keeping nothing consistent."""
    path = draw.choice(sorted(p for p in forgery.write().rglob("*") if p.is_file()))
    data = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 1, 8])):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def change_row(forgery: Forgery, draw: random.Random) -> None:
    row = draw.choice(forgery.rows)
    place = draw.choice([row, row, row["metrics"], row["factors"]])
    key = draw.choice(sorted(place))
    place[key] = other_value(place[key], draw)


def other_value(value: object, draw: random.Random) -> object:
    if isinstance(value, bool):
        return draw.choice([not value, int(value), None])
    if isinstance(value, int | float):
        return draw.choice([value + 1, value - 1, -value, value * 1.0000001, True, str(value)])
    if isinstance(value, str):
        return draw.choice([value[:-1], value + "x", "success", "horizon", "env_error", "policy_error", 1])
    return draw.choice([True, False, 1, None, {}])


def move_rows(forgery: Forgery, draw: random.Random) -> None:
    a, b = draw.sample(range(len(forgery.rows)), 2)
    match draw.randrange(4):
        case 0:
            forgery.rows[a], forgery.rows[b] = forgery.rows[b], forgery.rows[a]
        case 1:
            forgery.rows[a] = dict(forgery.rows[b])
        case 2:
            forgery.rows.pop(a)
        case _:
            forgery.rows.insert(a, dict(forgery.rows[b]))


def take_the_outcome_of_another(forgery: Forgery, draw: random.Random) -> None:
    a, b = draw.sample(range(len(forgery.rows)), 2)
    for key in draw.sample(["success", "ending", "steps", "metrics", "clipped_steps", "chunks", "trajectory_sha256"], 4):
        forgery.rows[a][key] = forgery.rows[b][key]


def take_the_recording_of_another(forgery: Forgery, draw: random.Random) -> None:
    a, b = draw.sample(range(len(forgery.rows)), 2)
    forgery.record(a, forgery.trajectory(b))
    for key in ("steps", "chunks", *draw.sample(["success", "ending", "metrics", "clipped_steps"], 2)):
        forgery.rows[a][key] = forgery.rows[b][key]


def change_recording(forgery: Forgery, draw: random.Random) -> None:
    number = draw.randrange(len(forgery.rows))
    trajectory = forgery.trajectory(number)
    array = draw.choice([trajectory.actions, trajectory.controls])
    at = draw.randrange(array.shape[0]), draw.randrange(array.shape[1])
    array[at] = draw.choice([0, 1, -1, np.nan, np.nextafter(array[at], array.dtype.type(9)), array[at] * 1.01])
    forgery.record(number, trajectory)


def fail_or_excuse(forgery: Forgery, draw: random.Random) -> None:
    """Turn an episode into a fault, which is in no rate."""
    draw.choice(forgery.rows).update(success=False, ending=draw.choice(["env_error", "policy_error"]), reason="x")


def change_identity(forgery: Forgery, draw: random.Random) -> None:
    identity = forgery.identity
    part = draw.choice([identity, identity["policy"], identity["suite"], identity["environment"], identity["versions"]])
    key = draw.choice(sorted(part))
    part[key] = other_value(part[key], draw)


MUTATIONS: tuple[Callable[[Forgery, random.Random], None], ...] = (
    flip_bytes,
    change_row,
    change_row,
    move_rows,
    take_the_outcome_of_another,
    take_the_recording_of_another,
    change_recording,
    fail_or_excuse,
    change_identity,
)


def numbers(verdict: Verdict) -> object:
    """What a leaderboard would show."""
    (submission,) = to_document([verdict])["submissions"]
    return [{key: run[key] for key in ("suite", "episodes", "env_errors", "splits")} for run in submission["runs"]]


@pytest.mark.parametrize("seed", [*range(SAMPLE), *(pytest.param(s, marks=pytest.mark.full) for s in range(SAMPLE, ALL))])
def test_no_mutation_verifies_with_other_numbers(forge, host, tmp_path, seed):
    draw = random.Random(seed)
    forgery = forge(draw.choice(["gf/expert-v1", "gf/expert-v1", "gf/random-card-v1"])).relabel()
    honest = [dict(row) for row in forgery.rows]
    mutation = MUTATIONS[seed % len(MUTATIONS)]
    mutation(forgery, draw)
    if mutation is not flip_bytes:
        forgery.write()
    try:
        path = bundle(tmp_path / "mutated.zip", forgery.path)
    except (ValueError, KeyError, TypeError, AttributeError):  # not even a forger's tools can read it any more
        path = zipped_as_it_is(tmp_path / "mutated.zip", forgery.path)
    verdict = verify_file(path, host, threads=1)
    assert not any("checking it broke" in finding.detail for finding in verdict.findings)
    if verdict.badge != "disputed":
        successes = sum(row["success"] for row in honest)
        shown = numbers(verdict)
        assert len(shown) == 1
        assert shown[0]["episodes"] == 12
        assert shown[0]["env_errors"] == 0
        assert sum(split["rates"][0]["k"] for split in shown[0]["splits"]) == successes


def zipped_as_it_is(path: Path, run: Path) -> Path:
    from gf_core.canonical import sha256
    from gf_core.leaderboard.archive import write_archive
    from gf_core.leaderboard.bundle import document_bytes

    files = {f"runs/1/{f.relative_to(run)}": f.read_bytes() for f in run.rglob("*") if f.is_file()}
    content = {"card.json": document_bytes(CARD), **files}
    hashes = {name: {"sha256": sha256(data), "bytes": len(data)} for name, data in content.items()}
    manifest = {"schema_version": "1.0", "kind": "submission", "runs": [], "files": hashes}
    write_archive(path, sorted({**content, "submission.json": document_bytes(manifest)}.items()))
    return path
