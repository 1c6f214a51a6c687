"""Write the suites: ``python -m gf_envs.suites.generate``; with ``--check`` only compare them with the committed files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from gf_core.canonical import content_hash
from gf_envs.suites import LOCK, file_name
from gf_envs.suites.catalogue import SUITES, document
from gf_envs.suites.episodes import document_text

FOLDER = Path(__file__).parent


def outputs() -> dict[Path, str]:
    """Every file of the suites and its text: one a suite, and the lock that pins their content hashes."""
    documents = {suite_id: document(suite_id) for suite_id in SUITES}
    texts = {FOLDER / file_name(suite_id): document_text(content) for suite_id, content in documents.items()}
    lock = {
        suite_id: {
            "sha256": content_hash(content),
            "summary": SUITES[suite_id].summary,
            "ranked": SUITES[suite_id].ranked,
            "citation": SUITES[suite_id].citation,
        }
        for suite_id, content in documents.items()
    }
    return texts | {FOLDER / LOCK: json.dumps(lock, indent=2, ensure_ascii=False) + "\n"}


def differing() -> list[Path]:
    """The files that aren't what the generator writes."""
    return [path for path, text in outputs().items() if not path.is_file() or path.read_bytes() != text.encode()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gf_envs.suites.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file differs")
    if parser.parse_args(arguments).check:
        for path in (different := differing()):
            print(f"{path}: differs from what the generator writes; a changed suite needs a new number")
        return 1 if different else 0
    for path, text in outputs().items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode())
        print(f"{path}: {len(text.encode()) / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
