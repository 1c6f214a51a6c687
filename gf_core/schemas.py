"""Load, validate and explain documents.

Every document names its ``kind`` and its ``schema_version``, MAJOR.MINOR. Its schema is ``gf_schemas/<kind>-<major>.schema.json``
(draft 2020-12). How formats change:

- A minor version adds optional fields, and nothing that changes what a reader which ignores them computes. A reader accepts newer
  minors of a major that it knows, and ignores keys that it doesn't know there; elsewhere an unknown key is an error.
- A major version is a new file, with a pure function in :data:`MIGRATIONS` from the one before. Old files stay, so old documents
  can be read for ever.
- Keys that begin with ``x-`` are notes, which no program reads. Documents that people write (suites, decks) take them in every
  object of fixed keys.

``python -m gf_core.schemas --write docs/schemas.md`` writes the reference of all kinds.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import gf_schemas
from gf_core._json import load_json, parse_json, read_bounded
from gf_core._problems import MAX_PROBLEMS, Problem, printable, refuse, show, suggest
from gf_core._settings import apply_settings, default_settings, parse_setting, validate_config
from gf_core.errors import SchemaError
from gf_core.rules import RULES, Rule, check_rules, check_suite_metrics, rule_problems

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

__all__ = [
    "MAX_PROBLEMS",
    "MIGRATIONS",
    "RULES",
    "Problem",
    "Rule",
    "apply_settings",
    "check_rules",
    "check_suite_metrics",
    "default_settings",
    "describe",
    "describe_all",
    "find_problems",
    "kinds",
    "load_document",
    "load_json",
    "load_schema",
    "migrate",
    "parse_json",
    "parse_setting",
    "read_bounded",
    "validate",
    "validate_config",
]

Document = dict[str, Any]

MIGRATIONS: Mapping[tuple[str, int], Callable[[Document], Document]] = {}
"""(kind, major) to the pure function that turns such a document into one of the next major version."""

_FILE = re.compile(r"([a-z][a-z0-9_]*)-([1-9][0-9]*)\.schema\.json")
_URI = re.compile(r"urn:grinningface:schema:([a-z][a-z0-9_]*):([1-9][0-9]*)")
_VERSION = re.compile(r"([1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")


def _folder() -> Path:
    return Path(gf_schemas.__file__).parent  # importlib.resources would take half as long again as all of this module


@cache
def kinds() -> Mapping[str, tuple[int, ...]]:
    """Kind of document to the major versions that are known, ascending."""
    found: dict[str, list[int]] = {}
    for file in _folder().iterdir():
        if match := _FILE.fullmatch(file.name):
            found.setdefault(match[1], []).append(int(match[2]))
    return {kind: tuple(sorted(found[kind])) for kind in sorted(found)}


@cache
def _schema(kind: str, major: int) -> Document:
    name = f"{kind}-{major}.schema.json"
    return cast(Document, parse_json((_folder() / name).read_bytes(), source=name))


def load_schema(kind: str, major: int | None = None) -> Document:
    """The JSON schema of a kind, in its newest major version unless told otherwise.

    Raises:
        SchemaError: when there is no such kind or version.
    """
    return copy.deepcopy(_schema(kind, _known_major(kind, major)))


def _known_major(kind: str, major: int | None) -> int:
    if kind not in kinds():
        hint = suggest(kind, kinds(), "known are")
        raise SchemaError(f"there is no kind of document {show(kind)}", hint=hint)
    majors = kinds()[kind]
    if major is None:
        return majors[-1]
    if major not in majors:
        raise SchemaError(f"there is no version {major} of {kind}", hint=f"known are {', '.join(map(str, majors))}")
    return major


@cache
def _validator(kind: str, major: int) -> Validator:
    from gf_core._explain import make_validator

    return make_validator(_inlined(_schema(kind, major), _schema(kind, major)))


def _inlined(node: Any, root: Document) -> Any:
    """A packaged schema with the definitions that it refers to in their places: quicker, and messages know the outer description.

    Beside a ``$ref`` stand annotations only, and none of ours leads back to itself; a test holds both.
    """
    if isinstance(node, list):
        return [_inlined(item, root) for item in node]
    if not isinstance(node, dict):
        return node
    inlined: Document = {}
    if "$ref" in node:
        uri, _, fragment = node["$ref"].partition("#/$defs/")
        match = _URI.fullmatch(uri)
        home = _schema(match[1], int(match[2])) if match else root
        inlined = _inlined(home["$defs"][fragment], home)
    return {**inlined, **{key: _inlined(value, root) for key, value in node.items() if key not in ("$ref", "$defs")}}


def validate(document: object, kind: str, *, source: str, major: int | None = None) -> None:
    """Check a document against the schema of its kind and version, and against the rules for it.

    Args:
        document: JSON values, as from :func:`load_json`.
        kind: what it must be, e.g. ``"suite"``.
        source: what errors call it: the file's name.
        major: the version to check against; by default what its own ``schema_version`` says. Needed for kinds without one, such
            as rows of a table.

    Raises:
        SchemaError: listing every problem, sorted, one line each: ``source#/json/pointer: what is wrong; hint``.
    """
    if problems := find_problems(document, kind, source=source, major=major):
        refuse(problems, source)


def find_problems(document: object, kind: str, *, source: str = "", major: int | None = None) -> list[Problem]:
    """Everything that :func:`validate` would list; empty for a valid document."""
    from gf_core._explain import document_problems

    newer_minor = False
    if major is None:
        header = _read_header(document, kind)
        if isinstance(header, Problem):
            return [header]
        major, newer_minor = header
    problems = document_problems(_validator(kind, _known_major(kind, major)), document, source=source, skip_unknown=newer_minor)
    if problems:
        return problems
    return rule_problems(cast(Document, document), kind)


def _read_header(document: object, kind: str) -> tuple[int, bool] | Problem:
    """The document's major version and whether its minor is newer than ours, or what is wrong with its first keys."""
    majors = kinds()[kind] if _known_major(kind, None) else ()
    if not isinstance(document, dict):
        return Problem(path=(), what=f"expected an object, found {show(document)}", hint=f"a {kind} document is an object")
    if document.get("kind", kind) != kind:
        return Problem(path=("kind",), what=f"this is {show(document['kind'])}, not {show(kind)}", hint="is it the right file?")
    newest = _schema(kind, majors[-1]).get("x-version", f"{majors[-1]}.0")
    version = document.get("schema_version")
    if version is None:
        return Problem(path=(), what="'schema_version' is missing", hint=f'add "schema_version": "{newest}"')
    match = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if match is None:
        what = f"{show(version)} isn't a version"
        return Problem(path=("schema_version",), what=what, hint=f'write MAJOR.MINOR as text, such as "{newest}"')
    major, minor = int(match[1]), int(match[2])
    if major not in majors:
        known = ", ".join(f"{m}.x" for m in majors)
        hint = f"known are {known}" + ("; a newer GrinningFace may read it" if major > majors[-1] else "")
        return Problem(path=("schema_version",), what=f"{kind} documents of version {version} aren't known", hint=hint)
    own = _VERSION.fullmatch(str(_schema(kind, major).get("x-version", f"{major}.0")))
    return major, own is not None and minor > int(own[2])


