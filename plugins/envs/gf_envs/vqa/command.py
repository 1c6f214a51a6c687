"""`gf vqa`: vision-language data from the simulator's ground truth."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gf_core._discovery import stdout_to_stderr
from gf_core.cli._common import SEED, json_option, make_host, plugin_option, print_table
from gf_core.errors import GrinningFaceError, did_you_mean
from gf_envs.vqa import DOMAINS, PREFIX

if TYPE_CHECKING:
    from gf_core.contracts import Deck
    from gf_core.evaluation.suites import Suite
    from gf_core.plugins import PluginHost
    from gf_core.runs import Run
    from gf_envs.vqa.folder import Document
    from gf_envs.vqa.making import Settings

FOUND = 1
"""Exit code of a check that found something."""
_DECK = "gf/emoji-noto@1"
_LISTED = 20
_BETWEEN = 2.0
"""Seconds between lines of progress, at least."""


@click.group("vqa", short_help="Make, check and show vision-language data.")
def command() -> None:
    """Questions and answers about the tabletop, from the simulator's ground truth, in the format of LLaVA and Qwen-VL."""


@command.command(short_help="Make questions, answers and images.")
@click.argument("suite", metavar="[SUITE]", default="gf/demos@1")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="DIR", help="The folder to write."
)
@click.option(
    "--policy", default="gf/expert-v1", show_default=True, metavar="ID", help="Who moves the arm; its successes are used."
)
@click.option("--run", type=click.Path(path_type=Path), metavar="DIR", help="A recorded run of SUITE instead.")
@click.option("--domains", metavar="NAME,NAME,…", help=f"Whose questions to ask.  [default: all of {', '.join(DOMAINS)}]")
@click.option(
    "--per-episode", type=click.IntRange(1, 1000), default=1, show_default=True, help="Questions of each domain about an episode."
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Draws questions, cameras and wordings.")
@click.option(
    "--size", type=click.IntRange(32, 1024), default=224, show_default=True, help="Width and height of the images [px]."
)
@click.option(
    "--include-split",
    "splits",
    multiple=True,
    metavar="NAME",
    help="Also show and name cards of this split, which are held out otherwise. Repeatable.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N episodes that may be shown.")
@plugin_option
@json_option
def make(
    suite: str,
    out: Path,
    policy: str,
    run: Path | None,
    domains: str | None,
    per_episode: int,
    seed: int,
    size: int,
    splits: tuple[str, ...],
    limit: int | None,
    plugin_files: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Ask about recorded episodes of SUITE, the id of a suite of gf/tabletop-v1 or its .json file.

    Without --run, the policy plays them first, into DIR/run. Episodes that show a card of another split than train are left out,
    and no such card is named, unless --include-split says so.

    \b
    Examples:
      gf vqa make --out data/vqa
      gf vqa make gf/demos@1 --out data/vqa --domains grounding,spatial --per-episode 4 --limit 100
    """
    from gf_core.evaluation.suites import load_suite
    from gf_envs.vqa.making import TRAIN, Settings

    host = make_host(plugin_files)
    chosen = load_suite(suite, host)
    if chosen.env != "gf/tabletop-v1":
        raise GrinningFaceError(f"{chosen.id} is played in {chosen.env}", where="SUITE", hint="take a suite of gf/tabletop-v1")
    settings = Settings(
        domains=_domains(domains),
        per_episode=per_episode,
        seed=seed,
        size=size,
        splits=tuple(sorted({TRAIN, *splits})),
        limit=limit or 0,
    )
    recorded = _recorded(run, chosen) if run is not None else None
    with stdout_to_stderr():
        document = _made(chosen, host, out, policy, recorded, settings)
    if as_json:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _tell(document, out)


def _made(suite: Suite, host: PluginHost, out: Path, policy: str, run: Run | None, settings: Settings) -> Document:
    """The manifest of what was made, now or by an earlier call."""
    from gf_core.specs import to_json
    from gf_envs.vqa import GENERATOR, folder, making

    decks = making.Decks(suite, host, settings.splits)
    episodes = making.usable_episodes(suite, decks, settings.limit)
    by = policy if run is None else folder.fingerprint(run)
    request = {**to_json(settings), "suite": suite.sha256, "generator": GENERATOR, "by": by}
    finished = folder.take(out, request)
    if finished is not None:
        click.echo(f"{out} was finished before; nothing was done", err=True)
        return finished
    run = run or _played(suite, host, policy, [episode.id for episode in episodes], out / folder.RUN)
    made = making.make(run, suite, decks, episodes, out, settings, request, _progress())
    for episode in made.different:
        click.echo(f"warning: {episode} went otherwise than recorded and is left out", err=True)
    return made.manifest


def _tell(document: Document, out: Path) -> None:
    print_table(("domain", "questions"), [(name, str(n)) for name, n in document["domains"].items()])
    episodes = document["episodes"]
    click.echo(f"{document['records']} questions with {document['images']} images about {episodes['used']} episodes: {out}")
    for why, number in episodes["left_out"].items():
        click.echo(f"left out: {number} episodes ({why})")
    click.echo(f"checked with  gf vqa check {out}")
    click.echo(f"seen with     gf vqa show {out} --out sheet.png")


def _domains(text: str | None) -> tuple[str, ...]:
    chosen = [name.strip().removeprefix(PREFIX) for name in (text or ",".join(DOMAINS)).split(",") if name.strip()]
    for name in chosen:
        if name not in DOMAINS:
            hint = did_you_mean(name, DOMAINS) or f"there are {', '.join(DOMAINS)}"
            raise GrinningFaceError(f"there is no domain {name!r}", where="--domains", hint=hint)
    if not chosen:
        raise GrinningFaceError("it names no domain", where="--domains", hint="leave it out for all of them")
    return tuple(name for name in DOMAINS if name in chosen)


def _recorded(path: Path, suite: Suite) -> Run:
    from gf_core.runs import read_run

    run = read_run(path)
    recorded = run.identity["suite"]
    if recorded["sha256"] != suite.sha256:
        hint = f"name {recorded['id']} as SUITE" if recorded["id"] != suite.id else "the suite isn't the one that was run"
        raise GrinningFaceError(f"it is a run of {recorded['id']}, not of {suite.id}", where=str(path), hint=hint)
    return run


def _played(suite: Suite, host: PluginHost, policy: str, episodes: list[str], path: Path) -> Run:
    from gf_core.cli.display import make_progress
    from gf_core.evaluation import Request, run_suite

    request = Request(suite=suite.source, policy=policy, episodes=tuple(episodes))
    return run_suite(request, host=host, out=path, progress=make_progress()).run


def _progress() -> Callable[[int, int], None]:
    """Says how far it is, on standard error: one line that is written over in a terminal, a line now and then elsewhere."""
    terminal, start = sys.stderr.isatty(), time.monotonic()
    last = start

    def step(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        text = f"asked about {done}/{total} episodes · {done / max(now - start, 1e-9):.1f} episodes/s"
        if terminal:
            click.echo(f"\r{text}\x1b[K", nl=done == total, err=True)
        elif done == total or now - last >= _BETWEEN:
            click.echo(text, err=True)
            last = now

    return step


@command.command(short_help="Say whether held-out cards occur in it.")
@click.argument("data", type=click.Path(path_type=Path), metavar="DATA")
@click.option(
    "--deck",
    "names",
    multiple=True,
    metavar="ID",
    help=f"The deck whose cards are looked for. Repeatable.  [default: those of the manifest, else {_DECK}]",
)
@click.option(
    "--include-split",
    "splits",
    multiple=True,
    metavar="NAME",
    help="Cards of this split may occur. Repeatable.  [default: as the manifest says, else train]",
)
@plugin_option
def check(data: Path, names: tuple[str, ...], splits: tuple[str, ...], plugin_files: tuple[Path, ...]) -> int:
    """Look for held-out cards in DATA, a folder of `gf vqa make` or any .jsonl file of conversations.

    Cards count as occurring by what the records say of themselves, and by their labels and other names in the texts. Every image
    is read, and compared with the hash in its name if there is one. A name that a held-out card shares with one that may occur is
    noted, and is no finding.

    \b
    Exit codes: 0 nothing is wrong; 1 a held-out card occurs, or the data isn't what its manifest says; 2 it can't be read.
    """
    from gf_core.evaluation.environment import load_deck
    from gf_core.training.conversations import Conversations
    from gf_envs.vqa import folder
    from gf_envs.vqa.checking import check as look
    from gf_envs.vqa.making import TRAIN

    host = make_host(plugin_files)
    source = Conversations(data, sidecar=False)
    manifest = folder.manifest(source.path.parent) if source.path.name == folder.FILE else None
    said = manifest or {}
    allowed = (TRAIN, *splits) if splits else tuple(said.get("splits") or (TRAIN,))
    decks: dict[str, Deck] = {name: load_deck(name, host) for name in names or tuple(said.get("items") or (_DECK,))}
    found = look(source, decks, allowed, manifest)
    rows = [
        (deck, split, how, str(n), "" if split in allowed else "held out")
        for (deck, split, how), n in sorted(found.occurring.items())
    ]
    if rows:
        print_table(("deck", "split", "how", "cards", ""), rows)
    for line in [*map(str, found.held_out), *found.problems][:_LISTED]:
        click.echo(line)
    count = len(found.held_out) + len(found.problems)
    if count > _LISTED:
        click.echo(f"… and {count - _LISTED} more")
    for occurrence in found.shared[:_LISTED]:
        click.echo(f"note: {occurrence}")
    verdict = (
        "no held-out card occurs" if found.clean else f"{len(found.held_out)} held-out, {len(found.problems)} other findings"
    )
    click.echo(f"{found.records} records, {found.images} images: {verdict}")
    return 0 if found.clean else FOUND


@command.command(short_help="Draw a contact sheet.")
@click.argument("data", type=click.Path(path_type=Path), metavar="DATA")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE", help="A .png or .html file."
)
@click.option("--domains", metavar="NAME,NAME,…", help="Which domains to show.  [default: all]")
@click.option("--count", type=click.IntRange(1, 1000), default=4, show_default=True, help="Questions of each domain.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Draws the questions.")
def show(data: Path, out: Path, domains: str | None, count: int, seed: int) -> None:
    """Show some questions of DATA with their images, answers and boxes; DATA as for `gf vqa check`."""
    from gf_core.training.conversations import Conversations
    from gf_envs.vqa import showing

    source = Conversations(data)
    wanted = [name.strip() for name in (domains or "").split(",") if name.strip()]
    shown = showing.pick(source, [name if "/" in name else f"{PREFIX}{name}" for name in wanted], count, seed)
    showing.write(shown, out, source.name)
    click.echo(f"{out}: {len(shown)} of {len(source)} questions")
