"""The distribution under examples/, really installed with pip, used through the program as a stranger would."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "grinningface-example"
PLAY = Path(__file__).parent / "play_example.py"

needs_the_checkout = pytest.mark.skipif(not EXAMPLE.is_dir(), reason="examples/ is part of the checkout, not of the wheel")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder into which pip installed the example, and nothing else."""
    assert importlib.util.find_spec("hatchling"), "the example is built with hatchling: pip install -e '.[dev]'"
    target = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(EXAMPLE)], check=True)
    return target


def run(installed: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(installed), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    environ = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environ, check=False)


def gf(installed: Path, *arguments: str) -> dict[str, object]:
    result = run(installed, "-m", "gf_core.cli.main", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    document: dict[str, object] = json.loads(result.stdout)
    return document


@needs_the_checkout
def test_it_brings_an_environment_a_policy_and_a_suite(installed):
    (plugin,) = gf(installed, "plugins", "show", "gf-example-shelf")["plugins"]
    assert (plugin["state"], plugin["reason"], plugin["warnings"]) == ("loaded", "", [])
    assert plugin["ids"] == ["gf-example-shelf/colour-seeker-v1", "gf-example-shelf/reach@1", "gf-example-shelf/shelf-v1"]
    spec = gf(installed, "show", "gf-example-shelf/shelf-v1")["spec"]
    assert spec["provenance"] == {"distribution": "gf-example-shelf", "version": "0.1.0", "plugin": "shelf"}


@needs_the_checkout
def test_its_suite_is_what_its_generator_writes(installed, tmp_path):
    written = run(installed, "-m", "gf_example_shelf.make_suite", str(tmp_path / "suite.json"))
    assert written.returncode == 0, written.stderr
    frozen = installed / "gf_example_shelf" / "suites" / "reach-1.json"
    assert (tmp_path / "suite.json").read_bytes() == frozen.read_bytes()
    assert gf(installed, "show", "gf-example-shelf/reach@1")["spec"]["sha256"] in written.stdout


@needs_the_checkout
def test_its_policy_solves_its_suite_in_its_environment(installed):
    played = run(installed, str(PLAY))
    assert played.returncode == 0, played.stderr
    result = json.loads(played.stdout)
    assert result["seeing"] == ["success"] * 24
    assert result["unread"] == ["horizon"] * 24  # nothing in the picture tells which ball is meant
    assert result["alone"] == result["together"] == result["replayed"]
