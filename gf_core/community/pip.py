"""pip, asked what it would do before it does it."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from gf_core._discovery import normalised
from gf_core._problems import show
from gf_core.community.installed import find_installed, requirements_of
from gf_core.community.programs import complaint_of, run_program, run_shown
from gf_core.community.sources import Source
from gf_core.errors import GrinningFaceError, MissingDependencyError
from gf_core.registry import one_line
from gf_core.schemas import load_json

_SECONDS = 1800.0
_BUILDING = "where there is no wheel of it, or of what it needs, --build lets pip build one, which runs its code"
_NAME, _VERSION = re.compile(r"[A-Za-z0-9._-]{1,100}"), re.compile(r"[A-Za-z0-9.!+_-]{1,100}")
_URL = re.compile(r"[!-#%-~]+")  # without $: pip would put variables of the environment in


@dataclass(frozen=True, kw_only=True)
class Change:
    """A distribution that pip would install.

    Attributes:
        name, version: of what would be installed.
        before: the version that is installed now; empty for none.
        url: where it comes from.
        commit: of a git repository; empty for anything else.
        sha256: of its file; empty where there is none, or pip doesn't say.
        license: what its metadata says; empty where it says nothing.
        wheel: whether it is installed as it is, without its build code being run.
        direct: whether it is named by this URL or path, and not found in pip's index.
        requested: whether it is what was asked for, and not something that it needs.
        needs: what it requires, as its metadata writes it.
    """

    name: str
    version: str
    before: str
    url: str
    commit: str
    sha256: str
    license: str
    wheel: bool
    direct: bool
    requested: bool
    needs: tuple[str, ...]

    @property
    def pinned(self) -> str:
        """A requirement that nothing else fulfils."""
        if self.commit:
            return f"git+{self.url}@{self.commit}"
        return f"{self.name} @ {self.url}" if self.direct else f"{self.name}=={self.version}"


def plan(source: Source, *, build: bool, upgrade: bool) -> list[Change]:
    """What pip would install to have a source: itself first, then what it needs. Nothing is installed.

    Args:
        source: what is asked for. One that builds runs its build code here: ask before.
        build: whether what has no wheel may be built, it or what it needs. That runs here, too: ask before.
        upgrade: whether what fits already is replaced by a newer one.

    Returns:
        Empty if everything is there already.

    Raises:
        GrinningFaceError: pip can't, with what it says; its report can't be read; without ``build``, something that names a URL
            in what it needs, which pip would build if that is no wheel.
    """
    if not build:
        changes = _report(source, "--no-deps", build=build, upgrade=upgrade)
        needs = [need for change in changes for need in change.needs] if changes else requirements_of(source.name)
        by_url = next((need for need in needs if "@" in need.partition(";")[0]), None)
        if by_url:
            what = f"{source.name or changes[0].name} needs {one_line(by_url, 200)}, past pip's index"
            raise GrinningFaceError(what, where=source.text, hint="--build lets pip take and build that, which runs its code")
    return _report(source, build=build, upgrade=upgrade)


def _report(source: Source, *more: str, build: bool, upgrade: bool) -> list[Change]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = [*_options(build), *(["--upgrade"] if upgrade else []), "--quiet", "--dry-run", "--report", str(report), *more]
        code, _, complaint = run_program([*_pip(), "install", *options, "--", source.text], seconds=_SECONDS)
        if code:
            told = complaint_of(complaint, ("error:",))
            raise GrinningFaceError(f"pip can't install it: {told}", where=source.text, hint="" if build else _BUILDING)
        document = cast(dict[str, Any], load_json(report))
    try:
        changes = [_change(item) for item in document["install"]]
    except (KeyError, TypeError, AttributeError) as error:
        what = f"pip's report isn't as expected ({one_line(error)})"
        raise GrinningFaceError(what, where=f"pip {document.get('pip_version')}", hint="update pip") from error
    return sorted(changes, key=lambda change: (not change.requested, normalised(change.name)))


def install(source: Source, changes: Sequence[Change], *, build: bool) -> None:
    """Have pip install what :func:`plan` found and nothing else: those versions, that commit, and if every file has a hash, those
    files. Its output goes to standard error.

    Raises:
        GrinningFaceError: it failed.
    """
    direct = [change for change in changes if change.requested and change.direct]
    others = [change for change in changes if change not in direct]
    wanted = [_held(source, change) for change in direct]
    hashed = all(change.sha256 and not change.commit for change in changes) and all("#sha256=" in text for text in wanted)
    lines = [change.pinned + f" --hash=sha256:{change.sha256}" * hashed + "\n" for change in others]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("".join(lines), encoding="utf-8")
        named = ["--requirement", str(file)] if others else []
        code = run_shown([*_pip(), "install", *_options(build), "--no-deps", *named, "--", *wanted])
    if code:
        hint = "its output says why; what it had installed by then is still there"
        raise GrinningFaceError(f"pip failed (exit code {code})", where=source.text, hint=hint)


def _held(source: Source, change: Change) -> str:
    """A source as it was looked at: its commit, or the hash of its file; a path as it is."""
    if change.commit:
        return source.at_commit(change.commit).text
    by_hash = "://" in source.text and "#" not in source.text and change.sha256
    return f"{source.text}#sha256={change.sha256}" if by_hash else source.text


def uninstall(name: str) -> None:
    """Have pip remove a distribution; its output goes to standard error.

    Raises:
        GrinningFaceError: it failed, or left the distribution where it is.
    """
    code = run_shown([*_pip(), "uninstall", "--yes", "--disable-pip-version-check", "--", name])
    found = find_installed(name)
    if code or found is not None:
        what = f"pip failed (exit code {code})" if code else "pip left it where it is, or there is another one of it"
        raise GrinningFaceError(what, where=found.folder if found else name, hint="pip's output says why")


def _options(build: bool) -> list[str]:
    return ["--no-input", "--disable-pip-version-check", *([] if build else ["--only-binary", ":all:"])]


def _pip() -> list[str]:
    """How pip is called for this environment. ``-P``: a pip.py in the working directory isn't it."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-P", "-m", "pip"]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "tool", "run", "pip", "--python", sys.executable]
    hint = f"`{sys.executable} -m ensurepip` puts it there; or install uv, which brings one along"
    raise MissingDependencyError("there is no pip in this environment, and no uv", hint=hint)