def load_document(path: Path, kind: str) -> Document:
    """A file's document, checked, and migrated to the newest major version of its kind.

    Raises:
        SchemaError: when it can't be read, isn't strict JSON, or isn't a valid document of this kind.
    """
    document = load_json(path)
    validate(document, kind, source=str(path))
    return migrate(cast(Document, document), kind, source=str(path))


def migrate(document: Document, kind: str, *, source: str) -> Document:
    """A valid document in the newest major version of its kind; the argument isn't changed.

    Raises:
        SchemaError: when a migration makes something that isn't valid.
    """
    newest = kinds()[kind][-1]
    major = int(document["schema_version"].split(".")[0])
    if major == newest:
        return document
    while major < newest:
        document = MIGRATIONS[(kind, major)](copy.deepcopy(document))
        major += 1
    validate(document, kind, source=f"{printable(source)} (migrated to {kind} {newest})", major=newest)
    return document


def _inlined_schema(kind: str) -> Document:
    schema = load_schema(kind)
    return cast(Document, _inlined(schema, schema))


def describe(kind: str) -> str:
    """The fields of a kind's newest version, as Markdown."""
    from gf_core._schema_docs import describe_schema

    return describe_schema(_inlined_schema(kind))


def describe_all() -> str:
    """The content of docs/schemas.md: how formats change, every kind and every rule."""
    from gf_core._schema_docs import reference

    policy = (__doc__ or "").split("\n\n")[1:3]
    return reference("\n\n".join(policy), [_inlined_schema(kind) for kind in kinds()], RULES.values())


def main(arguments: list[str] | None = None) -> int:
    """``python -m gf_core.schemas [--write FILE]``: prints the reference, or writes it."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m gf_core.schemas", description="The reference of all kinds of documents.")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write it to a file instead of printing it")
    write: Path | None = parser.parse_args(arguments).write
    if write is None:
        sys.stdout.write(describe_all())
    else:
        write.write_text(describe_all(), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
