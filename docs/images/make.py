"""Makes the pictures of the README and the documentation: ``python docs/images/make.py``.

They are rendered, so their bytes depend on the OpenGL driver; look at them before committing them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from gf_core.contracts import EnvContext, Images
from gf_core.evaluation import load_suite
from gf_core.plugins import load_plugins
from gf_core.specs import Observes

HERE = Path(__file__).parent
SUITE, EPISODE = "gf/quick@1", "id-u1f419-0"
CONFUSED_SEED = 1
"""With this policy seed gf/random-card-v1 takes another card than EPISODE's target."""


def gf(*arguments: str) -> None:
    """Run `gf`."""
    subprocess.run([sys.executable, "-m", "gf_core.cli.main", *arguments], check=True, stdout=subprocess.DEVNULL)


def film(policy: str, target: Path) -> None:
    """Run the episode with a policy and film the replay with shadows, which cost too much to be scored with."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "run")
        gf("run", SUITE, "--policy", policy, "--policy-seed", str(CONFUSED_SEED), "--episodes", EPISODE,
           "--env-set", "render=pretty", "--out", out)  # fmt: skip
        gf("replay", out, EPISODE, "--video", str(target), "--camera", "demo", "--size", "448")


def first_frames(preset: str, cameras: tuple[str, ...]) -> Images:
    """The episode's first image from each camera at 224 px, side by side: ``(224, 224 n, 3)``."""
    host = load_plugins()
    suite = load_suite(SUITE, host)
    deck = host.decks.load("gf/emoji-noto@1")({})
    context = EnvContext(slots=1, threads=1, control_hz=suite.control_hz, load_deck=lambda _: deck)
    env = host.envs.load(suite.env)({"render": preset}, context)
    slot = np.zeros(1, np.int32)
    env.reset(slot, [next(episode for episode in suite.episodes if episode.id == EPISODE)])
    images = env.observe(slot, Observes(cameras=cameras, size=(224, 224))).images
    env.close()
    return np.concatenate([images[camera][0] for camera in cameras], axis=1)


def enlarged(image: Images, factor: int) -> Image.Image:
    """Each pixel as a square, so that what is seen is what a policy gets."""
    return Image.fromarray(image.repeat(factor, axis=0).repeat(factor, axis=1))


def main() -> None:
    """Make all of them."""
    film("gf/expert-v1", HERE / "expert.webp")
    film("gf/random-card-v1", HERE / "random-card.webp")
    enlarged(first_frames("scored", ("third", "wrist")), 2).save(HERE / "policy-view.png", optimize=True)
    presets = [first_frames(preset, ("third",))[60:172, 40:190] for preset in ("fast", "scored", "pretty")]
    enlarged(np.concatenate(presets, axis=1), 2).save(HERE / "presets.png", optimize=True)
    for path in sorted(HERE.glob("*.png")) + sorted(HERE.glob("*.webp")):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
