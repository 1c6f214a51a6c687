"""A probe as one picture: answers before and after with intervals, and layer by layer CKA and linear probes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from gf_core._problems import printable, shorten

WIDTH = 1600
MARGIN, GAP, ROW = 60, 70, 74
PLOT = 300
"""Height of a plot over layers [px]."""
PAPER, INK, SOFT, LINE, TRACK = (255, 255, 255), (26, 29, 33), (86, 93, 102), (213, 217, 223), (230, 233, 238)
BEFORE, AFTER = (125, 135, 148), (31, 95, 191)
CURVES = {"vision": (217, 105, 26), "image": (31, 138, 91), "answer": (31, 95, 191)}
"""Colours of the report's page."""
NAMES = {"vision": "vision tower", "image": "image tokens", "answer": "last prompt token"}

Box = tuple[int, int, int, int]
"""Left, top, right, bottom [px]."""
Color = tuple[int, int, int]


@dataclass(frozen=True)
class Pen:
    """What everything is drawn with."""

    draw: ImageDraw.ImageDraw

    def text(self, at: tuple[float, float], text: str, *, size: int = 22, color: Color = INK, anchor: str = "ls") -> None:
        """A line of text."""
        self.draw.text(at, printable(text), fill=color, font=ImageFont.load_default(size), anchor=anchor)

    def line(self, *points: tuple[float, float], color: Color = INK, width: int = 2) -> None:
        """A line through points."""
        self.draw.line(points, fill=color, width=width, joint="curve")

    def dashed(self, start: tuple[float, float], end: tuple[float, float], *, color: Color = INK) -> None:
        """A dashed line, horizontal or vertical."""
        length = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
        for begun in range(0, int(length), 12):
            ends = [begun / length, min(begun + 6, length) / length]
            points = [(start[0] + (end[0] - start[0]) * t, start[1] + (end[1] - start[1]) * t) for t in ends]
            self.draw.line(points, fill=color, width=2)

    def dot(self, at: tuple[float, float], color: Color, *, radius: int = 8) -> None:
        """A filled circle with a rim of paper."""
        x, y = at
        self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color, outline=PAPER, width=2)


def draw_probe(document: Mapping[str, Any]) -> Image.Image:
    """The picture of a document of kind ``probe``, ``(H, 1600)`` px."""
    rows = document["accuracy"]
    plots = 150 + len(rows) * ROW + 60
    has_probe = document["linear_probe"] is not None
    below = plots + GAP + PLOT + 110
    height = below + 70 + 34 * len(document["weights"]["roles"]) + MARGIN
    image = Image.new("RGB", (WIDTH, height), PAPER)
    pen = Pen(ImageDraw.Draw(image))
    _head(pen, document)
    _answers(pen, rows, (MARGIN + 420, 150, WIDTH - MARGIN - 130, plots - 60))
    half = (WIDTH - 2 * MARGIN - GAP) // 2
    right = MARGIN + half if has_probe else WIDTH - MARGIN
    _similarity(pen, document["cka"], (MARGIN + 50, plots + GAP, right, plots + GAP + PLOT))
    if has_probe:
        _probe(pen, document["linear_probe"], (WIDTH - MARGIN - half + 50, plots + GAP, WIDTH - MARGIN, plots + GAP + PLOT))
    _drift(pen, document, below + 40)
    return image


def _head(pen: Pen, document: Mapping[str, Any]) -> None:
    suite, checkpoint = document["suite"], document["checkpoint"]
    asked = [suite["id"]] if suite else []
    asked += [source["name"] for source in document["data"]]
    recipes = " then ".join(recipe["name"] for recipe in checkpoint["recipes"])
    pen.text((MARGIN, 62), shorten(f"{recipes}: what its VLM knows before and after, on {', '.join(asked)}", 90), size=34)
    backbone = document["backbone"]
    told = f"checkpoint {checkpoint['sha256'][:12]}, backbone {backbone['id']} {backbone['fingerprint'][:12]}"
    pen.text((MARGIN, 100), told, color=SOFT)
    x = WIDTH - MARGIN - 560
    for name, color in (("before", BEFORE), ("after", AFTER)):
        pen.dot((x, 125), color)
        pen.text((x + 16, 132), f"{name} training", color=SOFT)
        x += 190
    pen.dashed((x, 114), (x, 136))
    pen.text((x + 14, 132), "guessing", color=SOFT)


def _answers(pen: Pen, rows: Sequence[Mapping[str, Any]], box: Box) -> None:
    left, top, right, bottom = box

    def at(share: float) -> float:
        return left + share * (right - left)

    for number, entry in enumerate(rows):
        y = top + number * ROW
        pen.text((MARGIN, y + 34), shorten(f"{entry['kind']} · {entry['split']}", 32))
        pen.text((MARGIN, y + 58), f"{entry['questions']} questions", size=18, color=SOFT)
        sides = (("before", BEFORE, y + 22), ("after", AFTER, y + 50))
        for _, _, middle in sides:
            pen.draw.rectangle((left, middle - 4, right, middle + 4), fill=TRACK)
        pen.dashed((at(entry["chance"]), y + 4), (at(entry["chance"]), y + 68))
        for side, color, middle in sides:
            _whisker(pen, entry[side], at, middle, color)
            pen.text((right + 16, middle + 7), f"{100 * entry[side]['estimate']:.1f} %", color=color)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        pen.text((at(share), bottom + 30), f"{100 * share:.0f}{' %' if share == 1 else ''}", size=18, color=SOFT, anchor="ms")


