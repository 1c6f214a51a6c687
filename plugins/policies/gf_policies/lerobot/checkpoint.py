"""What a LeRobot checkpoint says of itself, read from its JSON without LeRobot, and without running anything that it names.

The format: ``config.json`` (draccus, by ``PreTrainedConfig``), ``model.safetensors``, ``policy_preprocessor.json`` and
``policy_postprocessor.json`` with the tensors that their steps name; LeRobot 0.4.4 and 0.6.1.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gf_core._shipped import folder_of
from gf_core.canonical import content_hash
from gf_core.errors import GrinningFaceError, MissingDependencyError

CONFIG, WEIGHTS = "config.json", "model.safetensors"
PREPROCESSOR, POSTPROCESSOR = "policy_preprocessor.json", "policy_postprocessor.json"
CONVENTIONS = "grinningface.json"

CHUNKED = ("act", "pi0", "pi05", "smolvla", "xvla")
"""Types whose ``predict_action_chunk`` is a function of the observation alone, and whose ``select_action`` plays its first
``n_action_steps`` actions (their ``modeling_*.py``, LeRobot 0.4.4)."""
DATA_ONLY = (*CHUNKED, "diffusion", "multi_task_dit", "tdmpc", "vqbet")
"""Types that run no code but LeRobot's: the others load models or tokenizers with ``trust_remote_code`` (0.4.4, 0.6.1)."""
DATA_ONLY_STEPS = (
    "absolute_actions_processor",
    "device_processor",
    "libero_processor",
    "normalizer_processor",
    "pi05_prepare_state_tokenizer_processor_step",
    "pi0_new_line_processor",
    "relative_actions_processor",
    "rename_observations_processor",
    "smolvla_new_line_processor",
    "to_batch_processor",
    "tokenizer_processor",
    "unnormalizer_processor",
    "xvla_add_domain_id",
    "xvla_image_scale",
    "xvla_image_to_float",
    "xvla_imagenet_normalize",
    "xvla_rotation_6d_to_axis_angle",
)
"""Steps of these types' processors. Of the others some load models with ``trust_remote_code``, whatever their settings say."""

_MAX_JSON_BYTES = 16 << 20
_PINNED = re.compile(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})")
_ON_HUB = re.compile(r"[\w.-]+/[\w.-]+(@.*)?")
_FILES = ("*.json", "*.safetensors")


