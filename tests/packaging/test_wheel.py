"""The wheel, installed outside the checkout, is the whole product."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that has to succeed, run outside the checkout."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV") and not k.startswith("GF_")}
    environment["PYTHONSAFEPATH"] = "1"
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", out, ROOT, cwd=out)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, sharing this one's dependencies."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False)
    site = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # A .pth file shares our site-packages without running the .pth files in it, so not the editable install.
    (site / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "-q", "--target", site, wheel, cwd=home)
    return home / "bin" / "python"


def test_wheel_holds_the_packages_and_their_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"gf_core", "gf_envs", "gf_policies", "gf_schemas", "gf_techniques"}
    for needed in (
        "gf_core/py.typed",
        "gf_envs/decks/emoji_noto.png",
        "gf_envs/decks/OFL.txt",
        "gf_envs/decks/emoji_twemoji.png",
        "gf_envs/decks/CC-BY-4.0.txt",
        "gf_envs/suites/data/standard-1.json",
        "gf_schemas/suite-1.schema.json",
        "gf_techniques/recipes/lora.json",
        "gf_policies/nano/model/model.safetensors",
        "gf_policies/nano/vla/checkpoint.json",
        "gf_policies/nano/vla/links/00/01-robot.safetensors",
    ):
        assert needed in names
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 30_000_000


def test_installed_wheel_evaluates_a_policy(installed: Path, tmp_path: Path) -> None:
    where = run(installed, "-c", "import gf_core, gf_envs, gf_schemas; print(gf_core.__file__, gf_envs.__file__)", cwd=tmp_path)
    assert all("site-packages" in path and str(ROOT) not in path for path in where.split())
    gf = (installed, "-m", "gf_core.cli.main")
    plugins = json.loads(run(*gf, "plugins", "list", "--json", cwd=tmp_path))["plugins"]
    ours = {p["name"]: p["state"] for p in plugins if p["distribution"] == "grinningface"}
    assert ours == {"gf_envs": "loaded", "gf_policies": "loaded", "gf_techniques": "loaded"}
    run(*gf, "run", "gf/smoke@1", "--policy", "gf/expert-v1", "--out", "run", cwd=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "run" / "episodes.jsonl").read_text().splitlines()]
    assert [row["success"] for row in rows] == [True] * 12
