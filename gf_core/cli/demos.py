"""`gf demos`: record demonstrations and look at them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from gf_core._discovery import stdout_to_stderr
from gf_core.cli._common import SEED, finite, json_option, make_host, plugin_option, print_json, print_table
from gf_core.errors import GrinningFaceError, MissingDependencyError

if TYPE_CHECKING:
    from gf_core.training.demos.recording import Demos
    from gf_core.training.lerobot import RobotDataset

EXPERT, DEMONSTRATOR = "gf/expert-v1", "gf/demonstrator-v1"


@click.group(name="demos", short_help="Record demonstrations, and look at them.")
def command() -> None:
    """Record demonstrations as a LeRobot data set, and look at them.

    \b
    Examples:
      gf demos record --out demos
      gf demos show demos --out sheet.png
    """


@command.command("record")
@click.argument("suite", metavar="[SUITE]", default="gf/demos@1")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="The data set's directory.")
@click.option("--cameras", default="third", show_default=True, metavar="NAME,NAME,…", help="Who films; `gf show ENV` lists them.")
@click.option("--size", type=click.IntRange(16, 1024), default=224, show_default=True, help="Width and height of images [px].")
@click.option(
    "--format",
    "image_format",
    type=click.Choice(["png", "webp", "jpeg"]),
    default="png",
    show_default=True,
    help="Of images. webp loses nothing either, is a quarter smaller and takes longer; jpeg loses.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N episodes.")
@click.option(
    "--retries",
    type=click.FloatRange(0, 1),
    callback=finite,
    default=0.0,
    show_default=True,
    metavar="P",
    help="Share of episodes with a missed grasp first.",
)
@click.option(
    "--perturb",
    type=click.FloatRange(0, 1),
    callback=finite,
    default=0.0,
    show_default=True,
    metavar="P",
    help="Share of episodes with a random motion first.",
)
@click.option("--policy", metavar="ID", help=f"Who demonstrates.  [default: {EXPERT}, or {DEMONSTRATOR} to retry or perturb]")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the policy. Repeatable.")
@click.option("--env-set", "env_settings", multiple=True, metavar="KEY=VALUE", help="A setting of the environment. Repeatable.")
@click.option("--policy-seed", type=SEED, default=0, show_default=True, help="Seeds what the policy draws.")
@click.option("--slots", type=click.IntRange(1, 4096), default=16, show_default=True, help="Episodes side by side.")
@click.option("--threads", type=click.IntRange(0, 1024), default=0, show_default=True, help="For physics and pictures; 0: all.")
@plugin_option
@json_option
def record(
    suite: str,
    out: Path,
    cameras: str,
    size: int,
    image_format: Literal["png", "webp", "jpeg"],
    limit: int | None,
    retries: float,
    perturb: float,
    policy: str | None,
    settings: tuple[str, ...],
    env_settings: tuple[str, ...],
    policy_seed: int,
    slots: int,
    threads: int,
    plugin_files: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Have a policy play SUITE, an id or a .json file, and write the episodes that succeed as a LeRobot data set.

    Stop it with Ctrl-C whenever you like: the same command again goes on where it stopped, with the same bytes.

    \b
    Examples:
      gf demos record --out demos
      gf demos record --out demos-hard --retries 0.3 --perturb 0.3 --cameras third,wrist
      gf demos record gf/smoke@1 --out few --limit 3 --size 64
    """
    _need_pyarrow()
    from gf_core.cli.display import make_progress
    from gf_core.evaluation import Request, Resources
    from gf_core.training.demos.filming import Cameras
    from gf_core.training.demos.recording import record as record_demos

    wanted = (*(f"{name}={share}" for name, share in (("retries", retries), ("perturb", perturb)) if share), *settings)
    asked = Request(
        suite=suite,
        policy=policy or (DEMONSTRATOR if retries or perturb else EXPERT),
        policy_config=wanted,
        env_config=env_settings,
        policy_seed=policy_seed,
        limit=limit or 0,
    )
    names = tuple(name.strip() for name in cameras.split(",") if name.strip())
    with stdout_to_stderr():
        demos = record_demos(
            asked,
            Cameras(names=names, size=(size, size), format=image_format),
            host=make_host(plugin_files),
            out=out,
            resources=Resources(slots=slots, threads=threads),
            progress=make_progress,
        )
    if as_json:
        print_json("demos", {key: value for key, value in demos.document.items() if key not in ("schema_version", "kind")})
        return
    _print(demos)


