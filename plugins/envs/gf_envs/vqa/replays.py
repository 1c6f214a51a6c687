"""Recorded episodes as trajectories of states: their controls are driven through the physics again, many side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gf_core.contracts import Bools, Doubles, Episode
from gf_core.runs import Row, Run
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop import kinematics as k
from gf_envs.tabletop.controller import TIP
from gf_envs.tabletop.judge import LIFT_HEIGHT, REST_HEIGHT
from gf_envs.tabletop.physics import Physics
from gf_envs.tabletop.scene import Scene, parse_scene

FAR = 0.06
"""The gripper isn't above a thing from this horizontal distance on [m] ..."""
ABOVE = 0.012
"""... and is up to this one."""
HIGH = 0.035
"""It is above, and not at, a place that is at least this much lower [m]."""
AT = 0.006
"""It is at the block up to this distance [m]."""
OPEN, CLOSED = 0.9, 0.65
"""It is open from this opening on, and closed on the block below this one (the block is 3 cm thick)."""

_ARM, _CUBE = slice(0, 6), slice(8, 11)


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A successful episode, state by state; T control steps, so T + 1 states. World frame, metres.

    Attributes:
        episode: at the run's control rate.
        scene: its scene.
        qpos: ``(T + 1, nq)``.
        mocap: ``(MAX_CARDS, 3)``, the cards.
        tool: ``(T + 1, 3)``, the point between the fingertips.
        opening: ``(T + 1,)``, 0 closed to 1 open.
        held: ``(T + 1,)``, both fingers touch the block.
    """

    episode: Episode
    scene: Scene
    qpos: Doubles
    mocap: Doubles
    tool: Doubles
    opening: Doubles
    held: Bools

    @property
    def block(self) -> Doubles:
        """``(T + 1, 3)``, the block's centre."""
        return self.qpos[:, _CUBE]

    @property
    def tips(self) -> Doubles:
        """``(T + 1, 3)``, the middle between the fingertips' ends."""
        _, orientation = k.forward(self.qpos[:, _ARM])
        return self.tool + TIP * orientation[:, :, 0]

    @property
    def target(self) -> int:
        """Index of the target card."""
        assert self.scene.target is not None  # a success has one
        return self.scene.target

    @property
    def last(self) -> int:
        """T."""
        return len(self.qpos) - 1


def replay(run: Run, rows: Sequence[Row], episodes: Mapping[str, Episode]) -> Iterator[Replay | str]:
    """Replays of recorded successes, in order; for one that goes otherwise than recorded, its id.

    Args:
        run: the run.
        rows: its rows to replay, all successes.
        episodes: by id, at the run's control rate.

    Raises:
        RunDirectoryError: a recording is missing or damaged.
    """
    chosen = [episodes[row["episode"]] for row in rows]
    scenes = [parse_scene(episode.scene) for episode in chosen]
    controls = [run.trajectory(row["episode"]).controls for row in rows]
    physics = Physics(len(rows), 0, chosen[0].control_hz)
    slots = np.arange(len(rows), dtype=np.int32)
    physics.reset(slots, scenes)
    length = np.array([len(rows) for rows in controls])
    states = [_state(physics, slots)]
    running = slots
    for step in range(int(length.max())):
        running = running[length[running] > step]
        physics.step(running, np.stack([controls[slot][step] for slot in running]))
        states.append(_state(physics, slots))
    qpos, tool, opening, held = (np.stack(column, axis=1) for column in zip(*states, strict=True))
    for slot, (row, episode, scene) in enumerate(zip(rows, chosen, scenes, strict=True)):
        count = int(length[slot]) + 1
        found = Replay(
            episode=episode,
            scene=scene,
            qpos=qpos[slot, :count],
            mocap=physics.mocap[slot].copy(),
            tool=tool[slot, :count],
            opening=opening[slot, :count],
            held=held[slot, :count].astype(bool),
        )
        same = physics.state_hash(slot) == row["metrics"]["state_sha256"] or _on_target(found)
        yield found if same else row["episode"]


def _state(physics: Physics, slots: np.ndarray) -> tuple[Doubles, Doubles, Doubles, Bools]:
    tool, _ = physics.tool(slots)
    return physics.qpos[slots], tool + g.BASE_POSITION, physics.opening(slots), physics.state(slots).held


def _on_target(found: Replay) -> bool:
    """Whether the block ends on the target card: on other platforms than the run's, bits differ and outcomes don't."""
    card = found.scene.cards[found.target]
    x, y, z = found.block[-1]
    return bool(max(abs(x - card.x), abs(y - card.y)) <= g.CARD_HALF_SIZE and abs(z - REST_HEIGHT) < 0.003)


MOMENTS = ("start", "above-block", "at-block", "grasped", "carried", "above-card", "at-card", "placed")
"""Moments of an episode in their order; which of them it has depends on who moved the arm."""


def moments(found: Replay) -> dict[str, int]:
    """Name of a moment to the step at which it is most itself. Everything in it is measured, so any policy's run has them.

    start: nothing has moved. above-block: open, over the block. at-block: open, around it. grasped: closed on it, before it
    rises. carried: on its way, over no card's middle. above-card: over the target. at-card: held on the target. placed: at the
    end, let go.
    """
    lifted = np.flatnonzero(found.held & (found.block[:, 2] > LIFT_HEIGHT))
    if not len(lifted):
        return {"start": 0, "placed": found.last}
    first, last = int(lifted[0]), int(lifted[-1])
    steps = np.arange(found.last + 1)
    before, during, after = steps < first, (steps >= first) & (steps <= last), steps > last
    card = found.scene.cards[found.target]
    near_block = _apart(found.tool, found.block)
    near_card = _apart(found.block, np.array([card.x, card.y]))
    over = found.tool[:, 2] - found.block[:, 2]
    low = found.block[:, 2] < REST_HEIGHT + 0.004
    conditions = {
        "above-block": before & (near_block < ABOVE) & (over > HIGH) & (found.opening > OPEN),
        "at-block": before & (near_block < AT) & (np.abs(over) < AT) & (found.opening > OPEN),
        "grasped": before & found.held & (found.opening < CLOSED) & (found.block[:, 2] < g.CUBE_HALF_SIZE + 0.002),
        "carried": during & (near_card > FAR) & (found.block[:, 2] > REST_HEIGHT + HIGH),
        "above-card": during & (near_card < ABOVE) & (found.block[:, 2] > REST_HEIGHT + HIGH),
        "at-card": after & found.held & (near_card < ABOVE) & low & (found.opening < CLOSED),
    }
    found_steps = {name: np.flatnonzero(mask) for name, mask in conditions.items()}
    known = {name: int(where[len(where) // 2]) for name, where in found_steps.items() if len(where)}
    return {"start": 0, **known, "placed": found.last}


def _apart(points: Doubles, other: Doubles) -> Doubles:
    """Horizontal distances [m]."""
    distances: Doubles = np.sqrt(((points[:, :2] - other[..., :2]) ** 2).sum(axis=1))
    return distances
