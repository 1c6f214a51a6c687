"""Configuration, weights and processor of a model of Hugging Face transformers, strictly: what is missing is an error."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.utils import CHAT_TEMPLATE_FILE, PROCESSOR_NAME
from transformers.utils.logging import disable_progress_bar

from gf_core._shipped import folder_of
from gf_core.errors import GrinningFaceError, MissingDependencyError
from gf_policies.backbones.families import Family

SHOWN = 5
"""Names of weights that an error lists; the rest is counted."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a model comes from: hub id or local folder, revision, and whether the hub may be asked."""

    model: str
    revision: str = "main"
    local_files_only: bool = False

    @staticmethod
    def of(config: Mapping[str, Any]) -> Origin:
        """From the backbone's settings. ``package:NAME/FOLDER`` is a folder inside an installed package.

        Raises:
            GrinningFaceError: ``model`` looks like a folder, and there is none.
        """
        name = str(config["model"])
        folder = folder_of(name, where="backbone.model")
        if folder.is_dir():
            name = str(folder)
        elif name.startswith((".", "~", os.sep)) or name.count("/") > 1:
            raise GrinningFaceError(f"there is no folder {name!r}", where="backbone.model")
        return Origin(model=name, revision=config["revision"], local_files_only=config["local_files_only"])

    def arguments(self) -> dict[str, Any]:
        """For every ``from_pretrained``."""
        return {"revision": self.revision, "local_files_only": self.local_files_only}


def load_config(origin: Origin) -> PreTrainedConfig:
    """The model's configuration.

    Raises:
        GrinningFaceError: it can't be read, or isn't one of a decoder-only vision-language model.
    """
    with reported(origin, "configuration"):
        config = AutoConfig.from_pretrained(origin.model, **origin.arguments())
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise GrinningFaceError(
            f"a {config.model_type!r} model isn't a vision-language model that AutoModelForImageTextToText loads",
            where=origin.model,
        )
    if config.is_encoder_decoder:
        raise GrinningFaceError(
            f"a {config.model_type!r} model is an encoder-decoder; a backbone must be decoder-only", where=origin.model
        )
    return config


def load_model(origin: Origin, config: PreTrainedConfig, *, attention: str | None) -> PreTrainedModel:
    """The model with its weights, float32, on the CPU, in evaluation mode.

    Raises:
        GrinningFaceError: weights are missing, left over, or of another shape; they are named.
    """
    disable_progress_bar()  # a bar of its own in the middle of our displays and logs
    with reported(origin, "weights"):
        model, info = AutoModelForImageTextToText.from_pretrained(
            origin.model,
            config=config,
            dtype=torch.float32,
            attn_implementation=attention,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are listed beside the others, below
            **origin.arguments(),
        )
    wrong = {
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
        "of another shape": sorted(str(entry[0]) for entry in info["mismatched_keys"]),
        "unreadable": sorted(str(entry) for entry in info.get("error_msgs") or ()),
    }
    if found := [f"{len(names)} {kind} ({_few(names)})" for kind, names in wrong.items() if names]:
        raise GrinningFaceError(
            f"the weights don't fit the configuration: {'; '.join(found)}",
            where=origin.model,
            hint="nothing was filled in with random values; get the whole checkpoint, or set init=random to train from scratch",
        )
    return model


def random_model(config: PreTrainedConfig, *, attention: str | None, seed: int) -> PreTrainedModel:
    """A model of this architecture with weights drawn from the seed, as :func:`load_model` gives it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32, attn_implementation=attention)
    return model.eval()


def load_processor(origin: Origin, config: PreTrainedConfig, family: Family) -> ProcessorMixin:
    """The model's processor, with the image processor that computes in Pillow where the family has one: its pixels are the same
    on every machine, with or without torchvision. A video processor would need torchvision, and videos aren't used, so there is
    none.

    Raises:
        MissingDependencyError: its processor needs a package that isn't installed.
        GrinningFaceError: a part of it can't be read.
    """
    if missing := [name for name in family.packages if importlib.util.find_spec(name) is None]:
        raise MissingDependencyError(
            f"the processor of {config.model_type} models needs {' and '.join(missing)}",
            where=origin.model,
            hint=f"pip install {' '.join(missing)}",
        )
    arguments = origin.arguments()
    with reported(origin, "processor"):
        plain = PROCESSOR_MAPPING[type(config)]
        settings, _ = plain.get_processor_dict(origin.model, **arguments)
        parts: dict[str, object] = {
            "image_processor": AutoImageProcessor.from_pretrained(origin.model, backend="pil", **arguments),
            "tokenizer": AutoTokenizer.from_pretrained(origin.model, **arguments),
        }
        wanted = plain.get_attributes()
        if "video_processor" in wanted:
            parts["video_processor"] = settings.get("video_processor")
        if unknown := [name for name in wanted if name not in parts]:
            raise GrinningFaceError(f"the processor wants a {unknown[0]}, which backbones don't use", where=origin.model)
        return _without_videos(plain).from_args_and_dict([parts[name] for name in wanted], settings)


def save_processor(processor: ProcessorMixin, directory: Path) -> None:
    """Write a processor that :func:`load_processor` gave, so that it gives it again."""
    directory.mkdir(parents=True, exist_ok=True)
    processor.tokenizer.save_pretrained(directory)
    settings = {name: value for name, value in processor.to_dict().items() if value is not None}
    (directory / PROCESSOR_NAME).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    if isinstance(processor.chat_template, str):
        (directory / CHAT_TEMPLATE_FILE).write_text(processor.chat_template)


def _without_videos(plain: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """The class, but one that takes whatever is given as its video processor."""

    class WithoutVideos(plain):  # type: ignore[misc]
        def check_argument_for_proper_class(self, argument_name: str, argument: object) -> object:
            if argument_name == "video_processor":
                return object
            return super().check_argument_for_proper_class(argument_name, argument)

        @classmethod
        def get_attributes(cls) -> list[str]:
            return list(plain.get_attributes())

    WithoutVideos.__name__ = plain.__name__  # it is written into processor_config.json
    return WithoutVideos


@contextmanager
def reported(origin: Origin, part: str) -> Iterator[None]:
    """Turn what transformers raises while loading into an error for the user.

    Raises:
        GrinningFaceError: instead of whatever was raised.
    """
    try:
        yield
    except ImportError as error:
        raise MissingDependencyError(
            f"its {part} needs a package that isn't installed: {_first_line(error)}",
            where=origin.model,
            hint="pip install what the message names, or pip install 'grinningface[train]'",
        ) from error
    except OSError as error:
        raise GrinningFaceError(
            f"its {part} can't be read: {_first_line(error)}",
            where=origin.model,
            hint="check the name, the connection to the hub, and whether the model wants you to accept its licence first",
        ) from error
    except (ValueError, KeyError, TypeError, RuntimeError, AttributeError, SafetensorError) as error:
        raise GrinningFaceError(
            f"its {part} can't be used: {type(error).__name__}: {_first_line(error)}", where=origin.model
        ) from error


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _few(names: list[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
