"""How far each cell of a study is, as `gf study run`, `show` and `pack` tell it in the end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from gf_core._problems import printable, shorten
from gf_core.cli._common import print_json, print_table
from gf_core.cli.display import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gf_core.studies.document import Study
    from gf_core.studies.folder import CellState

_REASON = 100


def tell_states(study: Study, states: Sequence[CellState], as_json: bool) -> None:
    """How far each cell is: a table, or a document of kind ``study_state``."""
    if as_json:
        rows = [_row(state) for state in states]
        print_json("study_state", {"study": study.name, "study_sha256": study.sha256, "cells": rows})
        return
    click.echo(f"{study.name} ({study.sha256[:12]}): {printable(study.question)}")
    print_table(["cell", "state", "value", "took", ""], [_cells(state) for state in states])
    counts = Counter(state.state for state in states)
    click.echo(", ".join(f"{count} {state}" for state, count in counts.items()))


def _row(state: CellState) -> dict[str, Any]:
    record = state.record
    return {
        "cell": state.cell.id,
        "state": state.state,
        "phase": (record.phase or None) if record else None,
        "reason": state.told if state.damaged else (record.reason or None) if record else None,
        "seconds": sum(record.seconds.values()) if record else 0.0,
        "value": record.value if record else None,
    }


def _cells(state: CellState) -> list[str]:
    record = state.record
    took = duration(sum(record.seconds.values())) if record else ""
    value = f"{record.value:g}" if record and record.value is not None else ""
    return [state.cell.id, state.state, value, took, shorten(printable(state.told), _REASON)]
