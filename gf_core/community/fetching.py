"""The bytes of an index, from wherever it is. Nothing of what is fetched is executed, checked out or kept."""

from __future__ import annotations

import os
import queue
import re
import tempfile
import threading
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from gf_core import __version__
from gf_core._problems import printable
from gf_core.community.programs import complaint_of, run_program
from gf_core.community.sources import split_url
from gf_core.errors import GrinningFaceError
from gf_core.schemas import read_bounded

INDEX = "index.json"
MAX_BYTES = 4 << 20
_SECONDS = 60.0
_STALL_SECONDS = 20.0
_REPOSITORY_BYTES = 64 << 20

_GIT = re.compile(r"git\+(?P<url>(?:https|ssh|file)://(?:[^@/\s]*@)?[^@\s]+)(?:@(?P<reference>[A-Za-z0-9][A-Za-z0-9._/-]*))?")
_GIT_SETTINGS = ("fetch.unpackLimit=1", "core.bigFileThreshold=1m", "core.hooksPath=/dev/null", "gc.auto=0")


def fetch_index(place: str) -> bytes:
    """An index's document.

    Args:
        place: a file; a folder that holds index.json; ``https://…``; or ``git+https://``, ``git+ssh://`` or ``git+file://`` and
            a repository that holds index.json, with ``@`` and a branch, tag or commit if it isn't the default branch.

    Raises:
        GrinningFaceError: it can't be had from there, or is too large.
    """
    scheme, separator, _ = place.partition("://")
    if not separator:
        path = Path(place)
        return read_bounded(path / INDEX if path.is_dir() else path, MAX_BYTES)
    parts = split_url(place)
    if parts.password is not None or (parts.username is not None and scheme != "git+ssh"):
        raise GrinningFaceError("the URL has credentials in it", where=f"{scheme}://…", hint="git and netrc have stores for them")
    match = _GIT.fullmatch(place)
    if match is not None:
        return _from_repository(place, match["url"], match["reference"] or "HEAD")
    if scheme == "https":
        return _from_server(place)
    what = "that would come without TLS" if scheme in ("http", "git", "git+http", "git+git") else "no index can be had from there"
    raise GrinningFaceError(
        what, where=printable(place), hint="give a path, https://…, git+https://…, git+ssh://… or git+file://…"
    )


def _from_repository(place: str, url: str, reference: str) -> bytes:
    """Read the file out of the fetched objects: no checkout, so no hook, filter, submodule or link comes into play."""
    where = printable(place)
    strangers = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
    variables = {name: value for name, value in os.environ.items() if name not in strangers}
    variables |= {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "https:ssh:file", "LC_ALL": "C"}
    with tempfile.TemporaryDirectory() as folder:
        settings = [word for setting in _GIT_SETTINGS for word in ("-c", setting)]

        def git(*words: str) -> bytes:
            command = ["git", *settings, *words]
            code, output, complaint = run_program(command, seconds=_SECONDS, environ=variables, file_bytes=_REPOSITORY_BYTES)
            if code:
                told = complaint_of(complaint, ("fatal:", "error:"))
                raise GrinningFaceError(f"git can't read {INDEX} there: {told}", where=where)
            return output

        git("init", "--quiet", "--bare", folder)
        here = ("-C", folder)
        git(*here, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", url, reference)
        if int(git(*here, "cat-file", "-s", f"FETCH_HEAD:{INDEX}")) > MAX_BYTES:
            raise _too_large(where)
        return git(*here, "cat-file", "blob", f"FETCH_HEAD:{INDEX}")


def _too_large(where: str) -> GrinningFaceError:
    return GrinningFaceError(f"an index of more than {MAX_BYTES >> 20} MiB isn't read", where=where)


class _StaysEncrypted(HTTPRedirectHandler):
    """Follows redirections to https:// only."""

    max_redirections = 5

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """As the base class's, unless it would leave TLS."""
        if urlsplit(newurl).scheme != "https":
            raise URLError("it is redirected to where there is no TLS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _from_server(place: str) -> bytes:
    """In a thread of its own: a server that sends a byte now and then would outlast every timeout of a socket."""
    answer: queue.Queue[bytes | Exception] = queue.Queue()

    def ask() -> None:
        try:
            request = Request(place, headers={"User-Agent": f"grinningface/{__version__}"})
            with build_opener(_StaysEncrypted).open(request, timeout=_STALL_SECONDS) as response:
                answer.put(response.read(MAX_BYTES + 1))
        except (OSError, HTTPException, ValueError) as error:
            answer.put(error)

    where = printable(place)
    threading.Thread(target=ask, daemon=True).start()
    try:
        found = answer.get(timeout=_SECONDS)
    except queue.Empty:
        raise GrinningFaceError(f"it took more than {_SECONDS:.0f} s", where=where) from None
    if isinstance(found, Exception):
        reason = getattr(found, "reason", None) or found
        raise GrinningFaceError(f"it can't be fetched: {printable(str(reason))}", where=where) from found
    if len(found) > MAX_BYTES:
        raise _too_large(where)
    return found
