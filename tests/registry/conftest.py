"""Fake distributions: real .dist-info directories on sys.path, so that importlib.metadata and the loader see what pip leaves."""

from __future__ import annotations

import importlib
import itertools
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gf_core.plugins import PluginHost, load_plugins

HEADER = """\
from gf_core.hookspecs import hookimpl
from gf_core.specs import DeckSpec, HeadSpec, PolicySpec, SuiteSpec

"""

_numbers = itertools.count()


@dataclass
class Site:
    """A folder that stands for site-packages."""

    root: Path
    modules: list[str] = field(default_factory=list)

    def add(
        self,
        distribution: str,
        plugins: Mapping[str, str] | str,
        *,
        version: str = "1.0",
        commands: Mapping[str, str] | None = None,
        folder: str = "",
    ) -> None:
        """Install a distribution with plugins (entry-point name to source) and commands (name to value)."""
        number = next(_numbers)
        root = self.root / folder
        root.mkdir(exist_ok=True)
        lines = ["[grinningface]"]
        for name, source in ({"main": plugins} if isinstance(plugins, str) else plugins).items():
            module = f"gf_test_{number}_{name.replace('-', '_')}"
            self.modules.append(module)
            (root / f"{module}.py").write_text(HEADER + textwrap.dedent(source), encoding="utf-8")
            lines.append(f"{name} = {module}")
        lines += ["[grinningface.commands]", *(f"{name} = {value}" for name, value in (commands or {}).items())]
        self.write(distribution, "\n".join(lines), version=version, folder=folder)

    def write(self, distribution: str, entry_points: str, *, version: str = "1.0", folder: str = "") -> None:
        """Install a distribution with this entry_points.txt."""
        root = self.root / folder
        info = root / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(entry_points)
        importlib.invalidate_caches()

    def load(self, *, files: tuple[Path, ...] = (), **environ: str) -> PluginHost:
        """Load everything but grinningface's own plugins, in this process."""
        own = ",".join(filter(None, ["grinningface", environ.pop("GF_DISABLE_PLUGINS", "")]))
        return load_plugins(files, {"GF_DISABLE_PLUGINS": own, **environ})

    def gf(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the program in a process of its own."""
        path = os.pathsep.join([str(self.root), *filter(None, [os.environ.get("PYTHONPATH", "")])])
        return subprocess.run(
            [sys.executable, "-m", "gf_core.cli.main", *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **environ},
            timeout=60,
            check=False,
        )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty site, on sys.path."""
    root = tmp_path / "site"
    root.mkdir()
    monkeypatch.syspath_prepend(str(root))
    made = Site(root)
    yield made
    for module in made.modules:
        sys.modules.pop(module, None)
