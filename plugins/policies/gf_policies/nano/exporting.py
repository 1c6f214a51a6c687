"""Pages as a folder of conversations, for co-training, and as a picture to look at."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from gf_core._files import write_whole
from gf_core.canonical import canonical_json, sha256
from gf_core.contracts import Deck
from gf_core.errors import GrinningFaceError
from gf_core.training.conversations import CONVERSATIONS, SIDECAR
from gf_policies.nano.drawing import SIDE
from gf_policies.nano.measuring import kind_of
from gf_policies.nano.pages import Page, draw_page
from gf_policies.nano.things import Thing

DOMAIN = "web"
"""Domain of the conversations: ``web/where``, ``web/name``, …: not about robots."""
EXPORT_SEED = 2**30
"""Added to the seed: not the pages that the model was pretrained on."""
GENERATOR = "gf pretrain pages 1"


def write_pages(
    things: Sequence[Thing],
    decks: Sequence[Deck],
    out: Path,
    *,
    count: int,
    turns: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> Mapping[str, Any]:
    """Write pages as conversations, one record for each question; returns the manifest. The same again writes nothing.

    Raises:
        GrinningFaceError: ``out`` holds something else, or can't be written.
    """
    request = {"count": count, "turns": turns, "seed": seed, "decks": {deck.id: deck.sha256 for deck in decks}}
    sidecar, file = out / SIDECAR, out / CONVERSATIONS
    if sidecar.is_file():
        known: dict[str, Any] = json.loads(sidecar.read_text(encoding="utf-8"))
        if canonical_json(known.get("request")) == canonical_json(request) and file.is_file():
            return known
        raise GrinningFaceError("it holds data that was made otherwise", where=str(out), hint="give another --out")
    lines, domains, shown = [], Counter[str](), set[str]()
    for index in range(count):
        page = draw_page(things, EXPORT_SEED + seed, index, turns)
        name = f"images/{index:06d}.png"
        write_whole(out / name, partial(Image.fromarray(page.image).save, format="PNG"))
        shown |= {things[number].item for number in page.cells.tolist() if 0 <= number < len(things)}
        for question, answer in page.turns:
            domain = f"{DOMAIN}/{kind_of(question, answer)}"
            domains[domain] += 1
            said = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]
            lines.append(json.dumps({"image": name, "domain": domain, "conversations": said}, ensure_ascii=False))
        progress(index + 1, count)
    write_whole(file, ("\n".join(lines) + "\n").encode())
    manifest = {
        "schema_version": "1.0",
        "kind": "conversations",
        "sha256": sha256(file.read_bytes()),
        "records": len(lines),
        "images": count,
        "domains": dict(sorted(domains.items())),
        "items": {
            # Things that aren't on a page are named too, in questions whether they are.
            deck.id: {"sha256": deck.sha256, "shown": sorted(shown), "named": sorted(deck.items)}
            for deck in decks
        },
        "generator": GENERATOR,
        "seed": seed,
        "request": request,
    }
    write_whole(sidecar, (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode())
    return manifest


def contact_sheet(pages: Sequence[Page], columns: int = 3) -> Image.Image:
    """Pages at twice their size, each with what is said about it."""
    width, height, line = 2 * SIDE + 300, 2 * SIDE + 12, 13
    rows = -(-len(pages) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    pen = ImageDraw.Draw(sheet)
    for number, page in enumerate(pages):
        x, y = number % columns * width, number // columns * height
        sheet.paste(Image.fromarray(page.image).resize((2 * SIDE, 2 * SIDE), Image.Resampling.NEAREST), (x, y))
        for place, (question, answer) in enumerate(page.turns):
            for part, (text, colour) in enumerate(((question, "black"), (answer, "blue"))):
                shown = text if len(text) <= 46 else text[:45] + "…"
                pen.text((x + 2 * SIDE + 6 + 8 * part, y + 4 + line * (2 * place + part)), shown, fill=colour)
    return sheet
