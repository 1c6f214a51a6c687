from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gf_core.cli.main import main
from gf_core.evaluation import Request, Resources, run_suite
from gf_core.leaderboard import Verdict, verify_file
from gf_core.leaderboard.pack import pack
from gf_core.plugins import PluginHost, load_plugins

from .forging import CARD, Forgery


@pytest.fixture(scope="session")
def host() -> PluginHost:
    return load_plugins()


@pytest.fixture(scope="session")
def smoke(host: PluginHost, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A run of a policy on gf/smoke@1, played once per session."""
    played: dict[tuple[str, int], Path] = {}

    def run(policy: str, seed: int = 0) -> Path:
        if (policy, seed) not in played:
            request = Request(suite="gf/smoke@1", policy=policy, policy_seed=seed)
            out = tmp_path_factory.mktemp("runs") / f"{policy.rpartition('/')[2]}-{seed}"
            run_suite(request, host=host, out=out, resources=Resources(in_process=True))
            played[(policy, seed)] = out
        return played[(policy, seed)]

    return run


@pytest.fixture
def gf(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The real program: exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def forge(smoke: Callable[..., Path], tmp_path: Path) -> Callable[..., Forgery]:
    """A copy of a run that can be tampered with; by default the expert's, said to be another policy's."""
    numbers = itertools.count(1)

    def make(policy: str = "gf/expert-v1", seed: int = 0) -> Forgery:
        forgery = Forgery(smoke(policy, seed), tmp_path / f"forged-{next(numbers)}")
        return forgery.relabel() if policy == "gf/expert-v1" else forgery

    return make


@pytest.fixture
def submit(host: PluginHost, tmp_path: Path) -> Callable[..., Path]:
    """Pack run directories with a card: ``name`` is the file's, ``titled`` the entry's."""

    def write(*runs: Path, name: str = "entry.zip", titled: str = CARD["name"], **card: Any) -> Path:
        return pack(list(runs), {**CARD, "name": titled, **card}, tmp_path / name, host).path

    return write


@pytest.fixture
def verdict(host: PluginHost, submit: Callable[..., Path]) -> Callable[..., Verdict]:
    """Pack and check."""

    def check(*runs: Path, **card: Any) -> Verdict:
        return verify_file(submit(*runs, **card), host, threads=1)

    return check
