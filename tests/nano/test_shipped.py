"""The nano model that comes with the program: the one that its card describes, and it knows the cards before any training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import gf_policies.nano
from gf_core.canonical import sha256
from gf_core.evaluation.environment import load_deck
from gf_core.evaluation.suites import load_suite
from gf_core.plugins import PluginHost, load_plugins
from gf_core.schemas import validate_config
from gf_core.training.probe.answers import answer, read
from gf_core.training.probe.material import add_suite
from gf_core.training.probe.models import Models
from gf_core.training.probe.questions import WHICH, Material, Wordings
from gf_core.training.probe.results import Asking
from gf_policies.backbones.hf_vlm import HFVLM
from gf_policies.nano.measuring import measure
from gf_policies.nano.things import things_of

FOLDER = Path(gf_policies.nano.__file__).with_name("model")


def silent(doing: str, done: int, of: int) -> None:
    """Nothing."""


@pytest.fixture(scope="module")
def host() -> PluginHost:
    return load_plugins()


@pytest.fixture(scope="module")
def nano(host: PluginHost) -> HFVLM:
    torch.set_num_threads(1)
    spec = host.backbones.get("gf/nano-v1")
    assert spec.config_schema is not None
    backbone = host.backbones.load("gf/nano-v1")(validate_config({}, spec.config_schema, source="gf/nano-v1"))
    assert isinstance(backbone, HFVLM)
    return backbone


def test_the_card_is_about_these_weights_and_these_decks(host: PluginHost) -> None:
    card = json.loads((FOLDER / "pretraining.json").read_text())
    weights = (FOLDER / "model.safetensors").read_bytes()
    assert card["weights_sha256"] == sha256(weights)
    assert len(weights) < 10_000_000
    assert card["weights_sha256"] in (FOLDER / "README.md").read_text()
    for name, content in card["identity"]["decks"].items():
        assert load_deck(name, host).sha256 == content


def test_it_answers_about_pages_as_its_card_says(nano: HFVLM, host: PluginHost) -> None:
    """On the first 40 of the card's pages; the card's share lies within three standard errors."""
    card = json.loads((FOLDER / "pretraining.json").read_text())
    things = things_of([load_deck(name, host) for name in card["identity"]["decks"]])
    found = measure(nano, things, card["settings"]["seed"], 40)
    for kind, (right, asked) in found.items():
        entry = card["results"][kind]
        share = entry["right"] / entry["asked"]
        spread = (max(share * (1 - share), 0.01) / asked) ** 0.5
        assert abs(right / asked - share) <= 3 * spread, (kind, right, asked, share)


def test_it_finds_the_card_in_robot_frames_before_any_training(nano: HFVLM, host: PluginHost) -> None:
    """Cards that no demonstration shows, through the robot's camera. docs/nano.md has the number over the whole split."""
    material = Material()
    suite = load_suite("gf/standard@1", host)
    add_suite(
        material,
        suite,
        host,
        limit=60,
        splits=("val",),
        camera="third",
        size=(224, 224),
        wordings=Wordings(),
        candidates=16,
        watch=silent,
    )
    material.questions = [question for question in material.questions if question.kind == WHICH]
    models = Models(before=nano, after=nano, added=range(0), device=torch.device("cpu"), batch_size=16)
    asking = Asking(material=material, found=read(material, models, silent), how="token")
    right = [answer(question, asking.found, material, asking.how)[0] == question.right for question in material.questions]
    assert len(right) == 60
    assert sum(right) >= 57  # 398 of all 400
