"""Questions that one image answers: naming, which card, spatial relations, grounding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gf_envs.tabletop import geometry as g
from gf_envs.vqa import GRID
from gf_envs.vqa.asking import CLEARLY, Candidate, Desk, Region, any_of, position_words, yes
from gf_envs.vqa.projection import BLOCK, TOOL, box_text, point_text

HELD = ("grasped", "carried", "above-card", "at-card")


def region(box: tuple[float, ...], image: int = 0) -> Region:
    """A box or point, given as shares of the image."""
    return Region(image=image, at=tuple(round(value * GRID) for value in box))


def name_at(desk: Desk) -> Iterator[Candidate]:
    """What the left card shows."""
    for _, shot in desk.shots():
        view = desk.view(shot)
        for index, position in desk.positions(view).items():
            if index in desk.readable(view):
                yield Candidate(
                    kind="name-at",
                    answer=desk.label(index),
                    shots=(shot,),
                    fields={"position": position},
                    cards=(desk.faces[index],),
                    given=position,
                )


def name_in_box(desk: Desk) -> Iterator[Candidate]:
    """What the card in a box shows."""
    for _, shot in desk.shots():
        view = desk.view(shot)
        for index in desk.readable(view):
            box = view.card(index).box
            yield Candidate(
                kind="name-in-box",
                answer=desk.label(index),
                shots=(shot,),
                fields={"box": box_text(box)},
                cards=(desk.faces[index],),
                regions=(region(box),),
            )


def name_all(desk: Desk) -> Iterator[Candidate]:
    """All cards from left to right."""
    for _, shot in desk.shots():
        view = desk.view(shot)
        order = list(desk.positions(view))
        if order and len(desk.readable(view)) == len(order):
            yield Candidate(
                kind="name-all",
                answer=", ".join(desk.label(index) for index in order),
                shots=(shot,),
                cards=tuple(desk.faces[index] for index in order),
            )


def which(desk: Desk) -> Iterator[Candidate]:
    """On which card a thing is."""
    options = any_of(position_words(len(desk.faces)))
    for _, shot in desk.shots():
        view = desk.view(shot)
        for index, position in desk.positions(view).items():
            if index in desk.readable(view) and len(desk.faces) > 1:
                yield Candidate(
                    kind="which",
                    answer=position,
                    shots=(shot,),
                    fields={"label": desk.label(index), "options": options},
                    cards=(desk.faces[index],),
                    given=desk.label(index),
                )


def present(desk: Desk) -> Iterator[Candidate]:
    """Whether a thing is on any card."""
    for _, shot in desk.shots():
        view = desk.view(shot)
        if len(desk.readable(view)) < len(desk.faces):
            continue
        count = min(len(desk.faces), len(desk.absent))
        drawn = [desk.absent[i] for i in desk.rng.choice(len(desk.absent), count, replace=False)]
        for face in (*desk.faces, *drawn):
            label = desk.name(face)
            answer = yes(face in desk.faces)
            yield Candidate(kind="present", answer=answer, shots=(shot,), fields={"label": label}, cards=(face,), given=label)


def order(desk: Desk) -> Iterator[Candidate]:
    """Which of two cards is further to the left."""
    for _, shot in desk.shots():
        view = desk.view(shot)
        across = {index: view.card(index).center[0] for index in desk.positions(view) if index in desk.readable(view)}
        for index, other in ((a, b) for a in across for b in across if a != b):
            yield Candidate(
                kind="order",
                answer="left" if across[index] < across[other] else "right",
                shots=(shot,),
                fields={"label": desk.label(index), "other": desk.label(other)},
                cards=(desk.faces[index], desk.faces[other]),
                given=desk.label(index),
            )


def nearest(desk: Desk) -> Iterator[Candidate]:
    """Which card the block is closest to."""
    for _, shot in desk.shots():
        view = desk.view(shot)
        closest, *others = np.argsort(distances := desk.distances(shot.step)).tolist()
        clear = all(distances[other] - distances[closest] > CLEARLY for other in others)
        # What lies under the block is asked for where enough of it can still be seen.
        if clear and others and closest in desk.readable(view) and desk.shows_block(shot):
            position = desk.positions(view).get(closest, "")
            yield Candidate(
                kind="nearest", answer=desk.label(closest), shots=(shot,), cards=(desk.faces[closest],), side=position
            )


def nearer_base(desk: Desk) -> Iterator[Candidate]:
    """Which of two cards is nearer to the arm's base."""
    base = np.array(g.BASE_POSITION[:2])
    distance = [float(np.linalg.norm(desk.center(index) - base)) for index in desk.cards]
    for _, shot in desk.shots():
        shown = desk.readable(desk.view(shot))
        for index, other in ((a, b) for a in shown for b in shown if abs(distance[a] - distance[b]) > CLEARLY):
            nearer = index if distance[index] < distance[other] else other
            yield Candidate(
                kind="nearer-base",
                answer=desk.label(nearer),
                shots=(shot,),
                fields={"label": desk.label(index), "other": desk.label(other)},
                cards=(desk.faces[index], desk.faces[other]),
                given=desk.label(index),
                side="former" if nearer == index else "latter",
            )


def resting(desk: Desk) -> Iterator[Candidate]:
    """Whether the block lies on a card."""
    for moment, shot in desk.shots("start", "above-block", "carried", "above-card", "placed"):
        if desk.shows_block(shot):
            yield Candidate(kind="resting", answer=yes(moment == "placed"), shots=(shot,))


def box_card(desk: Desk) -> Iterator[Candidate]:
    """Where a card is."""
    for _, shot in desk.shots():
        view = desk.view(shot)
        for index, position in desk.positions(view).items():
            if index in desk.readable(view):
                box = view.card(index).box
                yield Candidate(
                    kind="box-card",
                    answer=box_text(box),
                    shots=(shot,),
                    fields={"label": desk.label(index)},
                    cards=(desk.faces[index],),
                    given=desk.label(index),
                    side=position,
                    regions=(region(box),),
                )


def box_block(desk: Desk) -> Iterator[Candidate]:
    """Where the block is."""
    for moment, shot in desk.shots():
        if desk.shows_block(shot):
            box = desk.view(shot).things[BLOCK].box
            yield Candidate(kind="box-block", answer=box_text(box), shots=(shot,), side=moment, regions=(region(box),))


def point_gripper(desk: Desk) -> Iterator[Candidate]:
    """Where the fingertips would meet."""
    for moment, shot in desk.shots():
        tool = desk.view(shot).things[TOOL]
        if tool.visible:
            answer = point_text(tool.center)
            yield Candidate(kind="point-gripper", answer=answer, shots=(shot,), side=moment, regions=(region(tool.center),))


def box_all(desk: Desk) -> Iterator[Candidate]:
    """Where every card is, and what it shows."""
    for _, shot in desk.shots():
        view = desk.view(shot)
        found = list(desk.positions(view))
        if found and len(desk.readable(view)) == len(found):
            boxes = {index: view.card(index).box for index in found}
            yield Candidate(
                kind="box-all",
                answer="; ".join(f"{desk.label(index)} {box_text(box)}" for index, box in boxes.items()),
                shots=(shot,),
                cards=tuple(desk.faces[index] for index in found),
                regions=tuple(region(box) for box in boxes.values()),
            )
