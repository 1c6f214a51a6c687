"""Which of the possible questions are asked: all kinds alike, and all answers alike to whoever doesn't see the images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from gf_envs.vqa import questions_motion as motion
from gf_envs.vqa import questions_scene as scene
from gf_envs.vqa.asking import Candidate, Desk, Kind

KINDS: dict[str, tuple[Kind, ...]] = {
    "naming": (scene.name_at, scene.name_in_box, scene.name_all),
    "which-card": (scene.which, scene.present),
    "spatial": (scene.order, scene.nearest, scene.nearer_base, scene.resting),
    "grounding": (scene.box_card, scene.box_block, scene.point_gripper, scene.box_all),
    "planning": (motion.following, motion.done, motion.holding),
    "camera": (motion.viewpoint, motion.match, motion.same_time, motion.nearer_camera),
    "egocentric": (motion.side, motion.where, motion.below, motion.height),
    "temporal": (motion.first, motion.between, motion.still),
    "action": (motion.next_motion, motion.motion_between),
}
"""Domain to its kinds of questions."""


class Chooser:
    """Chooses questions, episode after episode, and remembers what it has chosen."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self._told: Counter[tuple[str, str, str]] = Counter()
        self._sides: Counter[tuple[str, str]] = Counter()

    def choose(self, desk: Desk, domain: str, count: int, rng: np.random.Generator) -> list[Candidate]:
        """Up to ``count`` questions of a domain about an episode, none twice.

        The kind that was asked least comes next; of its candidates, one whose answer was given least to the same words, then
        least to the kind; ties are drawn.
        """
        left = [found for kind in KINDS[domain] if (found := list(kind(desk)))]
        chosen: list[Candidate] = []
        while left and len(chosen) < count:
            found = min(left, key=lambda candidates: (self.kinds[candidates[0].kind], rng.random()))
            best = self._best(found, rng)
            chosen.append(best)
            self.kinds[best.kind] += 1
            self._told[best.kind, best.given, _side(best)] += 1
            self._sides[best.kind, _side(best)] += 1
            found.remove(best)
            left = [candidates for candidates in left if candidates]
        return chosen

    def _best(self, found: Sequence[Candidate], rng: np.random.Generator) -> Candidate:
        def cost(candidate: Candidate) -> tuple[int, int, float]:
            side = _side(candidate)
            return self._told[candidate.kind, candidate.given, side], self._sides[candidate.kind, side], float(rng.random())

        return min(found, key=cost)


def _side(candidate: Candidate) -> str:
    return candidate.side or candidate.answer
