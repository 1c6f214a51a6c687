"""Demonstrations recorded once for all tests of a session; not to be written to."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from gf_core.evaluation import Quiet, Request, Resources
from gf_core.plugins import PluginHost, load_plugins
from gf_core.training.demos.filming import Cameras
from gf_core.training.demos.recording import Demos, record

SIZE = (64, 64)
CAMERAS = Cameras(names=("third", "wrist"), size=SIZE, format="png")


@cache
def plugins() -> PluginHost:
    """All that are installed."""
    return load_plugins()


def record_few(
    out: Path,
    *,
    cameras: Cameras = CAMERAS,
    slots: int = 4,
    progress: Any = Quiet,
    host: PluginHost | None = None,
    **request: Any,
) -> Demos:
    """Record the first three scenes of gf/smoke@1, or what ``request`` says."""
    asked = Request(**{"suite": "gf/smoke@1", "policy": "gf/expert-v1", "limit": 3, **request})
    resources = Resources(slots=slots, threads=1, in_process=True)
    return record(asked, cameras, host=host or plugins(), out=out, resources=resources, progress=progress)


def demos(base: Path) -> Path:
    """Three episodes of the expert by two cameras, recorded under ``base`` when first asked for."""
    path = base / "demos"
    if not (path / "meta" / "grinningface.json").exists():
        record_few(path)
    return path
