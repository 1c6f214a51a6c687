"""`gf replay`: verify a run by driving its recordings again, or show an episode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from gf_core._discovery import stdout_to_stderr
from gf_core.cli._common import finite, json_option, make_host, plugin_option, print_json
from gf_core.errors import GrinningFaceError

if TYPE_CHECKING:
    from gf_core.evaluation.driver import By
    from gf_core.plugins import PluginHost
    from gf_core.runs import Run

DIFFERENT = 1
"""Exit code of a replay that went otherwise than recorded, or in which nothing could be compared."""

_PROMISE: Mapping[By, str] = {"actions": "exactly as recorded", "controls": "to the recorded outcomes"}


@click.command("replay", short_help="Verify a run by driving its recordings again, or show an episode as a video.")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.argument("episode", metavar="[EPISODE]", required=False)
@click.option(
    "--video", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write a .webp or .gif of EPISODE."
)
@click.option(
    "--size", type=click.IntRange(16, 1024), default=336, show_default=True, help="Width and height of the picture [px]."
)
@click.option("--camera", default="", metavar="NAME", help="Who films.  [default: the environment's first camera]")
@click.option(
    "--fps",
    type=click.FloatRange(1, 60),
    callback=finite,
    help="Frames per second.  [default: the control rate, so in real time]",
)
@click.option(
    "--by",
    type=click.Choice(["actions", "controls"]),
    help="What to drive.  [default: actions on the platform that the run was recorded on, else controls]",
)
@click.option("--slots", type=click.IntRange(1, 4096), default=64, show_default=True, help="Episodes side by side.")
@click.option("--threads", type=click.IntRange(0, 1024), default=0, show_default=True, help="For physics; 0: all.")
@click.option("--suite", "suite_file", type=click.Path(path_type=Path), metavar="FILE", help="The file of a local/ suite.")
@plugin_option
@json_option
def command(
    run: Path,
    episode: str | None,
    video: Path | None,
    size: int,
    camera: str,
    fps: float | None,
    by: By | None,
    slots: int,
    threads: int,
    suite_file: Path | None,
    plugin_files: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Drive the recordings of RUN through the environment again, and compare what happens with the records.

    Without EPISODE all episodes are verified, and the first that differs is named with its step. EPISODE is an id, or
    first-failure; it can be filmed. Exits with 1 if something went otherwise than recorded, or nothing could be compared.

    \b
    Examples:
      gf replay runs/expert
      gf replay runs/expert first-failure
      gf replay runs/expert val-007-grinning-face --video episode.webp
    """
    from gf_core.runs import read_run

    host = make_host(plugin_files)
    there = read_run(run)
    if episode is None:
        if video is not None:
            raise GrinningFaceError("which episode?", where="--video", hint=f"try gf replay {run} first-failure --video {video}")
        return _verify(there, host, suite_file, by, slots, threads, as_json)
    return _replay(there, episode, host, suite_file, by, _Film(video, size, camera, fps), as_json)


class _Film(NamedTuple):
    """How to film an episode."""

    file: Path | None
    size: int
    camera: str
    fps: float | None


def _verify(run: Run, host: PluginHost, suite_file: Path | None, by: By | None, slots: int, threads: int, as_json: bool) -> int:
    from gf_core.cli.display import make_progress
    from gf_core.evaluation import recorded_suite, verify_run
    from gf_core.specs import to_json

    with stdout_to_stderr():
        suite = recorded_suite(run, host, suite_file)
        found = verify_run(run, suite, host, by=by, slots=slots, threads=threads, progress=make_progress())
    if as_json:
        print_json("verification", {"run": str(run.path), "complete": run.complete, "equal": found.equal, **to_json(found)})
        return 0 if found.equal else DIFFERENT
    if not run.complete:
        click.echo("the run isn't finished: what is recorded so far is verified", err=True)
    click.echo(f"{found.compared} episodes driven again by their recorded {found.by}" + (f" ({found.why})" if found.why else ""))
    if found.not_compared:
        click.echo(f"{found.not_compared} not compared: infrastructure faults")
    if found.equal:
        click.echo(f"replayed {_PROMISE[found.by]}: physics verified, policy unverified")
        return 0
    if not found.differences:
        click.echo("nothing could be compared, so nothing is verified")
        return DIFFERENT
    click.echo(f"{len(found.differences)} replayed otherwise than recorded; the first: {found.differences[0]}")
    return DIFFERENT


def _replay(run: Run, name: str, host: PluginHost, suite_file: Path | None, by: By | None, wanted: _Film, as_json: bool) -> int:
    from gf_core.evaluation.replay import Camera, replay_episode
    from gf_core.evaluation.video import Video

    film = Video(wanted.file, fps=wanted.fps or float(run.identity["control_hz"])) if wanted.file else None
    watched = Camera(name=wanted.camera, size=(wanted.size, wanted.size), shoot=film.shoot) if film else None
    with stdout_to_stderr():
        result = replay_episode(run, name, host, suite_file=suite_file, camera=watched, by=by)
    if film:
        film.write()
    record = result.record
    if as_json:
        equal = result.equal if result.compared else None
        print_json("replay", {"episode": record["episode"], "equal": equal, "differences": list(result.differences)})
        return 0 if result.equal else DIFFERENT
    what = record["ending"] + (f" ({record['reason']})" if "reason" in record else "")
    click.echo(f"{record['episode']}: {result.episode.instruction_at(0)!r}, {what} after {record['steps']} steps")
    if not result.compared:
        click.echo("shown, not compared: after an infrastructure fault there is nothing to compare with")
    elif result.differences:
        click.echo(f"replayed otherwise than recorded: {result.differences[0]}")
    else:
        click.echo(f"replayed {_PROMISE[result.by]}")
    if wanted.file:
        click.echo(f"wrote {wanted.file}")
    return 0 if result.equal else DIFFERENT