def _change(item: dict[str, Any]) -> Change:
    """From an item of the report (https://pip.pypa.io/en/stable/reference/installation-report/), whose texts strangers wrote."""
    metadata, download = item["metadata"], item["download_info"]
    name, version, url = metadata["name"], metadata["version"], download["url"]
    commit = download.get("vcs_info", {}).get("commit_id", "")
    for pattern, text in ((_NAME, name), (_VERSION, version), (_URL, url), (_VERSION, commit or "none")):
        if pattern.fullmatch(text) is None:
            raise GrinningFaceError(f"{show(text)} is no name, version or URL", where="pip's report", hint="don't install that")
    here = find_installed(name)
    return Change(
        name=name,
        version=version,
        before=here.version if here else "",
        url=url,
        commit=commit,
        sha256=download.get("archive_info", {}).get("hashes", {}).get("sha256", ""),
        license=one_line(_license(metadata), 200),
        wheel=url.partition("#")[0].endswith(".whl"),
        direct=bool(item["is_direct"]),
        requested=bool(item["requested"]),
        needs=tuple(metadata.get("requires_dist", ())),
    )


def _license(metadata: dict[str, Any]) -> str:
    """The first that it has: an SPDX expression, a text (its first line), classifiers."""
    stated = metadata.get("license_expression") or metadata.get("license") or ""
    classifiers = [line for line in metadata.get("classifier", ()) if line.startswith("License ::")]
    first: str = stated.strip().partition("\n")[0]
    return first or ", ".join(line.rpartition(":: ")[2] for line in classifiers)
