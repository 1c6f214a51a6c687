"""Writes new plugins: distributions that install, pass their tests and pass the kit as they are."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from gf_core._files import write_whole
from gf_core.canonical import canonical_json, content_hash
from gf_core.errors import GrinningFaceError


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What can be written.

    Attributes:
        what: it is.
        needs: requirement of the distribution.
        attempt: command to try it.
        module: of the thing itself; empty for a suite, which is data.
        script: module that makes data, and what the README says of it.
    """

    what: str
    needs: str = "grinningface"
    attempt: str = "gf show @NAME@/first-v1"
    module: str = ""
    script: tuple[str, str] = ("", "")


_SUITE = ("make_suite", "writes the suite, once")
KINDS: Mapping[str, Kind] = {
    "policy": Kind(what="A policy", module="policy", attempt="gf run gf/smoke@1 --policy @NAME@/first-v1 --out runs/first"),
    "backbone": Kind(what="A vision-language backbone", module="backbone", needs="grinningface[train]"),
    "head": Kind(what="An action head", module="head", needs="grinningface[train]"),
    "technique": Kind(what="A transfer technique", module="technique", needs="grinningface[train]"),
    "env": Kind(
        what="An environment and a suite",
        module="env",
        attempt="gf run @NAME@/first@1 --policy gf/random-v1 --out runs/first",
        script=_SUITE,
    ),
    "deck": Kind(
        what="A deck of cards",
        module="deck",
        attempt="gf show @NAME@/first@1",
        script=("draw_cards", "draws the pictures in `cards/`; replace it and them by your own"),
    ),
    "suite": Kind(
        what="A suite of episodes", attempt="gf run @NAME@/first@1 --policy gf/expert-v1 --out runs/first", script=_SUITE
    ),
}

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_OURS = ("gf_core", "gf_envs", "gf_policies", "gf_techniques")
_RESERVED = ("gf", "local", "grinningface", "test", "tests", "dist", "runs", "trained")
"""Namespaces of ours, and folders of the template: those that its .gitignore names don't enter a wheel."""


def write_plugin(kind: str, name: str, folder: Path) -> list[Path]:
    """Write a distribution.

    Args:
        kind: a key of :data:`KINDS`.
        name: of the distribution, and the namespace of its ids: ``a-z``, ``0-9`` and hyphens.
        folder: where; new or empty.

    Returns:
        The files.

    Raises:
        GrinningFaceError: a name that can't be one, or a folder that holds something.
    """
    if not _NAME.fullmatch(name) or len(name) > 60 or name in _RESERVED:
        hint = f"a-z, 0-9 and hyphens, as in acme-vla; not {', '.join(_RESERVED[:-1])} or {_RESERVED[-1]}"
        raise GrinningFaceError(f"{name!r} can't be its name", where="NAME", hint=hint)
    if why := _taken(name.replace("-", "_")):
        what = f"its package would be called {name.replace('-', '_')!r}, and {why}"
        raise GrinningFaceError(what, where="NAME", hint="give another name")
    if _is_installed(name, folder):
        what = f"another distribution called {name!r} is installed, and pip would put this one in its place"
        raise GrinningFaceError(what, where="NAME", hint="give another name")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GrinningFaceError("the folder holds something already", where=str(folder), hint="give a new one with --out")
    chosen, package = KINDS[kind], name.replace("-", "_")
    words = {"WHAT": chosen.what, "NEEDS": chosen.needs, "TRY": chosen.attempt, "NAME": name, "PACKAGE": package}
    written: list[Path] = []

    def write(place: str, text: str) -> None:
        write_whole(folder / place, text.encode(), kind=GrinningFaceError)
        written.append(folder / place)

    write(f"{package}/__init__.py", f'"""{chosen.what} for GrinningFace."""\n')
    if chosen.script == _SUITE:
        suite = _run(f"{kind}/make_suite.py.in", words)["document"]()
        write(f"{package}/suites/first-1.json", canonical_json(suite) + "\n")
        words["SUITE_SHA256"] = content_hash(suite)
    if kind == "deck":
        cards = folder / package / "cards"
        _run("deck/draw_cards.py.in", words)["draw"](cards)
        written += sorted(cards.iterdir())
        words["SHA256"] = _run("deck/deck.py.in", words, at=folder / package / "deck.py")["make_deck"]({}).sha256
    words["FILES"] = "\n".join(_rows(chosen, package))
    for source, place in _places(kind, chosen, package).items():
        write(place, _filled(source, words))
    if kind == "backbone":
        write(f"{package}/backbone.py", _backbone(words))
    return written


def _taken(package: str) -> str:
    """Why a package can't have this name; empty if it can."""
    if keyword.iskeyword(package):
        return "that is a word of Python"
    if package in sys.stdlib_module_names or package in _OURS:
        return "that is a module of Python or of this program"
    found = importlib.util.find_spec(package)
    # One without a file is a folder beside the caller's, perhaps of the very project that is written anew.
    return f"another module has that name ({found.origin})" if found is not None and found.origin is not None else ""


def _is_installed(name: str, folder: Path) -> bool:
    """Whether there is a distribution of this name that wasn't installed from ``folder``, where the same project may have been
    (https://packaging.python.org/en/latest/specifications/direct-url/).
    """
    try:
        told = importlib.metadata.distribution(name).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return False
    return f'"{folder.resolve().as_uri()}"' not in (told or "")


def _places(kind: str, chosen: Kind, package: str) -> dict[str, str]:
    modules = [name for name in (chosen.module, chosen.script[0]) if name and name != "backbone"]
    return {
        "common/pyproject.toml.in": "pyproject.toml",
        "common/README.md": "README.md",
        "common/gitignore": ".gitignore",
        "common/test.yml": ".github/workflows/test.yml",
        "common/publish.yml": ".github/workflows/publish.yml",
        f"{kind}/plugin.py.in": f"{package}/plugin.py",
        f"{kind}/test_plugin.py.in": "tests/test_plugin.py",
        **{f"{kind}/{module}.py.in": f"{package}/{module}.py" for module in modules},
    }


def _rows(chosen: Kind, package: str) -> list[str]:
    """The README's rows of what is special to the kind."""
    rows = [f"| `{package}/{chosen.module}.py` | the thing itself, imported when it is used |"] if chosen.module else []
    script, does = chosen.script
    return [*rows, f"| `{package}/{script}.py` | {does} |"] if script else rows


def _filled(source: str, words: Mapping[str, str]) -> str:
    text = (resources.files("gf_core.plugin_template") / source).read_text(encoding="utf-8")
    for key, value in words.items():  # what is tried contains the name, so it comes first
        text = text.replace(f"@{key}@", value)
    return text


def _run(source: str, words: Mapping[str, str], at: Path | None = None) -> dict[str, Any]:
    """What a template's module defines; ``at`` is where it believes to be."""
    namespace: dict[str, Any] = {"__name__": "template", "__file__": str(at)}
    exec(_filled(source, words), namespace)
    return namespace


def _backbone(words: Mapping[str, str]) -> str:
    """The small backbone that the kit itself works with, as a module of its own."""
    source = (resources.files("gf_core.testing") / "small_backbone.py").read_text(encoding="utf-8")
    body = source.split('"""', 2)[2].replace("Small", "First")
    body = body.replace("from pathlib import Path\n", "from pathlib import Path\nfrom typing import Any\n")
    about = (
        '"""The backbone: a small vision-language model. Replace `FirstModel` and what `FirstBackbone` says of it by yours."""'
    )
    return about + body + _filled("backbone/factory.py.in", words)