@dataclass(frozen=True, kw_only=True)
class Feature:
    """An input or output: ``VISUAL``, ``STATE``, ``ENV``, ``ACTION``, …, and its shape without a batch, images ``(3, H, W)``."""

    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint.

    Attributes:
        folder: where it lies.
        type: LeRobot's name of the policy.
        inputs, outputs: feature to what it is.
        chunked: whether it may be asked for a chunk instead of at every step.
        play_steps: how many actions of a chunk are played.
        steps: registered names of its two processors' steps.
    """

    folder: Path
    type: str
    inputs: Mapping[str, Feature]
    outputs: Mapping[str, Feature]
    chunked: bool
    play_steps: int
    steps: tuple[str, ...]


def locate(name: str) -> Path:
    """The folder of a checkpoint; a pinned one of the hub is fetched first, its JSON and tensors only.

    Raises:
        GrinningFaceError: there is no such folder; a hub id without a commit; it can't be fetched.
    """
    folder = folder_of(name, where="checkpoint")
    if folder.is_dir():
        return folder
    pinned = _PINNED.fullmatch(name)
    if pinned is None:
        on_hub = _ON_HUB.fullmatch(name)
        hint = f"of the hub, only a commit is taken: {name.partition('@')[0]}@ and its 40 hex digits" if on_hub else ""
        raise GrinningFaceError(f"there is no folder {name!r}", where="checkpoint", hint=hint)
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "huggingface_hub isn't installed", where="checkpoint", hint="pip install 'grinningface[lerobot]'"
        ) from error
    try:
        return Path(snapshot_download(pinned[1], revision=pinned[2], allow_patterns=list(_FILES)))
    except (OSError, ValueError) as error:  # the hub's errors are of both kinds
        raise GrinningFaceError(f"it can't be fetched ({error!s:.300})", where=name) from error


def read_checkpoint(folder: Path, *, trust_remote_code: bool) -> Checkpoint:
    """What a checkpoint says of itself.

    Raises:
        GrinningFaceError: a file is missing or isn't as LeRobot writes it; it would have to run code that isn't LeRobot's.
    """
    for name, hint in ((CONFIG, ""), (WEIGHTS, ""), (PREPROCESSOR, _MIGRATE), (POSTPROCESSOR, _MIGRATE)):
        if not (folder / name).is_file():
            hint = hint or "give the folder pretrained_model of a LeRobot checkpoint"
            raise GrinningFaceError(f"it has no {name}", where=str(folder), hint=hint)
    config = _read(folder / CONFIG)
    kind = config.get("type")
    if not isinstance(kind, str):
        raise GrinningFaceError("it doesn't say its type", where=str(folder / CONFIG))
    if config.get("use_peft"):
        raise GrinningFaceError(
            "it is an adapter, not a whole policy", where=str(folder), hint="merge it into its base with PEFT"
        )
    steps = tuple(step for name in (PREPROCESSOR, POSTPROCESSOR) for step in _steps(folder / name, trusted=trust_remote_code))
    if not trust_remote_code and kind not in DATA_ONLY:
        raise _runs_code(f"policies of type {kind!r}", folder / CONFIG)
    seen, execute = _count(config, "n_obs_steps", folder), _count(config, "n_action_steps", folder)
    return Checkpoint(
        folder=folder,
        type=kind,
        inputs=_features(config, "input_features", folder),
        outputs=_features(config, "output_features", folder),
        chunked=kind in CHUNKED and seen == 1 and config.get("temporal_ensemble_coeff") is None,
        play_steps=execute,
        steps=steps,
    )


def fingerprint(folder: Path) -> str:
    """Hash of every JSON and safetensors file in it. Reads the weights once, but doesn't load them."""
    return content_hash({path.name: _digest(path) for path in sorted({p for glob in _FILES for p in folder.glob(glob)})})


_MIGRATE = "LeRobot's migrate_policy_normalization makes one of a checkpoint of before 0.4"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ValueError(f"larger than {_MAX_JSON_BYTES >> 20} MB")
        document = json.loads(path.read_bytes())
        if not isinstance(document, dict):
            raise ValueError("not an object")
    except (OSError, ValueError, RecursionError) as error:
        raise GrinningFaceError(f"isn't as LeRobot writes it ({error!s:.200})", where=str(path)) from error
    return document


def _steps(path: Path, *, trusted: bool) -> Iterator[str]:
    """Names of a processor's steps. A step without a registered name is a class of any module, which would be imported."""
    steps = _read(path).get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise GrinningFaceError("it has no list of steps", where=str(path))
    for number, step in enumerate(steps):
        name, where = step.get("registry_name"), f"{path}#/steps/{number}"
        if not trusted and name not in DATA_ONLY_STEPS:
            raise _runs_code(f"the step {name or step.get('class')!s:.200}", where)
        file = step.get("state_file")
        if file is not None and not (isinstance(file, str) and Path(file).name == file and (path.parent / file).is_file()):
            raise GrinningFaceError(f"there is no file {file!r:.200} in it", where=where)
        yield str(name or step.get("class"))


def _runs_code(what: str, where: Path | str) -> GrinningFaceError:
    hint = "read what would run, then --set trust_remote_code=true, best with --isolate"
    return GrinningFaceError(f"{what} can run code that isn't LeRobot's", where=str(where), hint=hint)


def _features(config: Mapping[str, Any], key: str, folder: Path) -> dict[str, Feature]:
    try:
        return {
            str(name): Feature(kind=str(one["type"]), shape=tuple(int(n) for n in one["shape"]))
            for name, one in (config.get(key) or {}).items()
        }
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise GrinningFaceError(f"{key} isn't as LeRobot writes it", where=str(folder / CONFIG)) from error


def _count(config: Mapping[str, Any], key: str, folder: Path) -> int:
    value = config.get(key, 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise GrinningFaceError(f"{key} is {value!r:.100}, not a number of steps", where=str(folder / CONFIG))
    return value
