"""Makes a study's data, once for all cells, with what makes it everywhere else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core._problems import printable
from gf_core.errors import GrinningFaceError
from gf_core.evaluation import Progress, Request, Resources
from gf_core.studies.document import Document, Study
from gf_core.studies.folder import StudyFolder
from gf_core.studies.tasks import data_path

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

_GF = (sys.executable, "-m", "gf_core.cli.main")


def demos_request(entry: Document) -> Request:
    """What is played for demonstrations."""
    return Request(
        suite=entry["suite"],
        policy=entry["policy"],
        policy_config=entry["settings"],
        env_config=entry["env"],
        policy_seed=entry["policy_seed"],
        limit=entry["limit"],
    )


def make_data(
    study: Study, folder: StudyFolder, names: Iterable[str], host: PluginHost, progress: Callable[[], Progress]
) -> None:
    """Make what isn't there yet, or go on with it.

    Args:
        study, folder: the study.
        names: of the data that is needed.
        host: the plugins.
        progress: makes a display of a run.

    Raises:
        GrinningFaceError: it can't be made.
        KeyboardInterrupt: what is made is kept.
    """
    from gf_core.training.demos.filming import Cameras
    from gf_core.training.demos.recording import record

    for name in names:
        entry, place = study.data[name], folder.data(name)
        if (demos := entry.get("demos")) is not None:
            cameras = Cameras(names=tuple(demos["cameras"]), size=(demos["size"], demos["size"]), format=demos["format"])
            record(demos_request(demos), cameras, host=host, out=place, resources=Resources(), progress=progress)
        elif (conversations := entry.get("conversations")) is not None:
            _command(name, conversations, place, host.files)


def robot_data(study: Study, folder: StudyFolder, names: Iterable[str]) -> set[str]:
    """Those of the data that are robot data: LeRobot data sets."""
    return {name for name in names if (data_path(study, folder, name) / "meta" / "info.json").is_file()}


def command_words(entry: Document) -> list[str]:
    """A command that makes conversations, without ``gf`` and ``--out``."""
    words = [*entry["command"], *entry["arguments"]]
    for option, value in entry["options"].items():
        words += _option(option, value)
    return words


def check_command(entry: Document) -> None:
    """Raises GrinningFaceError unless there is such a command."""
    asked = [*_GF, *entry["command"], "--help"]
    if (answer := subprocess.run(asked, capture_output=True, text=True, check=False)).returncode:
        raise GrinningFaceError(_last(answer.stderr), where=f"gf {' '.join(entry['command'])}")


def _command(name: str, entry: Document, place: Path, plugin_files: Sequence[Path]) -> None:
    plugins = [word for file in plugin_files for word in ("--plugin", str(file))]
    words = [*command_words(entry), "--out", str(place), *plugins]
    place.parent.mkdir(parents=True, exist_ok=True)
    log = place.with_name(f"{name}.log")
    with log.open("w", encoding="utf-8") as output:
        made = subprocess.run([*_GF, *words], stdout=output, stderr=subprocess.STDOUT, check=False)
    if made.returncode:
        raise GrinningFaceError(_last(log.read_text(encoding="utf-8")), where=f"data {name}: gf {' '.join(words)}")


def _option(option: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{option}"] if value else []
    return [word for one in (value if isinstance(value, list) else [value]) for word in (f"--{option}", str(one))]


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return printable(lines[-1]).removeprefix("error: ") if lines else "it failed without a word"


def described(entry: Mapping[str, Any]) -> str:
    """How data is made, in a line."""
    if (demos := entry.get("demos")) is not None:
        return f"demonstrations of {demos['policy']} on {demos['suite']}"
    if (conversations := entry.get("conversations")) is not None:
        return f"gf {' '.join(command_words(conversations))}"
    return str(entry["path"])
