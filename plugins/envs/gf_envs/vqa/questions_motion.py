"""Questions about the task, the cameras, the arm's own frame, time and motion."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from gf_core.contracts import Doubles
from gf_envs.tabletop import geometry as g
from gf_envs.vqa.asking import APART, CLEARLY, GRIPPER_CAMERA, OUTSIDE_CAMERAS, RECOGNIZABLE, Candidate, Desk, yes
from gf_envs.vqa.projection import box_text
from gf_envs.vqa.questions_scene import HELD, region
from gf_envs.vqa.replays import CLOSED, FAR, OPEN

SECONDS = 0.5
"""How far ahead a motion is asked for [s]."""
VIEWPOINTS = {"third": "above the table", "demo": "behind the arm", GRIPPER_CAMERA: "on the gripper"}
BESIDE = 0.02
"""Things count as left or right of the arm's base from this distance to the side on [m]."""


def following(desk: Desk) -> Iterator[Candidate]:
    """What has to be done next."""
    ahead = {
        "start": "move the gripper over the block",
        "above-block": "lower the gripper to the block",
        "at-block": "close the gripper",
        "grasped": "lift the block",
        "carried": "carry the block to the {} card",
        "above-card": "lower the block onto the {} card",
        "at-card": "open the gripper",
        "placed": "nothing, the block lies on the {} card",
    }
    for moment, shot in desk.shots():
        if moment == "start" and _off_block(desk, shot.step) < CLEARLY:
            continue  # it is over the block already, or nearly
        view = desk.view(shot)
        positions, distances = desk.positions(view), desk.distances(shot.step)
        for index in (i for i in desk.readable(view) if i in positions):
            other = index != desk.replay.target
            step = moment
            if other and moment in ("carried", "above-card"):
                step = "carried" if distances[index] > FAR else ""
            elif other and moment in ("at-card", "placed"):
                step = ""
            if step:
                yield Candidate(
                    kind="next",
                    answer=ahead[step].format(positions[index]),
                    shots=(shot,),
                    fields={"instruction": desk.instruction(index)},
                    cards=(desk.faces[index],),
                    given=desk.label(index),
                    side=step,
                )


def done(desk: Desk) -> Iterator[Candidate]:
    """Whether an instruction is carried out."""
    for moment, shot in desk.shots("carried", "above-card", "at-card", "placed"):
        for index in desk.readable(desk.view(shot)):
            if (index == desk.replay.target or moment == "placed") and desk.shows_block(shot):
                yield Candidate(
                    kind="done",
                    answer=yes(moment == "placed" and index == desk.replay.target),
                    shots=(shot,),
                    fields={"instruction": desk.instruction(index)},
                    cards=(desk.faces[index],),
                    given=desk.label(index),
                )


def holding(desk: Desk) -> Iterator[Candidate]:
    """Whether the gripper holds the block."""
    for moment, shot in desk.shots("start", "above-block", "grasped", "carried", "above-card", "placed"):
        if desk.shows_block(shot) and desk.is_held(shot.step) == (moment in HELD):
            yield Candidate(kind="holding", answer=yes(moment in HELD), shots=(shot,))


def viewpoint(desk: Desk) -> Iterator[Candidate]:
    """Which camera it was."""
    for moment, (camera, answer) in itertools.product(desk.moments, VIEWPOINTS.items()):
        yield Candidate(kind="viewpoint", answer=answer, shots=(desk.shot(moment, camera),))


def match(desk: Desk) -> Iterator[Candidate]:
    """A card from one camera to the other."""
    for moment, cameras in itertools.product(desk.moments, itertools.permutations(OUTSIDE_CAMERAS)):
        shots = tuple(desk.shot(moment, camera) for camera in cameras)
        views = [desk.view(shot) for shot in shots]
        for index in set(desk.readable(views[0])) & set(desk.readable(views[1])):
            here, there = (view.card(index).box for view in views)
            yield Candidate(
                kind="match",
                answer=box_text(there),
                shots=shots,
                fields={"box": box_text(here)},
                side=desk.positions(views[1]).get(index, ""),
                regions=(region(here), region(there, 1)),
            )


