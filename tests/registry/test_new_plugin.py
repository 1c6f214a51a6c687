"""`gf plugins new`: what it writes installs, passes the kit and its own tests as it is."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gf_core.cli.main import main
from gf_core.plugin_template import KINDS, write_plugin
from gf_core.testing.projects import as_installed

ROOT = Path(__file__).parents[2]
MARK = r"@[A-Z][A-Z_0-9]+@"


def python(*arguments: str, path: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture
def project(request: pytest.FixtureRequest, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Path:
    assert main(["plugins", "new", request.param, f"acme-{request.param}", "--out", str(tmp_path / "project")]) == 0
    assert "pip install -e" in capfd.readouterr().err
    return tmp_path / "project"


@pytest.mark.parametrize("project", list(KINDS), indirect=True)
def test_it_passes_the_kit_and_its_own_tests(project: Path, tmp_path: Path) -> None:
    done = python("-m", "gf_core.cli.main", "plugins", "check", str(project), path="", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 failed, 0 skipped" in done.stdout
    # As pip would leave it, without pip: a folder with its metadata on the path.
    name = next(project.glob("acme_*")).name
    info = tmp_path / "site" / f"{name}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[grinningface]\n{name} = {name}.plugin\n")
    path = f"{tmp_path / 'site'}{os.pathsep}{project}"
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", path=path, cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    left = [
        file for file in project.rglob("*.*") if file.suffix != ".png" and file.is_file() and re.search(MARK, file.read_text())
    ]
    assert left == []


@pytest.mark.full
@pytest.mark.parametrize("project", list(KINDS), indirect=True)
def test_pip_installs_it(project: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    done = python("-m", "pip", "install", "--no-deps", "--target", str(target), str(project), path="", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    name = next(project.glob("acme_*")).name.replace("_", "-")
    done = python("-m", "gf_core.cli.main", "plugins", "check", name, path=str(target), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name", ["gf", "local", "grinningface", "dist", "runs", "Acme", "acme_vla", "-acme", "acme-", "1acme", "a" * 61, ""]
)
def test_names_that_cannot_be(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "new", "policy", "--out", str(tmp_path / "x"), "--", name]) == 2
    assert "can't be its name" in capfd.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("lambda", "a word of Python"),
        ("json", "a module of Python"),
        ("gf-core", "of this program"),
        ("numpy", "another module has"),
        ("pillow", "another distribution called 'pillow' is installed"),
    ],
)
def test_names_of_other_modules(name: str, why: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "new", "policy", name, "--out", str(tmp_path / "x")]) == 2
    assert why in capfd.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_project_that_is_installed_from_there_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    info = tmp_path / "site" / "acme_vla-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-vla\nVersion: 0.1.0\n")
    url = (tmp_path / "here").as_uri()
    (info / "direct_url.json").write_text(json.dumps({"url": url, "dir_info": {"editable": True}}))
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert main(["plugins", "new", "policy", "acme-vla", "--out", str(tmp_path / "elsewhere")]) == 2
    assert "is installed" in capfd.readouterr().err
    assert main(["plugins", "new", "policy", "acme-vla", "--out", str(tmp_path / "here")]) == 0


def test_what_lies_deeper_in_a_package_is_not_ignored(tmp_path: Path) -> None:
    """Hatchling leaves out of a wheel what .gitignore names."""
    write_plugin("policy", "acme-vla", tmp_path / "p")
    (tmp_path / "p/acme_vla/runs").mkdir()
    (tmp_path / "p/acme_vla/runs/kept.json").write_text("{}")
    (tmp_path / "p/runs").mkdir()
    (tmp_path / "p/runs/left.json").write_text("{}")
    git = ["git", "-C", str(tmp_path / "p")]
    subprocess.run([*git, "init", "-q"], check=True)
    listed = subprocess.run([*git, "status", "--short", "-uall"], check=True, capture_output=True, text=True).stdout
    assert "acme_vla/runs/kept.json" in listed
    assert "left.json" not in listed


def test_nothing_is_written_over(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["plugins", "new", "policy", "acme", "--out", str(tmp_path)]) == 2
    assert "holds something already" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_of_its_name_is_no_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gf_envs").mkdir()
    assert main(["plugins", "check", "gf_envs"]) == 0
    assert "project" not in capfd.readouterr().err
    assert main(["plugins", "check", "./gf_envs"]) == 2
    assert "no pyproject.toml" in capfd.readouterr().err
    assert main(["plugins", "check", "./nowhere"]) == 2
    assert "./nowhere: there is no such directory" in capfd.readouterr().err


def test_a_project_that_is_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "check", str(tmp_path)]) == 2
    assert "no pyproject.toml can be read" in capfd.readouterr().err
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'acme'\n")
    assert main(["plugins", "check", str(tmp_path)]) == 2
    assert "no plugin in [project.entry-points.grinningface]" in capfd.readouterr().err


def test_a_projects_package_hides_an_installed_one_and_its_scripts_hide_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plugin("policy", "acme-vla", tmp_path / "p")
    for script in ("p/colorsys.py", "p/acme_helpers.py", "site/acme_vla/__init__.py"):
        (tmp_path / script).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / script).write_text("")
    monkeypatch.syspath_prepend(tmp_path / "site")

    def found(module: str) -> Path:
        spec = importlib.util.find_spec(module)
        assert spec is not None
        return Path(str(spec.origin))

    with as_installed(tmp_path / "p"):
        assert found("acme_vla") == tmp_path / "p/acme_vla/__init__.py"
        assert found("acme_helpers") == tmp_path / "p/acme_helpers.py"
        assert tmp_path not in found("colorsys").parents
    assert found("acme_vla") == tmp_path / "site/acme_vla/__init__.py"


def test_a_broken_project_fails(tmp_path: Path) -> None:
    write_plugin("policy", "acme-broken", tmp_path / "p")
    file = tmp_path / "p" / "acme_broken" / "policy.py"
    file.write_text(file.read_text().replace("np.float32)", "np.float64)"))
    done = python("-m", "gf_core.cli.main", "plugins", "check", str(tmp_path / "p"), path="", cwd=tmp_path)
    assert done.returncode == 1
    assert "failed   GF511  acme-broken/first-v1" in done.stdout
