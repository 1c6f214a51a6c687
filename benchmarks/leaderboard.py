"""What a leaderboard of many entries costs: building its site, its front page, and sorting in a browser.

Entries are made up: outcomes are drawn, and rates and documents follow from them.

    python benchmarks/leaderboard.py [--entries 1000] [--json FILE]
"""

from __future__ import annotations

import argparse
import copy
import functools
import http.server
import json
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from gf_core.canonical import canonical_json, sha256
from gf_core.cli.site import _Handler
from gf_core.leaderboard.board import init, read_board
from gf_core.leaderboard.site import build
from gf_core.plugins import load_plugins
from gf_core.statistics import wilson
from tests.leaderboard.boards import suite, write_entry

ROUNDS = 5
TECHNIQUES = ("full", "LoRA r16", "LoRA r64", "freeze", "co-training", "bins", "FAST", "latent actions")
BACKBONES = ("PaliGemma 3B", "Qwen2.5-VL 3B", "SmolVLM 500M", "InternVL3 2B", "nano")


def fill(board: Path, entries: int) -> None:
    """Write a repository of so many entries: one is made by the real code, the others are it with other outcomes."""
    init(board, title="Benchmark", storage="files")
    first = board / "entries" / write_entry(board, "Entry 0", 0.5, backbone="x", technique="y")
    documents = {path.name: json.loads(path.read_bytes()) for path in first.iterdir()}
    shutil.rmtree(first)
    val = [place for place, episode in enumerate(suite().episodes) if episode.split == "val"]
    for number in range(entries):
        made = vary(copy.deepcopy(documents), number, val)
        folder = board / "entries" / made["entry.json"]["id"]
        folder.mkdir()
        for name, document in made.items():
            (folder / name).write_text(canonical_json(document) + "\n", encoding="utf-8")


def vary(documents: dict[str, Any], number: int, val: list[int]) -> dict[str, Any]:
    """The documents of another entry."""
    draw = random.Random(number)
    rate, digest = draw.betavariate(2, 1.5), sha256(str(number))
    run = documents["outcomes.json"]["runs"][0]
    success = "".join("1" if draw.random() < rate else "0" for _ in run["metrics"]["success"])
    run["metrics"]["success"], run["key"] = success, digest
    entry_id = f"2026-01-{1 + number % 28:02d}-entry-{number}-{digest[:8]}"
    documents["entry.json"].update(id=entry_id)
    documents["entry.json"]["submission"]["sha256"] = digest
    technique, backbone = draw.choice(TECHNIQUES), draw.choice(BACKBONES)
    documents["card.json"].update(name=f"Entry {number}", technique=technique, backbone=backbone, training_seed=number)
    submission = documents["verdict.json"]["submissions"][0]
    submission.update(sha256=digest, name=f"Entry {number}")
    for split in submission["runs"][0]["splits"]:
        hits = sum(success[place] == "1" for place in val)
        interval = wilson(hits, len(val))
        assert interval is not None
        split["rates"][0].update(k=hits, n=len(val), estimate=hits / len(val), interval=[interval.low, interval.high])
    return documents


def in_a_browser(site: Path) -> dict[str, float]:
    """Milliseconds to the front page's first content, and for sorting it by success; medians of rounds."""
    from playwright.sync_api import sync_playwright

    executable = next(path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name)))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    paint, sort = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(ROUNDS):
            page = browser.new_context().new_page()
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/index.html")
            page.wait_for_selector(".dt-search input")
            paint.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
            script = """() => {
              const header = [...document.querySelectorAll('#board thead th')].find((th) => th.textContent.includes('success'));
              const begun = performance.now();
              header.click();
              return new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun))));
            }"""
            sort.append(page.evaluate(script))
        browser.close()
    server.shutdown()
    return {"first_content_ms": statistics.median(paint), "sort_ms": statistics.median(sort)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1000)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        board, site = Path(folder) / "board", Path(folder) / "site"
        fill(board, arguments.entries)
        begun = time.perf_counter()
        found = read_board(board)
        read = time.perf_counter()
        built = build(found, load_plugins(), site)
        done = time.perf_counter()
        result: dict[str, Any] = {
            "entries": arguments.entries,
            "read_s": read - begun,
            "build_s": done - read,
            "pages": built.pages,
            "front_page_mb": built.front_bytes / 1e6,
            **in_a_browser(site),
        }
    for key, value in result.items():
        print(f"{key:18} {value:.2f}" if isinstance(value, float) else f"{key:18} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
