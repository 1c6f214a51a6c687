"""Policies in an environment of their own: made once, kept, and served from there as long as a run needs it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.requirements import InvalidRequirement, Requirement

from gf_core._files import occupied, write_whole
from gf_core.canonical import canonical_json, content_hash
from gf_core.errors import GrinningFaceError, PluginError
from gf_core.serving.link import TOKEN

PYTHON = "GF_ISOLATE_PYTHON"
"""Environment variable with the interpreter of an environment that exists already: `gf run --isolate DIR` sets it."""
CACHE = "GF_CACHE"
_IDENTITY, _READY, _LOG = "environment.json", "ready", "pip.log"
_DESCRIBE_SECONDS = 300.0
_FAREWELL_SECONDS = 10.0
_START = "from gf_core.cli.main import main; import sys; sys.exit(main(sys.argv[1:]))"

Watch = Callable[[str], None]


def read_requirements(file: Path) -> tuple[str, ...]:
    """The requirements of a file for pip, without comments, in order of the alphabet. They are recorded with the run.

    Raises:
        GrinningFaceError: it can't be read; a line that is no requirement, or means something else elsewhere.
    """
    try:
        lines = file.read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GrinningFaceError("no requirements can be read from it", where=str(file), hint="give a file for pip") from error
    found = sorted({line.partition(" #")[0].strip() for line in lines})
    wanted = [line for line in found if line and not line.startswith("#")]
    for line in wanted:
        _check_requirement(line, str(file))
    return tuple(wanted)


def _check_requirement(line: str, where: str) -> None:
    """A package that pip finds elsewhere, too; options and paths aren't any."""
    try:
        url = Requirement(line).url or ""
    except InvalidRequirement as error:
        hint = "write NAME, NAME==VERSION or NAME @ URL; pip's own configuration and variables (PIP_INDEX_URL) are heeded"
        raise GrinningFaceError(f"{line!r} doesn't name a package", where=where, hint=hint) from error
    if url and (urlsplit(url).scheme == "" or urlsplit(url).scheme.endswith("file")):
        what = f"{line!r} is a place on this machine"
        raise GrinningFaceError(what, where=where, hint="name a package, or make an environment and give its directory")


def interpreter_of(folder: Path) -> Path:
    """The interpreter of a virtual environment. Raises GrinningFaceError: it is none."""
    for name in ("bin/python", "Scripts/python.exe"):
        if (folder / name).is_file():
            return (folder / name).absolute()
    raise GrinningFaceError(
        "no virtual environment is in it", where=str(folder), hint="give its directory, or a requirements file"
    )


def environment(requirements: Sequence[str], watch: Watch = lambda what: None) -> Path:
    """The interpreter of an environment with this program and these requirements; made if there is none yet.

    Environments are kept in ``GF_CACHE`` (by default the user's cache) under a hash of what is in them. One that was interrupted
    while it was made is made anew.

    Args:
        requirements: lines for pip.
        watch: is told what is going on.

    Raises:
        GrinningFaceError: one isn't a requirement, another process makes it, or pip can't install them.
    """
    for line in requirements:
        _check_requirement(line, "requirements")
    mine, build = _myself()
    wanted = {"requirements": list(requirements), "grinningface": mine, "build": build, "python": sys.version.split()[0]}
    folder = cache() / "environments" / content_hash(wanted)[:16]
    if (folder / _READY).is_file():
        return interpreter_of(folder / "venv")
    with occupied(folder, identity=_IDENTITY, lock=".lock", what=_IDENTITY, who="maker"):
        write_whole(folder / _IDENTITY, (canonical_json(wanted) + "\n").encode(), kind=GrinningFaceError)
        if (folder / _READY).is_file():  # another process has made it meanwhile
            return interpreter_of(folder / "venv")
        if (folder / "venv").exists():
            shutil.rmtree(folder / "venv")
        watch(f"making an environment in {folder}")
        with (folder / _LOG).open("wb") as log:
            _run([sys.executable, "-m", "venv", str(folder / "venv")], log, folder)
            python = interpreter_of(folder / "venv")
            watch(f"installing {', '.join(requirements) or 'this program'}")
            pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *mine, *requirements]
            _run(pip, log, folder)
        write_whole(folder / _READY, b"", kind=GrinningFaceError)
    return python


