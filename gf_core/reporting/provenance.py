"""Where a run's numbers come from, and the command that makes them again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gf_core._problems import printable, shorten
from gf_core.canonical import canonical_json, sha256
from gf_core.reporting.model import Evidence
from gf_core.runs import EPISODES, RUN, Row, read_journal

_TEXT, _COMMAND = 2_000, 4_000


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A line of a run's provenance; ``code`` for what a program reads."""

    name: str
    value: str
    code: bool = False


def facts(one: Evidence) -> list[Fact]:
    """What was run, on what, and how long it took. All of it is in the run directory."""
    identity = one.run.identity
    suite, policy, environment = identity["suite"], identity["policy"], identity["environment"]
    found = [
        Fact(name="Policy", value=policy["id"], code=True),
        Fact(name="Policy brought by", value=_brought(policy["provenance"])),
        Fact(name="Policy settings", value=canonical_json(policy["config"]), code=True),
        Fact(name="Policy seed", value=str(policy["seed"])),
        Fact(name="Steps played of a chunk", value=_or(policy["execute_steps"], "as the policy says")),
        Fact(name="Policy spec SHA-256", value=policy["spec_sha256"], code=True),
        Fact(name="Suite", value=suite["id"], code=True),
        Fact(name="Suite brought by", value=_brought(suite["provenance"])),
        Fact(name="Suite SHA-256", value=suite["sha256"], code=True),
        Fact(name="Environment", value=environment["id"], code=True),
        Fact(name="Environment brought by", value=_brought(environment["provenance"])),
        Fact(name="Environment settings", value=canonical_json(environment["config"]), code=True),
        Fact(name="Environment spec SHA-256", value=environment["spec_sha256"], code=True),
        Fact(name="Drawn by", value=_pairs(environment["runtime"]) or "nothing: the policy looks at no image"),
        Fact(name="Decks", value=_pairs(identity["decks"]) or "none", code=True),
        Fact(name="Control rate", value=f"{identity['control_hz']:g} Hz"),
        Fact(name="Timing", value=_timing(identity["timing"])),
        Fact(name="Versions", value=_pairs(identity["versions"])),
        Fact(name="Platform", value=_pairs(identity["platform"])),
        Fact(name="Plugin files", value=_pairs(identity["files"]) or "none", code=True),
        Fact(name="Flags", value=", ".join(one.report.marks) or "none"),
        *_files(one),
        *_clock(one),
    ]
    return [Fact(name=f.name, value=shorten(printable(f.value), _TEXT), code=f.code) for f in found]


def command(one: Evidence) -> str:
    """The command that makes this run again, as far as a line can say it; files stand by their names."""
    identity = one.run.identity
    policy, timing = identity["policy"], identity["timing"]
    words = ["gf", "run", _suite_word(identity["suite"]["id"]), "--policy", policy["id"]]
    words += [word for key, value in policy["config"].items() for word in ("--set", f"{key}={_setting(value)}")]
    if identity["variant"]:
        base = one.suite.env_config if one.suite else {}
        changed = {k: v for k, v in identity["environment"]["config"].items() if v != base.get(k)}
        words += [word for key, value in changed.items() for word in ("--env-set", f"{key}={_setting(value)}")]
    words += ["--policy-seed", str(policy["seed"])] if policy["seed"] else []
    words += ["--execute-steps", str(policy["execute_steps"])] if policy["execute_steps"] is not None else []
    words += ["--hz", f"{identity['control_hz']:g}"] if identity["horizon_scale"] != 1 else []
    words += ["--timing", timing["mode"]] if timing["mode"] != "paused" else []
    words += ["--latency-steps", str(timing["latency_steps"])] if timing["latency_steps"] is not None else []
    words += _episodes(one)
    words += [word for name in identity["files"] for word in ("--plugin", name)]
    return shorten(printable(shlex.join(map(str, words))), _COMMAND)


def _suite_word(suite: str) -> str:
    return suite.removeprefix("local/") + ".json" if suite.startswith("local/") else suite


def _episodes(one: Evidence) -> list[str]:
    chosen = one.run.identity["episodes"]
    if chosen is None:
        return []
    first = [e.id for e in one.suite.episodes[: len(chosen)]] if one.suite else []
    return ["--limit", str(len(chosen))] if chosen == first else ["--episodes", ",".join(chosen)]


def _files(one: Evidence) -> list[Fact]:
    found = []
    for name in (RUN, EPISODES):
        path = one.run.path / name
        value = sha256(path.read_bytes()) if path.is_file() else "none yet: the run isn't finished"
        found.append(Fact(name=f"{name} SHA-256", value=value, code=True))
    return found


def _clock(one: Evidence) -> list[Fact]:
    """What the journal says of time; a run directory without one says nothing."""
    rows = read_journal(one.run.path)
    sessions = [row for row in rows if row["kind"] == "session"]
    episodes = [row for row in rows if row["kind"] == "episode"]
    if not sessions or not episodes:
        return []
    faults = sum(row["kind"] == "fault" for row in rows)
    seconds = sum(_session_lengths(rows))
    asked, calls = _total(episodes, "ask_seconds"), sum(_number(row["record"].get("chunks")) for row in episodes)
    setting = sorted({f"{row.get('slots')} slots, {row.get('threads') or 'all'} threads" for row in sessions})
    pace = f", {60 * len(episodes) / seconds:.0f} episodes per minute" if seconds > 0 else ""
    return [
        Fact(name="Wall time", value=f"{_duration(seconds)} in {len(sessions)} session{'s' * (len(sessions) > 1)}{pace}"),
        Fact(name="Side by side", value="; ".join(setting)),
        Fact(name="A call of the policy took", value=f"{1000 * asked / calls:.2g} ms on average" if calls else "never called"),
        Fact(name="Faults on the way", value=str(faults)),
    ]


def _session_lengths(rows: Sequence[Row]) -> list[float]:
    """Seconds from each session's first row to its last."""
    begins, ends = [], []
    for row in rows:
        time = _number(row.get("time"))
        if row["kind"] == "session":
            begins.append(time)
            ends.append(time)
        elif ends:
            ends[-1] = time
    return [max(0.0, end - begin) for begin, end in zip(begins, ends, strict=True)]


def _total(rows: Sequence[Row], key: str) -> float:
    return sum(_number(row.get(key)) for row in rows)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _brought(provenance: Mapping[str, str] | None) -> str:
    if provenance is None:
        return "a file: not packaged"
    return f"{provenance['distribution']} {provenance['version']} ({provenance['plugin']})"


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _timing(timing: Mapping[str, Any]) -> str:
    if timing["mode"] == "paused":
        return "paused: the world waits for the policy"
    return f"realtime: a chunk arrives late, {_or(timing['latency_steps'], 'by what was measured')} steps"


def _setting(value: object) -> str:
    return value if isinstance(value, str) else canonical_json(value)


def _or(value: object, otherwise: str) -> str:
    return otherwise if value is None else str(value)
