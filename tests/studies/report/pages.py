"""The reader of pages that the tests of run reports have: it lies in another package of tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def _load() -> ModuleType:
    file = Path(__file__).parents[2] / "reporting" / "page.py"
    spec = importlib.util.spec_from_file_location("reader_of_pages", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


_reader = _load()
ALLOWED, Page, check_structure = _reader.ALLOWED | {"g"}, _reader.Page, _reader._check_structure
