"""What a model of transformers is made of: its parameters' roles, and its layers in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import BACKBONE_ROLES, Role
from gf_policies.backbones.families import PROJECTOR_PARTS


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A model's parts.

    Attributes:
        roles: role to names of parameters, each in exactly one role, tied ones by the first of their names.
        blocks: role to names of the modules that are its layers, first to last; none for the projector.
    """

    roles: Mapping[Role, tuple[str, ...]]
    blocks: Mapping[Role, tuple[str, ...]]


def parts_of(module: PreTrainedModel, *, where: str) -> Parts:
    """The parts of a model.

    Raises:
        GrinningFaceError: no image encoder, decoder, image token or output embeddings can be told apart in it.
    """
    base, output = module.base_model, module.get_output_embeddings()
    vision, decoder = module.get_encoder("image"), module.get_decoder()
    if base is module or output is None or decoder in (module, base) or vision in (module, base, decoder):
        raise GrinningFaceError(
            f"{type(module).__name__} has no image encoder beside a decoder with output embeddings", where=where
        )
    if not isinstance(getattr(module.config, "image_token_id", None), int):
        raise GrinningFaceError(f"{type(module).__name__} has no token that stands for images", where=where)
    language = {id(part) for root in (decoder, output, module.get_input_embeddings()) for part in root.parameters()}
    seen = {id(part) for name, part in vision.named_parameters() if not _projects(name)}
    roles: dict[Role, list[str]] = {role: [] for role in BACKBONE_ROLES}
    for name, part in module.named_parameters():
        role = "language" if id(part) in language else "vision" if id(part) in seen else "projector"
        roles[role].append(name)
    names = {id(part): name for name, part in module.named_modules()}
    stacks = {"vision": _stack(vision), "language": _stack(decoder)}
    if any(stack is None for stack in stacks.values()):
        raise GrinningFaceError(f"{type(module).__name__} has no stack of layers", where=where)
    blocks = {role: tuple(names[id(block)] for block in stack) for role, stack in stacks.items() if stack is not None}
    return Parts(roles={role: tuple(found) for role, found in roles.items()}, blocks=blocks)


def keep_layers(module: PreTrainedModel, count: int, *, where: str) -> None:
    """Drop all but the first ``count`` layers of the language model; 0 keeps all.

    Raises:
        GrinningFaceError: it has fewer.
    """
    decoder, config = module.get_decoder(), module.config.get_text_config()
    stack = _stack(decoder)
    if not count or stack is None:
        return
    if count > len(stack):
        raise GrinningFaceError(f"it has {len(stack)} layers, not {count}", where=where, hint="lower `layers`")
    del stack[count:]
    config.num_hidden_layers = count
    if kinds := getattr(config, "layer_types", None):
        config.layer_types = list(kinds)[:count]


def _stack(root: nn.Module) -> nn.ModuleList | None:
    """The largest list of modules outside the projector: the layers. (Lists within a layer are smaller than the layers.)"""
    lists = [part for name, part in root.named_modules() if isinstance(part, nn.ModuleList) and not _projects(name)]
    return max(lists, key=lambda part: sum(value.numel() for value in part.parameters()), default=None)


def _projects(name: str) -> bool:
    return any(word in step for step in name.split(".") for word in PROJECTOR_PARTS)
