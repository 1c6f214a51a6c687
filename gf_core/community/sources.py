"""Where a distribution may be taken from: what an index may say, and what a user may type. pip gets nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from gf_core._discovery import normalised
from gf_core._problems import show
from gf_core.errors import GrinningFaceError

FORMS = "give NAME>=1,<2, git+https://HOST/PATH@TAG-OR-COMMIT, or https://HOST/FILE.whl#sha256=HASH"

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_EXTRAS = rf"\[{_NAME}(?: ?, ?{_NAME})*\]"
_RANGE = r"(?:==|~=|!=|<=|>=|<|>) ?[A-Za-z0-9.*+!_-]+"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?"
_PATH = r"[A-Za-z0-9._~/%+-]+"
_RELEASE = re.compile(rf"(?P<name>{_NAME})(?:{_EXTRAS})? ?{_RANGE}(?: ?, ?{_RANGE})*")
_GIT = re.compile(rf"git\+https://{_HOST}/{_PATH}@[A-Za-z0-9][A-Za-z0-9._/-]*")
_WHEEL = re.compile(rf"https://{_HOST}/(?:{_PATH}/)?(?P<name>[A-Za-z0-9._]+)-{_PATH}\.whl#sha256=[0-9a-f]{{64}}")
_DIRECT = re.compile(rf"(?:(?P<name>{_NAME})(?:{_EXTRAS})? ?@ ?)?(?P<url>[a-z]+(?:\+[a-z]+)?://.*)")
_ONLY_NAME = re.compile(_NAME)
_ARCHIVES = (".whl", ".tar.gz", ".zip")
_GIT_SCHEMES = ("git+https", "git+ssh", "git+file")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where pip takes a distribution from.

    Attributes:
        text: what pip is asked for.
        name: of the distribution; empty where the text doesn't say.
        builds: whether finding out what it is runs its build code: a git repository, a directory, an archive of sources.
    """

    text: str
    name: str
    builds: bool

    def at_commit(self, commit: str) -> Source:
        """The same git repository at one commit, whatever its tag says by then."""
        url, mark, fragment = self.text.partition("#")
        head, _, _ = url.rpartition("@")
        if "/" in head.partition("://")[2]:  # an @ before the host isn't one of a tag
            url = head
        return replace(self, text=f"{url}@{commit}{mark}{fragment}")


def is_name(text: str) -> bool:
    """Whether a text is a distribution's name and nothing else."""
    return len(text) <= 100 and _ONLY_NAME.fullmatch(text) is not None and not text.endswith(_ARCHIVES)


def entry_source(name: str, text: str) -> Source:
    """What an index says that pip should be asked for.

    Args:
        name: of the entry.
        text: printable ASCII of at most 500 characters, as the schema demands.

    Raises:
        GrinningFaceError: it is none of :data:`FORMS`, or of another distribution.
    """
    for pattern, builds in ((_RELEASE, False), (_WHEEL, False), (_GIT, True)):
        match = pattern.fullmatch(text)
        if match is None:
            continue
        found = match.groupdict().get("name", name)
        if normalised(found) != normalised(name):
            hint = "an entry is about the distribution that it names"
            raise GrinningFaceError(f"it is of {found!r}, not of {name!r}", hint=hint)
        return Source(text=text, name=name, builds=builds)
    raise GrinningFaceError(f"{show(text)} {_why_not(text)}", hint=FORMS)


def _why_not(text: str) -> str:
    """What is wrong with a text that is none of the forms."""
    url = text.partition("@ ")[2].strip() or text
    scheme, _, rest = url.partition("://")
    if text.startswith("-") or " -" in text:
        return "has an option of pip in it"
    if "$" in text:
        return "has a variable of the environment in it"
    if url.startswith((".", "/", "~", "file:", "git+file:")) or "\\" in url:
        return "is a place on the reader's own machine"
    if scheme.removeprefix("git+") in ("http", "git", "ftp"):
        return "would come without TLS"
    if scheme == "git+ssh":
        return "would come by SSH, for which the reader needs a key"
    if rest and "@" in rest.partition("/")[0]:
        return "has credentials in it"
    if scheme == "git+https":
        return "names no tag or commit of a repository, or has more than that in it"
    if scheme == "https":
        return "is no wheel with its SHA-256"
    if is_name(text):
        return "has no range of versions, and so says that every future one fits"
    return "is nothing that an index may name"


def given_source(text: str) -> Source:
    """What a user typed: a path, a name with a range of versions, or a URL.

    Args:
        text: with ``/`` in it, a leading dot or an archive's ending it is a path.

    Raises:
        GrinningFaceError: it is nothing of these, or nothing that is at its place.
    """
    if not text.isprintable() or not text or len(text) > 1000 or text.startswith("-"):
        raise GrinningFaceError(f"{show(text)} is no name, requirement or path")
    direct = _DIRECT.fullmatch(text)
    if direct is not None:
        return _direct(text, direct["name"] or "", direct["url"])
    if release := _RELEASE.fullmatch(text):
        return Source(text=text, name=release["name"], builds=False)
    if "/" in text or text.startswith(".") or text.endswith(_ARCHIVES):
        return _path(Path(text))
    hint = "give NAME, NAME>=1,<2, a URL of git or of a wheel, or a path with a / in it"
    raise GrinningFaceError(f"{show(text)} is no name, requirement or path", hint=hint)


def split_url(url: str) -> SplitResult:
    """The parts of a URL. Raises GrinningFaceError: it is none."""
    try:
        return urlsplit(url)
    except ValueError as error:
        raise GrinningFaceError(f"that is no URL ({error})", where=show(url)) from error


def _direct(text: str, name: str, url: str) -> Source:
    parts = split_url(url)
    if parts.password is not None or (parts.username is not None and parts.scheme != "git+ssh"):
        hint = "a command line is seen by others: leave them to git's or pip's own stores"
        raise GrinningFaceError("the URL has credentials in it", where=f"{parts.scheme}://…", hint=hint)
    if parts.scheme in _GIT_SCHEMES:
        return Source(text=text, name=name, builds=True)
    if parts.scheme == "https":
        return Source(text=text, name=name, builds=not parts.path.endswith(".whl"))
    what = "comes without TLS" if parts.scheme in ("http", "git+http", "git+git", "git") else "isn't a URL that is taken here"
    raise GrinningFaceError(f"{show(url)} {what}", hint="https://, git+https:// and git+ssh:// are; give a file by its path")


def _path(path: Path) -> Source:
    if path.is_file() and path.name.endswith(_ARCHIVES):
        return Source(text=str(path.absolute()), name="", builds=path.suffix != ".whl")
    if path.is_dir() and ((path / "pyproject.toml").is_file() or (path / "setup.py").is_file()):
        return Source(text=str(path.absolute()), name="", builds=True)
    what = "there is nothing to install at this path" if path.exists() else "there is no such path"
    raise GrinningFaceError(what, where=str(path), hint="give a project's directory, a wheel or an archive of sources")
