"""`gf probe`: how much of its vision-language model's knowledge a checkpoint has kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gf_core._discovery import stdout_to_stderr
from gf_core.cli._common import json_option, make_host, plugin_option, print_table
from gf_core.errors import GrinningFaceError, MissingDependencyError

if TYPE_CHECKING:
    from gf_core.training.probe.material import Watch
    from gf_core.training.probe.run import Request

DEFAULT_SUITE = "gf/dev@1"


@click.command("probe", short_help="Measure how much of its VLM's knowledge a checkpoint has kept.")
@click.argument("checkpoint", type=click.Path(path_type=Path), metavar="CHECKPOINT")
@click.option(
    "--suite", metavar="SUITE", help=f"Whose first frames are shown.  [default: {DEFAULT_SUITE} unless --data is given]"
)
@click.option("--split", "splits", multiple=True, metavar="NAME", help="Only this split of the suite. Repeatable.")
@click.option("--data", multiple=True, metavar="NAME=FILE", help="Also ask from vision-language data (.jsonl). Repeatable.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Most episodes of the suite, and samples of each data.")
@click.option("--camera", default="", metavar="NAME", help="Through which scenes are seen.  [default: the policy's first]")
@click.option("--naming", multiple=True, metavar="TEXT", help="A wording of the question about one card. Repeatable.")
@click.option("--which", multiple=True, metavar="TEXT", help="A wording of the question about a scene. Repeatable.")
@click.option(
    "--candidates",
    type=click.IntRange(min=0),
    default=16,
    show_default=True,
    metavar="N",
    help="Labels to choose from in naming a card; 0 for the whole deck.",
)
@click.option(
    "--normalize",
    type=click.Choice(["token", "sum", "blind"]),
    default="token",
    show_default=True,
    help="How answers of different lengths are compared.",
)
@click.option(
    "--set", "settings", multiple=True, metavar="backbone.KEY=VALUE", help="For weights that lie elsewhere. Repeatable."
)
@click.option("--batch-size", type=click.IntRange(1, 1024), default=16, show_default=True, help="Samples of one forward.")
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, cuda:1, …")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True, help="bf16: autocast.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the document goes.  [default: CHECKPOINT/probe-SUITE.json, where gf report looks for it]",
)
@click.option("--png", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Also draw a picture.")
@plugin_option
@json_option
def command(
    checkpoint: Path,
    suite: str | None,
    splits: tuple[str, ...],
    data: tuple[str, ...],
    limit: int | None,
    camera: str,
    naming: tuple[str, ...],
    which: tuple[str, ...],
    candidates: int,
    normalize: str,
    settings: tuple[str, ...],
    batch_size: int,
    device: str,
    precision: str,
    out: Path | None,
    png: Path | None,
    plugin_files: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Compare the vision-language model inside CHECKPOINT with the one that its training began with.

    Asks both what a card shows and which card shows a thing, and takes the likeliest answer; says how far predictions, weights
    and representations moved, and in which layers a linear reader finds the target card.

    \b
    Examples:
      gf probe trained/lora/checkpoint
      gf probe trained/lora/checkpoint --suite gf/standard@1 --split val --png probe.png
      gf probe trained/lora/checkpoint --data vl=vqa/conversations.jsonl --limit 200
    """
    try:
        from gf_core.training.probe.questions import Wordings
        from gf_core.training.probe.run import Request
    except ImportError as error:
        raise MissingDependencyError(f"probing needs {error.name}", hint="pip install 'grinningface[train]'") from error
    standard = Wordings()
    request = Request(
        checkpoint=checkpoint,
        suite=suite or (None if data and not splits else DEFAULT_SUITE),
        splits=splits,
        data=_bindings(data),
        limit=limit,
        camera=camera,
        wordings=Wordings(naming=naming or standard.naming, which=which or standard.which),
        candidates=_at_least_two(candidates),
        normalization="sum" if normalize == "sum" else "blind" if normalize == "blind" else "token",
        backbone=_backbone_settings(settings),
        batch_size=batch_size,
        device=device,
        half=precision == "bf16",
    )
    return _probe(request, plugin_files, out, png, as_json)


def _probe(request: Request, plugin_files: tuple[Path, ...], out: Path | None, png: Path | None, as_json: bool) -> int:
    from gf_core.reporting import check_place, probe_file, write_page
    from gf_core.training.checkpoint import read_checkpoint
    from gf_core.training.probe.picture import draw_probe
    from gf_core.training.probe.run import probe_checkpoint

    read_checkpoint(request.checkpoint)
    for place in filter(None, (out, png)):
        check_place(place)
    with stdout_to_stderr(), _watching() as watch:
        document: dict[str, Any] = probe_checkpoint(request, make_host(plugin_files), watch)
    suite = document["suite"]
    target = out or request.checkpoint / probe_file(suite["id"] if suite else "+".join(request.data))
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_page(target, text)
    if png is not None:
        draw_probe(document).save(png, "PNG")
    if as_json:
        click.echo(text, nl=False)
    else:
        print_probe(document)
    for place in filter(None, (target, png)):
        click.echo(f"wrote {place}", err=as_json)
    return 0