def same_time(desk: Desk) -> Iterator[Candidate]:
    """Whether two cameras looked at the same time."""
    for one, other in itertools.product(desk.moments, repeat=2):
        if one == other or _apart(desk, one, other) > FAR:
            shots = tuple(desk.shot(moment, camera) for moment, camera in zip((one, other), OUTSIDE_CAMERAS, strict=True))
            yield Candidate(kind="same-time", answer=yes(one == other), shots=shots)


def nearer_camera(desk: Desk) -> Iterator[Candidate]:
    """Which of two cards is nearer to the camera."""
    for _, shot in desk.shots():
        view = desk.view(shot)
        shown = desk.readable(view)
        for index, other in itertools.permutations(shown, 2):
            nearer, further = sorted((index, other), key=lambda i: view.card(i).distance)
            if view.card(further).distance - view.card(nearer).distance > CLEARLY:
                yield Candidate(
                    kind="nearer-camera",
                    answer=desk.label(nearer),
                    shots=(shot,),
                    fields={"label": desk.label(index), "other": desk.label(other)},
                    cards=(desk.faces[index], desk.faces[other]),
                    given=desk.label(index),
                    side="former" if nearer == index else "latter",
                )


def side(desk: Desk) -> Iterator[Candidate]:
    """Whether a thing is on the arm's left or right."""
    for _, shot in desk.shots():
        view = desk.view(shot)
        across = float(desk.replay.block[shot.step, 1] - g.BASE_POSITION[1])
        if abs(across) > BESIDE and desk.shows_block(shot):
            yield Candidate(kind="side", answer=_side(across), shots=(shot,), fields={"thing": "block"}, given="block")
        for index in desk.readable(view):
            across = float(desk.center(index)[1] - g.BASE_POSITION[1])
            if abs(across) > APART:
                yield Candidate(
                    kind="side",
                    answer=_side(across),
                    shots=(shot,),
                    fields={"thing": f"card with the {desk.label(index)}"},
                    cards=(desk.faces[index],),
                    given=desk.label(index),
                )


def where(desk: Desk) -> Iterator[Candidate]:
    """How far ahead and to the side the block is."""
    for moment, shot in desk.shots():
        if desk.shows_block(shot):
            ahead, across, _ = desk.replay.block[shot.step] - g.BASE_POSITION
            words = _directions({"ahead": ahead, **_sideways(across)})
            yield Candidate(kind="where", answer=", ".join(words), shots=(shot,), side=moment)


def below(desk: Desk) -> Iterator[Candidate]:
    """Which card the gripper is over, as its camera sees it."""
    for moment in (name for name in desk.moments if name not in ("start", "above-block", "at-block")):
        shot = desk.shot(moment, GRIPPER_CAMERA)
        tool = desk.replay.tool[shot.step, :2]
        over = [index for index in desk.cards if float(np.abs(tool - desk.center(index)).max()) < g.CARD_HALF_SIZE / 2]
        if over and desk.view(shot).card(over[0]).visible >= RECOGNIZABLE:
            yield Candidate(kind="below", answer=desk.label(over[0]), shots=(shot,), cards=(desk.faces[over[0]],))


def height(desk: Desk) -> Iterator[Candidate]:
    """How high the fingertips are."""
    for _, shot in desk.shots():
        yield Candidate(kind="height", answer=f"{_cm(desk.replay.tips[shot.step, 2])} cm", shots=(shot,))


def first(desk: Desk) -> Iterator[Candidate]:
    """Which of two images was taken earlier: before and after the block is grasped, or laid down."""
    camera = desk.outside()
    for early, late in _pairs(desk, ("start", "above-block", "at-block"), HELD) + _pairs(desk, HELD, ("placed",)):
        if _apart(desk, early, late) > FAR or late == "placed":
            shots = (desk.shot(early, camera), desk.shot(late, camera))
            yield Candidate(kind="first", answer="first", shots=shots)
            yield Candidate(kind="first", answer="second", shots=shots[::-1])


