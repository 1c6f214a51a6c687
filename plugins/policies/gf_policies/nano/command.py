"""`gf pretrain`: the vision-language model that ships with the program, and the pages that it learns from."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gf_core.cli._common import SEED, json_option, make_host, plugin_option

if TYPE_CHECKING:
    from gf_core.contracts import Deck

DECKS = ("gf/emoji-noto@1", "gf/emoji-twemoji@1")
_BETWEEN = 10.0
"""Seconds between lines of progress where there is no terminal."""

_out = click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="DIR", help="The folder to write."
)
_decks = click.option(
    "--deck",
    "names",
    multiple=True,
    metavar="ID",
    help=f"A deck of pictures. Repeatable; several must show the same items.  [default: {', '.join(DECKS)}]",
)


@click.group("pretrain", short_help="Make the small vision-language model that ships with the program.")
def command() -> None:
    """The nano model: a vision-language model small enough to be trained on a laptop, on drawn pages of emojis."""


@command.command(short_help="Train a nano model from random weights.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="DIR", help="The run's directory."
)
@_decks
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Optimiser steps.  [default: those of the shipped model]")
@click.option("--encoder-steps", type=click.IntRange(min=0), metavar="N", help="How many of them train the image encoder alone.")
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Pages a step.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of weights and pages.")
@click.option("--precision", type=click.Choice(["bf16", "float32"]), default="float32", show_default=True)
@click.option("--workers", type=click.IntRange(min=0), default=1, show_default=True, help="Processes that draw pages.")
@click.option("--save-every", type=click.IntRange(min=1), default=100, show_default=True, metavar="STEPS", help="Between states.")
@click.option("--test-pages", type=click.IntRange(min=1), default=500, show_default=True, metavar="N", help="To measure it on.")
@plugin_option
@json_option
def nano(
    out: Path,
    names: tuple[str, ...],
    steps: int | None,
    encoder_steps: int | None,
    batch_size: int | None,
    seed: int,
    precision: str,
    workers: int,
    save_every: int,
    test_pages: int,
    plugin_files: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Train a nano model and write it to DIR/model, with a card that says what was measured.

    Stop it with Ctrl-C: the same command goes on. On one machine, the same settings give the same weights.

    \b
    Examples:
      gf pretrain nano --out nano
      gf train lora --data robot=demos --set backbone.settings.model=nano/model
    """
    from gf_policies.nano.batches import Settings
    from gf_policies.nano.making import make

    given = {"steps": steps, "encoder_steps": encoder_steps, "batch": batch_size}
    chosen = {key: value for key, value in given.items() if value is not None}
    settings = Settings(seed=seed, precision=precision, **chosen)
    made = make(
        _load(names, plugin_files),
        settings,
        out,
        workers=workers,
        save_every=save_every,
        test_pages=test_pages,
        progress=_steps(),
        tell=lambda text: click.echo(text, err=True),
    )
    if as_json:
        click.echo(json.dumps(made, indent=2))
        return
    for kind, entry in made["results"].items():
        click.echo(f"{kind}: {entry['right']} of {entry['asked']} right")
    click.echo(f"wrote {out / 'model'}")


@command.command(short_help="Write pages as vision-language data, for co-training.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="DIR", help="The folder to write."
)
@_decks
@click.option("--count", type=click.IntRange(1, 1_000_000), default=2000, show_default=True, help="Pages.")
@click.option("--turns", type=click.IntRange(1, 20), default=4, show_default=True, help="Questions a page, at most.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the pages.")
@plugin_option
@json_option
def pages(
    out: Path, names: tuple[str, ...], count: int, turns: int, seed: int, plugin_files: tuple[Path, ...], as_json: bool
) -> None:
    """Write pages with questions and answers as conversations, other pages than any that the model was pretrained on.

    \b
    Examples:
      gf pretrain pages --out web
      gf train cotrain --data robot=demos --data vqa=web
    """
    from gf_policies.nano.exporting import write_pages
    from gf_policies.nano.things import things_of

    decks = _load(names, plugin_files)
    things = things_of(decks)
    counted = _counted("pages")
    manifest = write_pages(things, decks, out, count=count, turns=turns, seed=seed, progress=counted)
    if as_json:
        click.echo(json.dumps(manifest, indent=2, ensure_ascii=False))
    else:
        click.echo(f"{manifest['records']} questions about {manifest['images']} pages: {out}")


@command.command(short_help="Draw a contact sheet of pages.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE", help="A .png file.")
@_decks
@click.option("--count", type=click.IntRange(1, 60), default=9, show_default=True, help="Pages.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the pages.")
@plugin_option
def show(out: Path, names: tuple[str, ...], count: int, seed: int, plugin_files: tuple[Path, ...]) -> None:
    """Draw some pages with what is asked about them."""
    from gf_core._files import write_whole
    from gf_policies.nano.exporting import contact_sheet
    from gf_policies.nano.pages import draw_page
    from gf_policies.nano.things import things_of

    things = things_of(_load(names, plugin_files))
    sheet = contact_sheet([draw_page(things, seed, index, 8) for index in range(count)])
    write_whole(out, lambda target: sheet.save(target, format="PNG"))
    click.echo(f"wrote {out}")


def _load(names: tuple[str, ...], plugin_files: tuple[Path, ...]) -> list[Deck]:
    from gf_core.evaluation.environment import load_deck

    host = make_host(plugin_files)
    return [load_deck(name, host) for name in names or DECKS]


def _steps() -> Callable[[int, int, Mapping[str, float]], None]:
    """Says how far a training is, on standard error: losses smoothed over some 20 steps, and what remains."""
    terminal, began = sys.stderr.isatty(), time.monotonic()
    smooth: dict[str, float] = {}
    last, first = began, -1

    def step(done: int, total: int, row: Mapping[str, float]) -> None:
        nonlocal last, first
        first = done - 1 if first < 0 else first
        for key in ("text", "patches"):
            if key in row:
                smooth[key] = 0.95 * smooth.get(key, row[key]) + 0.05 * row[key]
        now = time.monotonic()
        remaining = (now - began) / (done - first) * (total - done)
        losses = "  ".join(f"{key} {value:.3f}" for key, value in smooth.items())
        text = f"step {done}/{total}  {losses}  {remaining / 60:.0f} min left"
        if terminal:
            click.echo(f"\r{text}\x1b[K", nl=done == total, err=True)
        elif done == total or now - last >= _BETWEEN:
            click.echo(text, err=True)
            last = now

    return step


def _counted(what: str) -> Callable[[int, int], None]:
    steps = _steps()
    return lambda done, total: steps(done, total, {})
