"""Where families of vision-language models differ in a way that the model's own files don't say: one row a quirk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family's peculiarities.

    Attributes:
        model_types: ``model_type`` of the configurations.
        prompt: what the model reads where there is no chat template, with ``{images}`` and ``{prompt}``.
        image_options: options of the image processor, for as few tokens an image as the family was trained with. A robot's
            camera sends small images several times a second, and tiles of one image multiply its tokens.
        answer_type: token type of answers and actions; everything before them has type 0.
        needs_image: whether the processor can't do without an image; samples without one then get a grey image.
        packages: what its processor needs beyond the extra ``train``.
    """

    model_types: tuple[str, ...] = ()
    prompt: str = ""
    image_options: Mapping[str, object] = field(default_factory=dict)
    answer_type: int = 0
    needs_image: bool = False
    packages: tuple[str, ...] = ()


FAMILIES: tuple[Family, ...] = (
    # The prefix looks both ways, the answer (type 1) backwards only; arXiv 2407.07726. The processor adds the end
    # of the prompt and refuses text without an image, which the model never saw in training.
    Family(model_types=("paligemma",), prompt="{images}{prompt}", answer_type=1, needs_image=True),
    # SmolVLA (arXiv 2506.01844) leaves out the tiles as well: 64 tokens an image.
    Family(model_types=("idefics3",), image_options={"do_image_splitting": False}),
    Family(model_types=("smolvlm",), image_options={"do_image_splitting": False}, packages=("num2words",)),
    Family(model_types=("internvl",), image_options={"crop_to_patches": False}),
)

PROJECTOR_PARTS = ("merger",)
"""Modules inside the vision tower that project into the language model (Qwen-VL, GLM-V): they have the role ``projector``."""


def family_of(model_type: str) -> Family:
    """The row of a ``model_type``, or a plain one."""
    return next((family for family in FAMILIES if model_type in family.model_types), Family())
