from __future__ import annotations

from typing import Any

import pytest

from gf_core.errors import GrinningFaceError
from gf_core.training.mixture import Mixture, Share
from gf_core.training.samples import Source

from .tools import Given, film, questions, technique

SHAPES = {"items": {"local/shapes@1": ("cube", "ball")}, "details": {"suite": "local/shapes@1"}}
FACES = {"items": {"local/faces@1": ("ghost", "cat")}, "details": {"suite": "local/faces@1"}}


def sources(other: dict[str, Any] | None = None) -> dict[str, Source]:
    return {
        "other": Given("other", film(2, 0), robot=True, **(SHAPES if other is None else other)),
        "demos": Given("demos", film(2, 1), robot=True, **FACES),
        "vqa": Given("vqa", questions("vqa/x"), robot=False),
    }


def mixture(*names: str) -> Mixture:
    return Mixture(shares=tuple(Share(source=name, weight=2) for name in names))


def test_target_data_leaves_the_stage_and_is_what_was_compared() -> None:
    method = technique("robot-pretraining", source="other")
    given = sources()
    assert method.sources(given) is given
    assert method.mixture(mixture("demos", "other", "vqa")) == mixture("other", "vqa")
    assert method.report() == {"source": "other", "targets": ["demos"]}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({**SHAPES, "items": {"local/faces@1": ("cat", "dog")}}, "both show 1 items of local/faces@1: cat"),
        ({**SHAPES, "details": {"suite": "local/faces@1"}}, "come from the same suite, local/faces@1"),
        ({**SHAPES, "sha256": "demos"}, "hold the same files"),
        ({**SHAPES, "items": None}, "can't be compared: 'other' doesn't say which items it shows"),
    ],
)
def test_what_it_shares_with_the_target_is_an_error(other: dict[str, Any], message: str) -> None:
    with pytest.raises(GrinningFaceError, match=message):
        technique("robot-pretraining", source="other").sources(sources(other))


def test_unknown_items_can_be_accepted_but_known_ones_still_count() -> None:
    method = technique("robot-pretraining", source="other", unknown_items=True)
    method.sources(sources({**SHAPES, "items": None}))
    with pytest.raises(GrinningFaceError, match="both show"):
        method.sources(sources({"items": FACES["items"]}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "othr"}, "no source 'othr'; did you mean 'other'"),
        ({"source": "vqa"}, "'vqa' isn't robot data"),
        ({"source": "other", "targets": ["vqa"]}, "'vqa' isn't robot data"),
        ({"source": "other", "targets": ["other"]}, "no target data to compare"),
    ],
)
def test_names_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(GrinningFaceError, match=message):
        technique("robot-pretraining", **settings).sources(sources())


def test_without_target_or_share_it_says_so() -> None:
    method = technique("robot-pretraining", source="other")
    with pytest.raises(GrinningFaceError, match="no target data to compare"):
        method.sources({"other": sources()["other"]})
    method.sources(sources())
    with pytest.raises(GrinningFaceError, match="the stage doesn't read 'other'"):
        method.mixture(mixture("demos", "vqa"))