def _print(demos: Demos) -> None:
    if demos.was_finished:
        click.echo("it was complete: nothing was done", err=True)
    size = sum(file.stat().st_size for file in (demos.path / "data").rglob("*.parquet"))
    click.echo(f"{demos.episodes} of {demos.played} episodes, {demos.frames} frames, {size / 1e6:.0f} MB in {demos.path}")
    left_out: Sequence[dict[str, str]] = demos.document["recording"]["left_out"]
    if left_out:
        told = ", ".join(f"{row['id']} ({row['ending']})" for row in left_out[:5])
        click.echo(f"left out: {told}" + (f" and {len(left_out) - 5} more" if len(left_out) > 5 else ""))
    click.echo(f"shown by  gf demos show {demos.path} --out sheet.png")
    if _errs(demos.path):
        click.echo(
            "it holds frames that aren't to be imitated: LeRobot ignores that, and its own policies would learn them", err=True
        )


def _errs(data: Path) -> bool:
    """Whether a recorded data set holds frames that aren't to be imitated."""
    from gf_core.training.lerobot.files import STATS
    from gf_core.training.lerobot.metadata import damaged

    with damaged(data / STATS):
        return not all(json.loads((data / STATS).read_bytes())["imitate"]["min"])


@command.command("show")
@click.argument("path", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Draw a contact sheet: .png or .webp."
)
@click.option("--episodes", type=click.IntRange(1, 100), default=6, show_default=True, help="Rows of the sheet.")
@click.option("--frames", type=click.IntRange(1, 20), default=6, show_default=True, help="Columns of the sheet.")
@click.option("--camera", default="", metavar="NAME", help="Whose frames.  [default: the first camera]")
@click.option(
    "--conventions",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What the numbers mean, for a data set that doesn't say.",
)
def show(path: Path, out: Path | None, episodes: int, frames: int, camera: str, conventions: Path | None) -> None:
    """Say what a LeRobot data set in DIR holds and what its numbers mean, and draw a contact sheet.

    \b
    Examples:
      gf demos show demos
      gf demos show demos --out sheet.png --episodes 8
    """
    _need_pyarrow()
    from gf_core.training.lerobot import RobotDataset

    if out is not None and out.suffix.lower() not in (".png", ".webp"):
        raise GrinningFaceError(f"{out.suffix or 'no suffix'} isn't a kind of sheet", where=str(out), hint="use .png or .webp")
    data = RobotDataset(path, conventions=conventions)
    _describe(data)
    if out is not None:
        from gf_core._files import write_whole
        from gf_core.training.demos.sheet import Sheet, draw, spread

        page = draw(data, Sheet(episodes=spread(len(data.episodes), episodes), frames=frames, camera=camera))
        write_whole(out, lambda file: page.save(file, out.suffix[1:].upper()))
        click.echo(f"wrote {out}")


def _describe(data: RobotDataset) -> None:
    found = data.conventions
    assert found is not None
    cameras = ", ".join(f"{name} {height} × {width}" for name, (height, width) in found.cameras.items())
    click.echo(f"{len(data.episodes)} episodes, {len(data)} frames to imitate at {found.action.hz:g} Hz · {cameras}")
    click.echo(f"actions: {found.action.representation}, relative to {found.action.reference}, rotation {found.action.rotation}")
    rows = []
    for field, numbers in ((found.action.field, found.action_statistics), (found.proprio, found.proprio_statistics)):
        units = field.unit * field.shape[0] if len(field.unit) == 1 else field.unit
        for element in range(field.shape[0]):
            values = [getattr(numbers, name)[element] for name in ("min", "q01", "mean", "q99", "max", "std")]
            name = field.names[element] if field.names else str(element)
            rows.append([f"{field.name}.{name}", units[element], *(f"{value:.4g}" for value in values)])
    print_table(["", "unit", "min", "q01", "mean", "q99", "max", "std"], rows)


def _need_pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "data sets are read and written with pyarrow, which isn't installed", hint="pip install 'grinningface[train]'"
        ) from error