def _whisker(pen: Pen, rate: Mapping[str, Any], at: Callable[[float], float], y: float, color: Color) -> None:
    low, high = rate["interval"]
    pen.line((at(low), y), (at(high), y), color=color, width=4)
    for limit in (low, high):
        pen.line((at(limit), y - 9), (at(limit), y + 9), color=color, width=3)
    pen.dot((at(rate["estimate"]), y), color)


def _axes(pen: Pen, box: Box, title: str, layers: int) -> None:
    left, top, right, bottom = box
    pen.text((left - 50, top - 22), title)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = bottom - share * (bottom - top)
        pen.line((left, y), (right, y), color=LINE, width=1)
        pen.text((left - 10, y + 6), f"{share:g}", size=18, color=SOFT, anchor="rs")
    step = max(1, -(-layers // 12))
    for layer in range(0, layers, step):
        x = _across(box, layer, layers)
        pen.text((x, bottom + 26), str(layer), size=18, color=SOFT, anchor="ms")
    pen.text(((left + right) / 2, bottom + 54), "layer (0: what the first one is given)", size=18, color=SOFT, anchor="ms")


def _across(box: Box, layer: int, layers: int) -> float:
    return box[0] + 16 + (box[2] - box[0] - 32) * (layer / (layers - 1) if layers > 1 else 0.5)


def _curve(pen: Pen, box: Box, values: Sequence[float | None], layers: int, color: Color, *, first: int = 0) -> None:
    """Dots joined by lines, broken where there is no value."""
    _, top, _, bottom = box
    points = [
        None if value is None else (_across(box, layer, layers), bottom - min(max(value, 0.0), 1.0) * (bottom - top))
        for layer, value in enumerate(values, start=first)
    ]
    for one, following in itertools.pairwise(points):
        if one is not None and following is not None:
            pen.line(one, following, color=color, width=3)
    for point in points:
        if point is not None:
            pen.dot(point, color, radius=6)


def _similarity(pen: Pen, cka: Mapping[str, Any], box: Box) -> None:
    layers = max(len(cka["vision"]) + 1, len(cka["image"]), len(cka["answer"]), 1)
    _axes(pen, box, f"Linear CKA of before and after, {cka['scenes']} scenes", layers)
    x = box[0]
    for name, color in CURVES.items():
        if not cka[name]:
            continue
        _curve(pen, box, cka[name], layers, color, first=int(name == "vision"))  # a tower's input isn't recorded
        pen.dot((x + 8, box[3] + 82), color, radius=6)
        pen.text((x + 22, box[3] + 88), NAMES[name], size=18, color=SOFT)
        x += 210


def _probe(pen: Pen, probed: Mapping[str, Any], box: Box) -> None:
    layers = len(probed["layers"])
    _axes(pen, box, "Linear probe: the target card's place, on emojis unseen", layers)
    _, top, _, bottom = box
    y = bottom - probed["chance"] * (bottom - top)
    pen.dashed((box[0], y), (box[2], y))
    for side, color, shift in (("before", BEFORE, -4), ("after", AFTER, 4)):
        shifted = (box[0] + shift, top, box[2] + shift, bottom)
        for layer, entry in enumerate(probed["layers"]):
            low, high = (bottom - limit * (bottom - top) for limit in entry[side]["interval"])
            x = _across(shifted, layer, layers)
            pen.line((x, low), (x, high), color=color, width=2)
        _curve(pen, shifted, [entry[side]["estimate"] for entry in probed["layers"]], layers, color)


def _drift(pen: Pen, document: Mapping[str, Any], top: int) -> None:
    """Numbers: how far weights and predictions moved."""
    pen.text((MARGIN, top + 20), "Change of weights, ||w - w0|| / ||w0||")
    for number, (role, change) in enumerate(document["weights"]["roles"].items(), start=1):
        told = "none" if change["relative"] is None else f"{change['relative']:.4g}"
        pen.text((MARGIN, top + 20 + 34 * number), f"{role}: {told} of {change['numbers']:,} numbers", color=SOFT)
    x = MARGIN + (WIDTH - 2 * MARGIN) // 2
    pen.text((x, top + 20), "KL of the next token to the source [nat]")
    for number, entry in enumerate(document["divergence"][:4], start=1):
        told = ", ".join(f"{part} {entry[part]:.4g}" for part in ("answer", "prompt") if entry[part] is not None)
        pen.text((x, top + 20 + 34 * number), f"{entry['kind']}: {told}", color=SOFT)
