"""The example of the documentation is a study."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gf_core.studies.document import complete_study, name_problems

PAGE = Path(__file__).parents[2] / "docs" / "studies.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="docs/ is part of the checkout, not of the wheel")
def test_the_example_is_a_study_of_eighteen_cells() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    study = complete_study(json.loads(block), source="docs")
    assert len(study.cells) == 3 * 2 * 3
    assert name_problems(study.document) == []
