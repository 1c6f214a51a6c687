"""Opens the data that ``--data NAME=PATH`` names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gf_core.errors import GrinningFaceError, did_you_mean
from gf_core.training.recipe import Recipe
from gf_core.training.samples import Source


def parse_bindings(pairs: Sequence[str]) -> dict[str, Path]:
    """``NAME=PATH`` texts; a bare path is called ``robot``.

    Raises:
        GrinningFaceError: a name is given twice.
    """
    bound: dict[str, Path] = {}
    for pair in pairs:
        name, separator, path = pair.partition("=")
        name, path = (name, path) if separator else ("robot", pair)
        if name in bound:
            raise GrinningFaceError(f"{name!r} is given twice", where="--data", hint="keep one")
        bound[name] = Path(path)
    return bound


def open_sources(recipe: Recipe, bound: Mapping[str, Path]) -> dict[str, Source]:
    """The sources that a recipe's mixtures name.

    Raises:
        GrinningFaceError: one isn't bound, one is bound that the recipe doesn't name, or a path holds no data.
    """
    names = recipe.sources
    if missing := [name for name in names if name not in bound]:
        raise GrinningFaceError(
            f"the recipe needs data for {', '.join(missing)}", where="--data", hint=f"add --data {missing[0]}=PATH"
        )
    if extra := [name for name in bound if name not in names]:
        hint = did_you_mean(extra[0], names) or f"it names {', '.join(names)}"
        raise GrinningFaceError(f"the recipe names no source {extra[0]!r}", where="--data", hint=hint)
    return {name: open_source(name, bound[name]) for name in names}


def open_source(name: str, path: Path) -> Source:
    """A LeRobot data set (a directory with ``meta/info.json``) or conversations (a ``.jsonl`` file, or a directory with one)."""
    if (path / "meta" / "info.json").is_file():
        from gf_core.training.lerobot import RobotDataset

        return RobotDataset(path, name=name)
    files = [path] if path.suffix == ".jsonl" and path.is_file() else sorted(path.glob("*.jsonl")) if path.is_dir() else []
    if len(files) == 1:
        from gf_core.training.conversations import Conversations

        return Conversations(files[0], name=name)
    if not path.exists():
        raise GrinningFaceError("there is no such file or directory", where=str(path), hint=f"for --data {name}")
    raise GrinningFaceError(
        f"holds {len(files)} .jsonl files and no meta/info.json" if path.is_dir() else "isn't a .jsonl file",
        where=str(path),
        hint="give a LeRobot data set's directory, or a .jsonl file of conversations",
    )
