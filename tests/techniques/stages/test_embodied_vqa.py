from __future__ import annotations

from collections.abc import Mapping

import pytest

from gf_core.errors import GrinningFaceError
from gf_core.training.mixture import Mixture, Share
from gf_core.training.samples import Sample, Source, Wanted

from .tools import Given, begin, film, moved, policy, questions, technique, train, trainable, values

DOMAINS = ("vqa/spatial", "vqa/other", "vqa/temporal", "vqa/spatial", "vqa/naming")


def sources() -> dict[str, Source]:
    return {
        "robot": Given("robot", film(2, 0), robot=True),
        "vqa": Given("vqa", questions(*DOMAINS), robot=False),
        "odd": Given("odd", questions("vqa/other"), robot=False),
    }


def mixture(*names: str) -> Mixture:
    return Mixture(shares=tuple(Share(source=name) for name in names))


def kept(found: Mapping[str, Source], name: str) -> list[str]:
    return [found[name].sample(index, Wanted()).key for index in range(len(found[name]))]


def test_only_questions_of_the_chosen_domains_are_kept_in_order() -> None:
    given = sources()
    found = technique("embodied-vqa", domains=["temporal", "spatial"]).sources(given)
    assert kept(found, "vqa") == ["vqa/0", "vqa/2", "vqa/3"]
    assert found["robot"] is given["robot"]
    whole, part = given["vqa"].manifest(), found["vqa"].manifest()
    assert part.samples == 3
    assert part.sha256 != whole.sha256
    assert kept(technique("embodied-vqa").sources(given), "vqa") == [f"vqa/{i}" for i in range(5)]


def test_a_source_that_knows_its_domains_is_not_read_for_them() -> None:
    class Knowing(Given):
        reads = 0

        def domain(self, index: int) -> str:
            return DOMAINS[index]

        def sample(self, index: int, wanted: Wanted) -> Sample:
            self.reads += 1
            return super().sample(index, wanted)

    source = Knowing("vqa", questions(*DOMAINS), robot=False)
    found = technique("embodied-vqa", domains=["spatial"]).sources({"vqa": source})
    assert len(found["vqa"]) == 2
    assert source.reads == 0
    assert kept(found, "vqa") == ["vqa/0", "vqa/3"]


def test_a_domain_that_nothing_is_of() -> None:
    found = technique("embodied-vqa", domains=["spatial"]).sources(sources())
    with pytest.raises(GrinningFaceError, match=r"'odd' has no question of vqa/spatial; it has vqa/other"):
        len(found["odd"])


def test_robot_data_has_no_place_in_the_stage() -> None:
    method = technique("embodied-vqa")
    method.sources(sources())
    assert method.mixture(mixture("vqa", "odd")) == mixture("vqa", "odd")
    with pytest.raises(GrinningFaceError, match="'robot' is robot data"):
        method.mixture(mixture("vqa", "robot"))


@pytest.mark.parametrize(("share", "first"), [(0.25, 3), (0.3, 2), (1.0, 0)])
def test_the_last_part_of_the_vision_tower_trains(share: float, first: int) -> None:
    vla = policy()
    begin(vla, technique("embodied-vqa", vision=share))
    wanted = tuple(f"model.vision.blocks.{index}." for index in range(first, 4))
    assert trainable(vla) == {name for name in values(vla) if name.startswith(wanted)}
    assert set(vla.techniques[0].report()["vision"]) == trainable(vla)


def test_with_lora_it_trains_adapters_and_vision_on_answers_alone() -> None:
    vla = policy(arms=("regression", {"width": 16, "blocks": 1}))
    begin(vla, technique("embodied-vqa"), technique("lora", r=2))
    before, seen = values(vla), film(3, 0)
    asked = [Sample(frames=one.frames[:1], prompt="where", answer=one.prompt, domain="vqa/spatial") for one in seen]
    assert train(vla, asked, steps=2, batch=3, rate=1e-2).keys() == {"text"}
    changed = moved(before, vla)
    assert any("lora_B" in name for name in changed)
    assert any(name.startswith("model.vision.blocks.3.") for name in changed)
    assert all("lora_" in name or name.startswith("model.vision.blocks.3.") for name in changed)


def test_without_a_share_of_vision_the_tower_is_left_to_others() -> None:
    assert technique("embodied-vqa").updates == ("vision",)
    assert technique("embodied-vqa", vision=0).updates == ()
    vla = policy()
    begin(vla, technique("embodied-vqa", vision=0))
    assert not trainable(vla)


def test_action_heads_have_no_place_in_the_stage() -> None:
    vla = policy(arms=("regression", {"width": 16, "blocks": 1}))
    with pytest.raises(GrinningFaceError, match="'arms' can't learn from questions"):
        begin(vla, technique("embodied-vqa"), heads=("arms",))
