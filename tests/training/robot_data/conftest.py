from __future__ import annotations

from pathlib import Path

import pytest

from . import recorded


@pytest.fixture(scope="session")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recorded episodes, 64 × 64 px, cameras third and wrist; not to be written to."""
    return recorded.demos(tmp_path_factory.getbasetemp())