def _bindings(pairs: Sequence[str]) -> dict[str, Path]:
    """``NAME=FILE`` texts; a bare path is called after its file."""
    found: dict[str, Path] = {}
    for pair in pairs:
        name, separator, path = pair.partition("=")
        name, path = (name, path) if separator else (Path(pair).stem, pair)
        if name in found:
            raise GrinningFaceError(f"{name!r} is given twice", where="--data", hint="keep one")
        found[name] = Path(path)
    return found


def _at_least_two(candidates: int) -> int:
    if candidates == 1:
        raise GrinningFaceError("one label leaves nothing to choose", where="--candidates", hint="2 or more, or 0 for all")
    return candidates


def _backbone_settings(pairs: Sequence[str]) -> dict[str, object]:
    from gf_core.schemas import parse_setting

    found: dict[str, object] = {}
    for pair in pairs:
        key, value = parse_setting(pair)
        first, _, name = key.partition(".")
        if first != "backbone" or not name:
            raise GrinningFaceError(f"{key!r} can't be changed", where="--set", hint="for example --set backbone.model=DIR")
        found[name] = value
    return found


@contextmanager
def _watching() -> Iterator[Watch]:
    """Bars on standard error if that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    tasks: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:

        def watch(doing: str, done: int, of: int) -> None:
            if doing not in tasks:
                for task in tasks.values():
                    progress.update(task, visible=False)
                tasks[doing] = progress.add_task(doing, total=of)
            progress.update(tasks[doing], completed=done, total=of)

        yield watch


def print_probe(document: Mapping[str, Any]) -> None:
    """Print what a probe found."""
    suite, backbone = document["suite"], document["backbone"]
    asked = [suite["id"]] if suite else []
    asked += [source["name"] for source in document["data"]]
    recipes = " then ".join(recipe["name"] for recipe in document["checkpoint"]["recipes"])
    click.echo(f"{recipes} ({document['checkpoint']['sha256'][:12]}) on {backbone['id']} ({backbone['fingerprint'][:12]})")
    click.echo(f"asked about {', '.join(asked)}; answers by {document['settings']['normalization']}\n")
    headers = ["question", "split", "n", "before %", "after %", "difference", "p", "blind %", "chance %"]
    print_table(headers, [_accuracy_row(entry) for entry in document["accuracy"]])
    click.echo("")
    kl = [
        [entry["kind"], _number(entry["answer"]), _number(entry["prompt"]), _number(entry["added"])]
        for entry in document["divergence"]
    ]
    print_table(["KL of the next token, nat", "answer", "prompt", "on added tokens"], kl)
    click.echo("")
    ends = {"vision": _last(document["cka"]["vision"]), "projector": _first(document["cka"]["image"])}
    ends["language"] = _last(document["cka"]["answer"])
    roles = [
        [role, f"{change['numbers']:,}", _number(change["relative"]), _number(ends.get(role))]
        for role, change in document["weights"]["roles"].items()
    ]
    print_table(["role", "numbers", "change of weights", "CKA at its end"], roles)
    if probed := document["linear_probe"]:
        before, after = ([layer[side]["estimate"] for layer in probed["layers"]] for side in ("before", "after"))
        click.echo(
            f"\ntarget's place read off layer {before.index(max(before))} before ({_percent(max(before))} %) and "
            f"layer {after.index(max(after))} after ({_percent(max(after))} %); chance {_percent(probed['chance'])} %"
        )
    click.echo("In brackets: 95 % intervals over targets. blind: with a grey image, before > after. Drift is not damage.")


def _accuracy_row(entry: Mapping[str, Any]) -> list[str]:
    difference, blind = entry["difference"], entry["blind"]
    low, high = difference["interval"]
    return [
        entry["kind"],
        entry["split"],
        str(entry["questions"]),
        _rate(entry["before"]),
        _rate(entry["after"]),
        f"{100 * difference['estimate']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
        "< 0.001" if difference["p"] < 0.001 else f"{difference['p']:.3f}",
        f"{_percent(blind['before']['estimate'])} > {_percent(blind['after']['estimate'])}",
        _percent(entry["chance"]),
    ]


def _rate(rate: Mapping[str, Any]) -> str:
    low, high = rate["interval"]
    return f"{_percent(rate['estimate'])} [{_percent(low)}, {_percent(high)}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.4g}"


def _first(values: Sequence[float | None]) -> float | None:
    return values[0] if values else None


def _last(values: Sequence[float | None]) -> float | None:
    return values[-1] if values else None
