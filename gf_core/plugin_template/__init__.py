"""Writes new plugins: distributions that install, pass their tests and pass the kit as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from gf_core._files import write_whole
from gf_core.canonical import canonical_json, content_hash
from gf_core.errors import GrinningFaceError

KINDS: Mapping[str, tuple[str, str, str, str]] = {
    "policy": ("A policy", "policy", "grinningface", "gf run gf/smoke@1 --policy @NAME@/first-v1 --out runs/first"),
    "technique": ("A transfer technique", "technique", "grinningface[train]", "gf show @NAME@/first-v1"),
    "env": ("An environment and a suite", "env", "grinningface", "gf run @NAME@/first@1 --policy gf/random-v1 --out runs/first"),
}
"""Kind to what it is, its module, what the distribution needs, and a command to try it."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_RESERVED = ("gf", "local", "grinningface", "test", "tests")


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
        hint = "a-z, 0-9 and hyphens, as in acme-vla; not gf, local or grinningface"
        raise GrinningFaceError(f"{name!r} can't be its name", where="NAME", hint=hint)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GrinningFaceError("the folder holds something already", where=str(folder), hint="give a new one with --out")
    what, module, needs, attempt = KINDS[kind]
    package = name.replace("-", "_")
    words = {"WHAT": what, "MODULE": module, "NEEDS": needs, "TRY": attempt, "NAME": name, "PACKAGE": package}
    suite = _suite(words) if kind == "env" else None
    if suite is not None:
        words["SUITE_SHA256"] = content_hash(suite)
    written: list[Path] = []

    def write(place: str, text: str) -> None:
        write_whole(folder / place, text.encode(), kind=GrinningFaceError)
        written.append(folder / place)

    for source, place in _places(kind, module, package).items():
        write(place, _filled(source, words))
    write(f"{package}/__init__.py", f'"""{what} for GrinningFace."""\n')
    if suite is not None:
        write(f"{package}/suites/first-1.json", canonical_json(suite) + "\n")
    return written


def _places(kind: str, module: str, package: str) -> dict[str, str]:
    places = {
        "common/pyproject.toml.in": "pyproject.toml",
        "common/README.md": "README.md",
        "common/gitignore": ".gitignore",
        "common/test.yml": ".github/workflows/test.yml",
        "common/publish.yml": ".github/workflows/publish.yml",
        f"{kind}/plugin.py.in": f"{package}/plugin.py",
        f"{kind}/{module}.py.in": f"{package}/{module}.py",
        f"{kind}/test_plugin.py.in": "tests/test_plugin.py",
    }
    return {**places, "env/make_suite.py.in": f"{package}/make_suite.py"} if kind == "env" else places


def _filled(source: str, words: Mapping[str, str]) -> str:
    text = (resources.files("gf_core.plugin_template") / source).read_text(encoding="utf-8")
    for key, value in words.items():  # what is tried contains the name, so it comes first
        text = text.replace(f"@{key}@", value)
    return text


def _suite(words: Mapping[str, str]) -> dict[str, Any]:
    """The document that the template's own script makes."""
    namespace: dict[str, Any] = {"__name__": "make_suite"}
    exec(_filled("env/make_suite.py.in", words), namespace)
    document: dict[str, Any] = namespace["document"]()
    return document
