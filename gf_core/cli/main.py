"""The program `gf`. A command's module is imported when the command is used, so `gf --help` costs next to nothing."""

from __future__ import annotations

import codecs
import contextlib
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from gf_core import __version__
from gf_core.errors import GrinningFaceError, did_you_mean

COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("gf_core.cli.run:command", "Evaluate a policy on a suite."),
    "report": ("gf_core.cli.report:command", "Show what runs came to, with intervals and chance levels."),
    "replay": ("gf_core.cli.replay:command", "Verify a run by driving its recordings again, or show an episode as a video."),
    "demos": ("gf_core.cli.demos:command", "Record demonstrations, and look at them."),
    "submit": ("gf_core.cli.submit:command", "Pack runs into a submission."),
    "leaderboard": ("gf_core.cli.leaderboard:command", "Check submissions, keep and rank entries."),
    "train": ("gf_core.cli.train:command", "Make a policy from a vision-language model by a recipe."),
    "probe": ("gf_core.cli.probe:command", "Measure how much of its VLM's knowledge a checkpoint has kept."),
    "study": ("gf_core.cli.study:command", "Train, probe and evaluate a matrix of techniques."),
    "serve": ("gf_core.cli.serve:command", "Serve a policy to runs elsewhere, and to vla-eval."),
    "list": ("gf_core.cli.listing:list_command", "List what can be used: policies, environments, suites, …"),
    "show": ("gf_core.cli.listing:show_command", "Show one thing by its id, with its settings."),
    "plugins": ("gf_core.cli.plugins:command", "Show which plugins are loaded; find, install, write and check others."),
    "gym": ("gf_core.cli.gym:command", "Evaluate on environments of Gymnasium, by a file."),
    "doctor": ("gf_core.cli.doctor:command", "Say what this machine lacks and how to get it."),
}
"""Built-in commands: name to ``"module:attr"`` and the line that `gf --help` shows."""

BROKEN, CLOSED = 70, 141
"""Exit codes, as other programs have them: a fault of the program itself (EX_SOFTWARE of sysexits.h), and a pipe that was closed
(128 + SIGPIPE). Neither is 1, which is a command's finding."""

EPILOG = """\b
Examples:
  gf run gf/quick@1 --policy gf/expert-v1 --out runs/expert
  gf report runs/expert
  gf list policies
"""


_ASCII: Mapping[str, str] = {"·": "-", "—": "-", "–": "-", "…": "...", "≤": "<=", "×": "x", "±": "+-", "→": "->"}


class _ClosedPipeError(Exception):
    """Whoever read standard output has left."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Built-in commands in the order of the table, then those of plugins."""
        from gf_core.cli._extra import extra_commands

        extra, warnings = extra_commands(COMMANDS)
        for warning in warnings:
            click.echo(f"warning: {warning}", err=True)
        return [*COMMANDS, *extra]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command, imported; ``None`` if there is none of that name."""
        if name in COMMANDS:
            module, _, attribute = COMMANDS[name][0].partition(":")
            found = getattr(importlib.import_module(module), attribute)
            assert isinstance(found, click.Command)
            return found
        from gf_core.cli._extra import extra_commands, load_command

        extra, _ = extra_commands(COMMANDS)
        return load_command(extra[name]) if name in extra else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with a suggestion for a misspelled name."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None and not ctx.resilient_parsing and not name.startswith("-"):
            hint = did_you_mean(name, self.list_commands(ctx))
            raise click.UsageError(f"There is no command {name!r}" + (f"; {hint}" if hint else "."), ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """As click's, which would itself end the program with 1 where a pipe was closed."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ClosedPipeError from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, without importing any."""
        extra = [name for name in self.list_commands(ctx) if name not in COMMANDS]
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])
        if extra:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, "") for name in extra])


@click.command(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(__version__, prog_name="gf", message="%(prog)s %(version)s")
def cli() -> None:
    """Evaluate vision-language-action policies on GrinningFace, and whatever else plugins bring."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code: 0, 2 for a user's mistake, 70 for one of the program's, 130 when interrupted, 141
    when whoever read its output has left, or what the command says.

    Args:
        argv: arguments without the program's name; by default those of the process.
    """
    _prepare_streams()
    try:
        code = cli.main(args=None if argv is None else list(argv), prog_name="gf", standalone_mode=False)
        sys.stdout.flush()
    except GrinningFaceError as error:
        return _fail(str(error))
    except click.Abort:
        return _fail("interrupted", 130)
    except click.UsageError as error:
        return _misused(error)
    except click.ClickException as error:
        return _fail(error.format_message())
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except (BrokenPipeError, _ClosedPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains when it flushes at the end
        return CLOSED
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else f"{error.strerror or error}")
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return _fail("that is a fault of the program or of a plugin: please report it, with the lines above", BROKEN)
    return code if isinstance(code, int) else 0


def _prepare_streams() -> None:
    """See to it that neither a closed stream nor a terminal that can't show a character ends the program."""
    codecs.register_error("gf-plain", _plain)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  open as long as the program
        with contextlib.suppress(AttributeError):
            getattr(sys, name).reconfigure(errors="gf-plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    """A codec error handler: typographic characters in ASCII, others escaped."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(_ASCII.get(c, c.encode("ascii", "backslashreplace").decode()) for c in characters), error.end


def _misused(error: click.UsageError) -> int:
    """What is wrong with the command line, in a line like every other error's."""
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # click >= 8.2: it is the help itself
        error.show()
        return 2
    text = error.format_message().rstrip(".")
    path = error.ctx.command_path if error.ctx is not None else "gf"
    return _fail(f"{text[:1].lower()}{text[1:]}; `{path} --help` shows how")


def _fail(text: str, code: int = 2) -> int:
    click.echo(f"error: {text}" if code == 2 else text, err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