def between(desk: Desk) -> Iterator[Candidate]:
    """What happened from one image to another."""
    events = {
        ("start", "at-block"): "the gripper moved to the block",
        ("above-block", "grasped"): "the gripper took hold of the block",
        ("grasped", "above-card"): "the block was lifted and carried over the {} card",
        ("above-card", "placed"): "the block was laid down on the {} card",
    }
    camera = desk.outside()
    for (early, late), event in events.items():
        if early in desk.moments and late in desk.moments:
            shots = (desk.shot(early, camera), desk.shot(late, camera))
            position = desk.positions(desk.view(shots[1])).get(desk.replay.target)
            if position and all(desk.shows_block(shot) for shot in shots):
                yield Candidate(kind="between", answer=event.format(position), shots=shots, side=event)


def still(desk: Desk) -> Iterator[Candidate]:
    """Whether the block stayed where it was."""
    camera = desk.outside()
    for one, other in itertools.permutations(desk.moments, 2):
        shots = (desk.shot(one, camera), desk.shot(other, camera))
        moved = float(np.linalg.norm(desk.replay.block[shots[0].step] - desk.replay.block[shots[1].step]))
        seen = _apart(desk, one, other) > CLEARLY and all(desk.shows_block(shot) for shot in shots)
        if seen and (moved < 0.002 or moved > FAR):
            yield Candidate(kind="still", answer=yes(moved < 0.002), shots=shots)


def next_motion(desk: Desk) -> Iterator[Candidate]:
    """How the gripper goes on."""
    steps = round(SECONDS * desk.replay.episode.control_hz)
    index = desk.replay.target
    for moment, shot in desk.shots():
        if shot.step + steps <= desk.replay.last and index in desk.readable(desk.view(shot)):
            answer = _motion(desk, shot.step, shot.step + steps)
            if answer:
                yield Candidate(
                    kind="next-motion",
                    answer=answer,
                    shots=(shot,),
                    fields={"instruction": desk.instruction(index), "seconds": f"{SECONDS:g}"},
                    cards=(desk.faces[index],),
                    given=desk.label(index),
                    side=moment,
                )


def motion_between(desk: Desk) -> Iterator[Candidate]:
    """How the gripper came from one image to the other, forwards or backwards in time."""
    camera = desk.outside()
    for one, other in itertools.permutations(desk.moments, 2):
        shots = (desk.shot(one, camera), desk.shot(other, camera))
        answer = _motion(desk, shots[0].step, shots[1].step)
        if answer and _apart(desk, one, other) > CLEARLY:
            yield Candidate(kind="motion-between", answer=answer, shots=shots, side=f"{one} {other}")


def _pairs(desk: Desk, early: tuple[str, ...], late: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(a, b) for a in early for b in late if a in desk.moments and b in desk.moments]


def _off_block(desk: Desk, step: int) -> float:
    """Horizontal distance of the gripper from the block [m]."""
    return float(np.linalg.norm((desk.replay.tool - desk.replay.block)[step, :2]))


def _apart(desk: Desk, one: str, other: str) -> float:
    """How far the gripper moved between two moments [m]."""
    tool: Doubles = desk.replay.tool
    return float(np.linalg.norm(tool[desk.moments[one]] - tool[desk.moments[other]]))


def _motion(desk: Desk, start: int, end: int) -> str:
    """The gripper's displacement and what its fingers do; empty where they are neither open nor closed at either end."""
    grips = [_grip(float(desk.replay.opening[step])) for step in (start, end)]
    if not all(grips):
        return ""
    ahead, across, up = desk.replay.tool[end] - desk.replay.tool[start]
    words = _directions({"ahead" if ahead > 0 else "back": ahead, **_sideways(across), "up" if up > 0 else "down": up})
    fingers = f"stays {grips[0]}" if grips[0] == grips[1] else {"open": "opens", "closed": "closes"}[grips[1]]
    return f"{', '.join(words) or 'no motion'}; the gripper {fingers}"


def _grip(opening: float) -> str:
    return "open" if opening > OPEN else "closed" if opening < CLOSED else ""


def _directions(found: dict[str, float]) -> list[str]:
    """``3 cm ahead`` for each direction that comes to a centimetre."""
    return [f"{_cm(abs(value))} cm {direction}" for direction, value in found.items() if _cm(abs(value))]


def _sideways(across: float) -> dict[str, float]:
    return {"to the left" if across > 0 else "to the right": across}


def _side(across: float) -> str:
    return "left" if across > 0 else "right"


def _cm(metres: float) -> int:
    return round(100 * metres)
