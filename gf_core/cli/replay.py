"""`gf replay`: show an episode of a run again."""

from __future__ import annotations

from pathlib import Path

import click

from gf_core.cli._common import finite, json_option, make_host, plugin_option, print_json

DIFFERENT = 1
"""Exit code of a replay that went otherwise than recorded."""


@click.command(short_help="Show an episode of a run again, as a video.")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.argument("episode", metavar="EPISODE")
@click.option("--video", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write a .webp or .gif.")
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
@click.option("--suite", "suite_file", type=click.Path(path_type=Path), metavar="FILE", help="The file of a local/ suite.")
@plugin_option
@json_option
def command(
    run: Path,
    episode: str,
    video: Path | None,
    size: int,
    camera: str,
    fps: float | None,
    suite_file: Path | None,
    plugin_files: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Drive the recorded controls of EPISODE of RUN through the environment again, and compare what happens with the record.

    EPISODE is an id, or first-failure. Exits with 1 if something went otherwise than recorded.

    \b
    Examples:
      gf replay runs/expert first-failure
      gf replay runs/expert val-007-grinning-face --video episode.webp
    """
    from gf_core.evaluation.replay import Camera, replay_episode
    from gf_core.evaluation.video import Video
    from gf_core.runs import read_run

    host = make_host(plugin_files)
    there = read_run(run)
    film = Video(video, fps=fps or float(there.identity["control_hz"])) if video else None
    watched = Camera(name=camera, size=(size, size), shoot=film.shoot) if film else None
    result = replay_episode(there, episode, host, suite_file=suite_file, camera=watched)
    if film:
        film.write()
    record = result.record
    if as_json:
        print_json(
            "replay", {"episode": record["episode"], "equal": not result.differences, "differences": list(result.differences)}
        )
        return DIFFERENT if result.differences else 0
    what = record["ending"] + (f" ({record['reason']})" if "reason" in record else "")
    click.echo(f"{record['episode']}: {result.episode.instruction_at(0)!r}, {what} after {record['steps']} steps")
    if result.differences:
        click.echo(f"replayed otherwise than recorded: {result.differences[0]}")
    else:
        click.echo("replayed exactly as recorded")
    if video:
        click.echo(f"wrote {video}")
    return DIFFERENT if result.differences else 0
