"""What is drawn: the right face at the right place, upright, the same for any thread."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gf_core.contracts import EnvContext, Episode
from gf_core.errors import GrinningFaceError, MissingDependencyError
from gf_core.specs import Observes
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop import gl
from gf_envs.tabletop.batch import TabletopEnv
from gf_envs.tabletop.env import make
from gf_envs.tabletop.presets import PRESETS

MakeEnv = Callable[..., TabletopEnv]
THIRD = Observes(cameras=("third",), size=(224, 224))


class Painted:
    """A deck of which item ``a`` is red at the top left, green at the top right, blue at the bottom left, white elsewhere."""

    id, sha256 = "test/painted@1", ""

    def __init__(self) -> None:
        self.items = dict.fromkeys(("a", "b"))

    def image(self, item: str) -> np.ndarray:
        image = np.full((64, 64, 4), 255, np.uint8)
        if item == "a":
            for rows, columns, color in ((slice(32), slice(32), 0), (slice(32), slice(32, 64), 1), (slice(32, 64), slice(32), 2)):
                image[rows, columns, :3] = 0
                image[rows, columns, color] = 255
        return image


def pixel(x: float, y: float, size: int = 224) -> tuple[int, int]:
    """Row and column at which the third-person camera sees a point of a card's face."""
    eye = np.array(g.CAMERA_EYE)
    forward = np.array(g.CAMERA_TARGET) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0, 0, 1))
    right /= np.linalg.norm(right)
    local = np.array((x, y, g.CARD_THICKNESS)) - eye
    scale = size / 2 / np.tan(g.CAMERA_FOVY / 2) / (local @ forward)
    return round(size / 2 - scale * (local @ np.cross(right, forward)) - 0.5), round(size / 2 + scale * (local @ right) - 0.5)


def test_faces_lie_where_the_scene_says_upright(make_episode: Callable[..., Episode]) -> None:
    env = make({}, EnvContext(slots=1, threads=1, control_hz=20.0, load_deck=lambda _: Painted()))
    try:
        episode = make_episode(cards=(("b", 0.0, 0.2), ("b", 0.0, 0.0), ("a", 0.01, -0.2)), render="scored")
        env.reset(np.zeros(1, np.int32), [episode])
        image = env.observe(np.zeros(1, np.int32), THIRD).images["third"][0].astype(int)
    finally:
        env.close()
    # The picture's top points away from the robot (+x), its left to the robot's left (+y).
    for (dx, dy), strongest in {(0.035, 0.035): 0, (0.035, -0.035): 1, (-0.035, 0.035): 2}.items():
        color = image[pixel(0.01 + dx, -0.2 + dy)]
        assert color.argmax() == strongest, (dx, dy, color)
        assert color[strongest] > 2 * np.delete(color, strongest).max()
    assert image[pixel(0.01 - 0.035, -0.2 - 0.035)].min() > 200
    assert image[pixel(0.0, 0.0)].min() > 200


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_pixels_do_not_depend_on_threads_or_company(
    make_env: MakeEnv, several: Callable[..., list[Episode]], preset: str
) -> None:
    episodes, slots = several(3), np.arange(3, dtype=np.int32)
    together, alone = make_env(slots=3, threads=2, render=preset), make_env(render=preset)
    together.reset(slots, episodes)
    images = together.observe(slots, THIRD).images["third"]
    assert images.dtype == np.uint8
    for i, episode in enumerate(episodes):
        alone.reset(slots[:1], [episode])
        assert (alone.observe(slots[:1], THIRD).images["third"][0] == images[i]).all()
    assert (images[0] != images[1]).any()


def test_sizes_and_cameras(make_env: MakeEnv, make_episode: Callable[..., Episode]) -> None:
    env, slot = make_env(), np.zeros(1, np.int32)
    env.reset(slot, [make_episode()])
    for size in ((224, 224), (120, 160), (448, 448)):
        seen = env.observe(slot, Observes(cameras=("third", "wrist", "demo"), size=size)).images
        assert {name: image.shape for name, image in seen.items()} == dict.fromkeys(("third", "wrist", "demo"), (1, *size, 3))
        assert all(image.std() > 10 for image in seen.values())


def test_scored_preset_is_smoother_than_fast(make_env: MakeEnv, make_episode: Callable[..., Episode]) -> None:
    images = {}
    for preset in ("scored", "fast"):
        env, slot = make_env(render=preset), np.zeros(1, np.int32)
        env.reset(slot, [make_episode()])
        images[preset] = env.observe(slot, THIRD).images["third"][0].astype(float)
    difference = np.abs(images["scored"] - images["fast"])
    assert 0 < difference.mean() < 5, "the same picture, but for its edges"
    jaggedness = {name: np.abs(np.diff(image, n=2, axis=1)).mean() for name, image in images.items()}
    assert jaggedness["scored"] < jaggedness["fast"]


def test_an_item_that_the_deck_lacks_is_named(make_env: MakeEnv, make_episode: Callable[..., Episode]) -> None:
    env, slot = make_env(), np.zeros(1, np.int32)
    env.reset(slot, [make_episode(cards=(("nobody", 0.0, 0.0),), target=0)])
    with pytest.raises(GrinningFaceError, match="no item 'nobody'"):
        env.observe(slot, THIRD)


def test_more_faces_than_textures_are_swapped_in(make_episode: Callable[..., Episode]) -> None:
    class Large(Painted):
        def __init__(self) -> None:
            self.items = dict.fromkeys(str(i) for i in range(1200))

        def image(self, item: str) -> np.ndarray:
            return np.full((8, 8, 4), (int(item) % 256, 0, 0, 255), np.uint8)

    env, slot = make({}, EnvContext(slots=1, threads=1, control_hz=20.0, load_deck=lambda _: Large())), np.zeros(1, np.int32)
    try:
        for item in (5, 1100, 250):
            env.reset(slot, [make_episode(cards=((str(item), 0.0, -0.2),), target=0, render="scored")])
            color = env.observe(slot, THIRD).images["third"][0][pixel(0.0, -0.2)]
            assert abs(int(color[0]) - item % 256) < 40
            assert color[1] < 10
    finally:
        env.close()


def test_without_opengl_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(backend: str) -> object:
        raise OSError(f"lib{backend}.so.1: cannot open shared object file")

    monkeypatch.setattr(gl, "_load", missing)
    monkeypatch.setattr(gl, "_BACKEND", None)
    with pytest.raises(MissingDependencyError, match="apt-get install -y libegl1"):
        gl.make_context(16, 16)
