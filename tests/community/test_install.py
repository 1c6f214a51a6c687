"""The commands with real pip, in an environment of their own, offline."""

from __future__ import annotations

import hashlib
import os
import pty
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import WriteIndex, entry, make_repository, make_wheel

BACKEND = """
import pathlib, zipfile

pathlib.Path({mark!r}).touch()


def _write(folder, place, text):
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_text(text)


FILES = {files!r}


def prepare_metadata_for_build_wheel(folder, settings=None):
    for place, text in FILES.items():
        if "dist-info" in place:
            _write(pathlib.Path(folder), place, text)
    return next(place.partition("/")[0] for place in FILES if "dist-info" in place)


def build_wheel(folder, settings=None, metadata=None):
    name = {wheel!r}
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as archive:
        for place, text in FILES.items():
            archive.writestr(place, text)
    return name
"""


@dataclass(frozen=True)
class Room:
    """An environment that shares the packages of this one.

    Attributes:
        python: its interpreter.
        wheels: the folder where pip looks for names.
    """

    python: Path
    wheels: Path

    def gf(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `gf plugins` where nobody can be asked."""
        return subprocess.run(self.command(*arguments), env=self.variables(**variables), **QUIET)

    def gf_asked(self, answer: str, *arguments: str) -> tuple[int, str]:
        """Run a command of `gf plugins` in a terminal where every question gets this answer; its code and output."""
        ours, theirs = pty.openpty()
        os.write(ours, answer.encode())
        done = subprocess.run(self.command(*arguments), env=self.variables(), **{**QUIET, "stdin": theirs})
        os.close(ours)
        os.close(theirs)
        return done.returncode, done.stdout + done.stderr

    def command(self, *arguments: str) -> Sequence[str]:
        return [str(self.python), "-m", "gf_core.cli.main", "plugins", *arguments]

    def variables(self, **more: str) -> dict[str, str]:
        mine = {
            k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "GF_")) and k not in ("PYTHONPATH", "VIRTUAL_ENV")
        }
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_CONFIG_FILE": os.devnull}
        return {**mine, **offline, **more}

    def has(self, name: str) -> bool:
        code = f"import importlib.metadata as m; print(any(d.name == {name!r} for d in m.distributions()))"
        return subprocess.run([self.python, "-c", code], env=self.variables(), **QUIET).stdout == "True\n"


QUIET = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "check": False, "timeout": 120}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    site = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    library = sysconfig.get_path("stdlib")  # listed here it would be no part of what pip builds in
    places = [p for p in sys.path if Path(p).is_dir() and ("site-packages" in p or not p.startswith(library))]
    (site / "shared.pth").write_text("\n".join(places) + "\n")
    return home / "bin" / "python"


@pytest.fixture
def room(environment: Path, tmp_path: Path) -> Room:
    (tmp_path / "wheels").mkdir()
    return Room(python=environment, wheels=tmp_path / "wheels")


def make_project(folder: Path, name: str, mark: Path) -> None:
    """A project whose build needs nothing, and leaves a mark when its code runs."""
    wheel = make_wheel(folder, name)
    with zipfile.ZipFile(wheel) as archive:
        files = {place: archive.read(place).decode() for place in archive.namelist()}
    wheel.unlink()
    (folder / "backend.py").write_text(BACKEND.format(mark=str(mark), files=files, wheel=wheel.name))
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "0.1.0"\n'
    )


def test_from_an_index_and_away_again(
    room: Room, write_index: WriteIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme-vla").mkdir()  # in the working directory, and not what is installed and checked
    monkeypatch.chdir(tmp_path)
    make_wheel(room.wheels, "acme-helper", "3", plugin=None)
    make_wheel(room.wheels, "acme-vla", needs=["acme-helper>=2", "grinningface"])
    place = write_index(entry(brings={"heads": ["acme-vla/first-v1"]}))
    code, output = room.gf_asked("n\n", "install", "acme-vla", "--index", place)
    assert code == 1, output
    assert "Nearly every gf command will import acme-vla, which can do whatever you can. Install it?" in output
    assert "nothing was changed" in output
    assert not room.has("acme-helper")

    done = room.gf("install", "acme-vla", "--yes", GF_PLUGIN_INDEX=place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "brings     acme-vla/first-v1" in done.stdout
    assert "new      acme-helper 3" in done.stdout
    assert "2 of 2 checks passed, 0 failed, 0 skipped" in done.stdout
    code, output = room.gf_asked("y\n", "uninstall", "ACME_vla")
    assert code == 0, output
    assert "plugins    acme_vla = acme_vla" in output
    assert not room.has("acme-vla")
    assert room.has("acme-helper")


def test_build_code_runs_only_after_a_yes(room: Room, write_index: WriteIndex, tmp_path: Path) -> None:
    mark, project = tmp_path / "mark", tmp_path / "acme-built"
    project.mkdir()
    make_project(project, "acme-built", mark)
    code, output = room.gf_asked("n\n", "install", str(project))
    assert code == 1, output
    assert "pip runs its build code now. Do that?" in output
    shutil.make_archive(str(room.wheels / "acme-built-0.1.0"), "gztar", tmp_path, "acme-built")
    code, output = room.gf_asked("n\n", "install", "acme-built==0.1.0", "--build")
    assert code == 1, output
    assert "pip builds what has no wheel now, which runs its code. Do that?" in output
    make_wheel(room.wheels, "acme-lure", needs=[f"acme-built @ {project.as_uri()}"])
    refused = room.gf("install", "acme-lure==0.1.0", "--yes")
    assert "acme-lure needs acme-built @ file:" in refused.stderr
    assert not mark.exists()

    # The same as a repository in an index, whose address git is told to look for here.
    make_repository(project)
    aside = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{tmp_path.as_uri()}/.insteadOf"}
    aside |= {"GIT_CONFIG_VALUE_0": "https://example.org/"}
    lying = write_index(entry("acme-other", source="git+https://example.org/acme-built@v1"), folder="lying")
    done = room.gf("install", "acme-other", "--index", lying, "--yes", **aside)
    assert done.returncode == 2
    assert f"it is acme-built, and the index {lying} said acme-other; nothing was installed" in done.stderr
    assert mark.exists()
    honest = write_index(entry("acme-built", source="git+https://example.org/acme-built@v1"), folder="honest")
    done = room.gf("install", "acme-built", "--index", honest, "--yes", **aside)
    assert done.returncode == 0, done.stdout + done.stderr
    assert room.has("acme-built")


@pytest.mark.full
def test_a_wheel_of_an_index_is_taken_with_its_hash_only(room: Room, write_index: WriteIndex, server: str) -> None:
    wheel = make_wheel(room.wheels, "acme-far")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for wrong in (True, False):
        source = f"{server}/{wheel.name}#sha256={'0' * 64 if wrong else digest}"
        place = write_index(entry("acme-far", source=source))
        done = room.gf("install", "acme-far", "--index", place, "--yes", PIP_CERT=os.environ["REQUESTS_CA_BUNDLE"])
        assert done.returncode == (2 if wrong else 0), done.stdout + done.stderr
        assert ("DO NOT MATCH THE HASHES" in done.stderr) == wrong
        assert room.has("acme-far") != wrong


@pytest.mark.full
def test_hashes_are_held(room: Room, tmp_path: Path) -> None:
    """By pip, in what is installed: the file is another one by then."""
    wheel = make_wheel(room.wheels, "acme-moved")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    code = (
        "import sys\nfrom pathlib import Path\nfrom gf_core.community.pip import install, plan\n"
        "from gf_core.community.sources import given_source\n"
        "source = given_source('acme-moved==0.1.0')\nchanges = plan(source, build=False, upgrade=False)\n"
        f"assert changes[0].sha256 == {digest!r}\n"
        f"wheel = Path({str(wheel)!r})\nwheel.write_bytes(wheel.read_bytes() + b'x')\n"
        "install(source, changes, build=False)\n"
    )
    done = subprocess.run([room.python, "-c", code], env=room.variables(), **QUIET)
    assert "GrinningFaceError: acme-moved==0.1.0: pip failed (exit code 1)" in done.stderr
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    assert not room.has("acme-moved")