def cache() -> Path:
    """Where environments are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(CACHE) or Path(home) / "grinningface")


def _run(command: Sequence[str], log: IO[bytes], folder: Path) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        log.flush()
        lines = (folder / _LOG).read_text(errors="replace").splitlines()
        told = next((line for line in reversed(lines) if line.upper().startswith("ERROR")), lines[-1] if lines else "no output")
        raise GrinningFaceError(f"the environment can't be made: {told:.500}", where=str(folder / _LOG))


def _myself() -> tuple[list[str], str]:
    """What pip installs to have this program over there, the same checkout, commit or version, and a hash of what is here."""
    found = metadata.distribution("grinningface")
    direct = json.loads(found.read_text("direct_url.json") or "{}")
    build = content_hash(found.read_text("RECORD") or found.version)
    url, vcs = direct.get("url", ""), direct.get("vcs_info")
    if vcs:
        return [f"{vcs['vcs']}+{url}@{vcs['commit_id']}"], build
    if urlsplit(url).scheme == "file":
        source = url2pathname(urlsplit(url).path)
        return (["-e", source] if direct.get("dir_info", {}).get("editable") else [source]), build
    return [f"grinningface=={found.version}"], build


def describe(python: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """The hello of a policy over there, without loading it.

    Args:
        python: the interpreter.
        arguments: of `gf serve`.

    Raises:
        GrinningFaceError: what the program says over there.
    """
    command = [str(python), "-c", _START, "serve", *arguments, "--describe"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_DESCRIBE_SECONDS,
            env=_outside(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GrinningFaceError(f"the environment doesn't run ({error})", where=str(python)) from error
    if done.returncode:
        raise GrinningFaceError(f"in its environment: {_last(done.stderr)}", where=str(python))
    hello: dict[str, Any] = json.loads(done.stdout)
    return hello


def _outside() -> dict[str, str]:
    """The process's variables without those that would bring this environment's packages along."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", PYTHON)}


def _last(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else "it ended without a word"


class Served:
    """A policy that is served from its environment, until :meth:`close` or the end of this process.

    Args:
        python: the interpreter.
        arguments: of `gf serve`.

    Attributes:
        url: its address.
        token: what it asks for.

    Raises:
        PluginError: it can't be loaded over there.
    """

    def __init__(self, python: Path, arguments: Sequence[str]) -> None:
        self.token = secrets.token_urlsafe(24)
        command = [str(python), "-u", "-c", _START, "serve", *arguments, "--port", "0", "--with-stdin"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**_outside(), TOKEN: self.token}
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()  # what else it prints goes to standard error
        self.url = line.partition(" ")[0]
        if not self.url.startswith("ws://"):
            if line:  # it runs, and says something else
                self._process.kill()
            status = self._process.wait()
            raise PluginError(f"it can't be served in its environment (exit code {status})", where=str(python))

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_FAREWELL_SECONDS)
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def chosen(given: str, watch: Watch) -> Iterator[tuple[str, ...]]:
    """`--isolate`: the requirements to record; within, the environment that was given is the one that is used.

    Args:
        given: a requirements file, the directory of an environment that exists, or nothing.
        watch: is told what is going on.
    """
    path = Path(given)
    requirements = read_requirements(path) if given and not path.is_dir() else ()
    python = interpreter_of(path) if given and path.is_dir() else environment(requirements, watch)
    before = os.environ.get(PYTHON)
    os.environ[PYTHON] = str(python)
    try:
        yield requirements
    finally:
        if before is None:
            del os.environ[PYTHON]
        else:
            os.environ[PYTHON] = before


def python_for(requirements: Sequence[str]) -> Path:
    """The interpreter that was chosen, or that of the environment with these requirements."""
    given = os.environ.get(PYTHON)
    return Path(given) if given else environment(requirements)


def arguments_of(config: Mapping[str, Any], files: Sequence[Path]) -> list[str]:
    """Arguments of `gf serve` for the settings of gf/isolated-v1."""
    options = [part for pair in config["settings"] for part in ("--set", pair)]
    plugins = [part for file in files for part in ("--plugin", str(Path(file).absolute()))]
    return [config["policy"], *options, "--env", config["env"], *plugins]
