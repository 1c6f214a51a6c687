"""What holds for the options of every command, those of plugins included."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from gf_core._json import MAX_INT
from gf_core.cli.main import cli


def options(group: click.Group) -> Iterator[tuple[click.Context, click.Option]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        context = click.Context(command)
        yield from ((context, option) for option in command.params if isinstance(option, click.Option))
        if isinstance(command, click.Group):
            yield from options(command)


def read(context: click.Context, option: click.Option, text: str) -> object:
    return option.process_value(context, [text] if option.multiple else text)


def test_a_seed_fits_the_documents_that_hold_it() -> None:
    seeds = [(context, option) for context, option in options(cli) if str(option.name).endswith("seed")]
    assert len(seeds) > 5
    for context, option in seeds:
        with pytest.raises(click.BadParameter):
            read(context, option, str(MAX_INT + 1))


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_a_number_is_finite(text: str) -> None:
    numbers = [(context, option) for context, option in options(cli) if isinstance(option.type, click.types.FloatParamType)]
    assert len(numbers) > 5
    for context, option in numbers:
        with pytest.raises(click.BadParameter):
            read(context, option, text)
