"""The specs: light to import, complete, and each makes a head of its kind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gf_core.plugins import load_plugins
from gf_policies.heads.specs import HEADS

from .tiny import HORIZON, make_head


def test_importing_them_imports_nothing_heavy() -> None:
    program = (
        "import sys, gf_policies.plugin; print([m for m in ('torch', 'tokenizers', 'transformers', 'scipy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_they_are_registered_and_describe_every_setting() -> None:
    registry = load_plugins().heads
    for spec in HEADS:
        assert registry.get(spec.id).entry_point == spec.entry_point
        assert spec.citation.startswith("arXiv:")
        assert spec.extra == "grinningface[train]"
        assert spec.config_schema is not None
        for setting in spec.config_schema["properties"].values():
            assert {"description", "default"} <= set(setting)


@pytest.mark.parametrize(
    ("id", "speaks", "queries"),
    [
        ("gf/regression-v1", False, HORIZON),
        ("gf/flow-v1", False, 0),
        ("gf/bins-v1", True, 0),
        ("gf/fast-v1", True, 0),
        ("gf/latent-v1", True, 0),
        ("gf/text-v1", True, 0),
    ],
)
def test_defaults_make_a_head(id: str, speaks: bool, queries: int) -> None:
    head = make_head(id)
    assert (head.speaks, head.queries, bool(head.length)) == (speaks, queries, speaks)
