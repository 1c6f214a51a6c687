"""What is computed of an image is what is drawn in it, and moments are what they are called."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from gf_core.contracts import Images
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.faces import Face
from gf_envs.tabletop.render import Renderer, Shot
from gf_envs.vqa.making import Decks
from gf_envs.vqa.projection import BLOCK, TOOL, Projector, View
from gf_envs.vqa.replays import MOMENTS, Replay, moments

SIZE = 320


@pytest.fixture(scope="module")
def renderer(decks: Decks) -> Iterator[Renderer]:
    with contextlib.closing(Renderer(1, decks.decks.__getitem__)) as found:
        yield found


@pytest.fixture(scope="module")
def projector() -> Projector:
    return Projector()


def view(projector: Projector, one: Replay, moment: str, camera: str) -> View:
    return projector.view(one.qpos[moments(one)[moment]], one.mocap, len(one.scene.cards), camera)


def extent(mask: np.ndarray) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0] / SIZE, rows[0] / SIZE, (columns[-1] + 1) / SIZE, (rows[-1] + 1) / SIZE


@pytest.mark.parametrize("camera", ["third", "demo", "wrist"])
def test_the_block_is_drawn_in_its_box(camera: str, replays: list[Replay], renderer: Renderer, projector: Projector) -> None:
    for one in replays[:3]:
        faces = tuple((card.deck, card.item) for card in one.scene.cards)
        (image,) = renderer.render([Shot(one.qpos[0], one.mocap, faces, "fast")], camera, (SIZE, SIZE))
        red, green, blue = (image[:, :, i].astype(int) for i in range(3))
        block = view(projector, one, "start", camera).things[BLOCK]
        assert block.visible > 0.95
        x, y = (round(value * SIZE) for value in block.center)
        mask = (blue > 25) & (blue > 2 * red) & (blue > 2 * green)
        mask[: y - 40], mask[y + 40 :], mask[:, : x - 40], mask[:, x + 40 :] = False, False, False, False  # emojis are blue too
        assert np.allclose(extent(mask), block.box, atol=2 / SIZE)


def changed(renderer: Renderer, one: Replay, step: int, camera: str, index: int, decks: Decks) -> np.ndarray:
    """``(SIZE, SIZE) bool``: pixels that depend on what a card shows."""
    faces: list[Face] = [(card.deck, card.item) for card in one.scene.cards]
    other = next(face for face in sorted(decks.items) if face not in faces and face[1] != faces[index][1])
    swapped = [other if i == index else face for i, face in enumerate(faces)]
    shots = [Shot(one.qpos[step], one.mocap, tuple(found), "fast") for found in (faces, swapped)]
    images: Images = renderer.render(shots, camera, (SIZE, SIZE))
    return np.asarray((images[0] != images[1]).any(axis=2))


@pytest.mark.parametrize("camera", ["third", "demo"])
def test_cards_are_drawn_in_their_boxes_and_as_visible_as_said(
    camera: str, replays: list[Replay], renderer: Renderer, projector: Projector, decks: Decks
) -> None:
    said, drawn = [], []
    for one in replays[:3]:
        for index in range(len(one.scene.cards)):
            whole = changed(renderer, one, 0, camera, index, decks)
            start = view(projector, one, "start", camera).card(index)
            box = extent(whole)
            assert np.all(np.array(box[:2]) >= np.array(start.box[:2]) - 1 / SIZE)
            assert np.all(np.array(box[2:]) <= np.array(start.box[2:]) + 1 / SIZE)
            assert box[2] - box[0] > 0.6 * (start.box[2] - start.box[0])
            for moment in ("grasped", "carried", "placed"):
                seen = changed(renderer, one, moments(one)[moment], camera, index, decks)
                drawn.append(seen.sum() / whole.sum() * start.visible)
                said.append(view(projector, one, moment, camera).card(index).visible)
    assert min(said) < 0.6 < 0.95 < max(said)
    assert np.abs(np.subtract(said, drawn)).max() < 0.2
    assert np.abs(np.subtract(said, drawn)).mean() < 0.04


def test_a_camera_looks_where_it_points(projector: Projector, replays: list[Replay]) -> None:
    """The published camera's target is in the middle of its image."""
    projector.view(replays[0].qpos[0], replays[0].mocap, 3, "third")
    pixels, depth = projector._project(np.array([g.CAMERA_TARGET]), "third")
    assert np.allclose(pixels, 0.5, atol=1e-9)
    assert np.allclose(depth, np.linalg.norm(np.subtract(g.CAMERA_TARGET, g.CAMERA_EYE)))


def test_replays_end_as_recorded_and_have_every_moment(replays: list[Replay]) -> None:
    assert len(replays) == 6
    for one in replays:
        found = moments(one)
        assert tuple(found) == MOMENTS
        assert list(found.values()) == sorted(set(found.values()))
        assert [bool(one.held[step]) for step in found.values()] == [False, False, False, True, True, True, True, False]
        card = one.scene.cards[one.target]
        assert np.hypot(*(one.block[-1, :2] - (card.x, card.y))) < 0.03
        assert one.opening[found["at-block"]] > 0.9
        assert one.opening[found["grasped"]] < 0.65
        assert np.linalg.norm(one.tool[found["at-block"]] - one.block[0]) < 0.01


def test_the_point_between_the_fingertips_is_where_the_block_is_held(replays: list[Replay], projector: Projector) -> None:
    for one in replays:
        things = view(projector, one, "carried", "third").things
        assert np.allclose(things[TOOL].center, things[BLOCK].center, atol=0.02)


def test_an_episode_without_a_grasp_has_a_start_and_an_end(replays: list[Replay]) -> None:
    still = dataclasses.replace(replays[0], held=np.zeros_like(replays[0].held))
    assert moments(still) == {"start": 0, "placed": still.last}
