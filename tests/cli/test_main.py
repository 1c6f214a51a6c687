"""How `gf` ends."""

from __future__ import annotations

import pytest

from gf_core.cli import doctor
from gf_core.cli.main import main


def test_a_fault_of_the_program_is_told_from_a_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def burst(**options: object) -> int:
        raise KeyError("where it hurts")

    monkeypatch.setattr(doctor.command, "callback", burst)
    assert main(["doctor"]) == 70
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-2:] == [
        "KeyError: 'where it hurts'",
        "that is a fault of the program or of a plugin: please report it, with the lines above",
    ]


def test_what_a_command_exits_with_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(**options: object) -> int:
        raise SystemExit(5)

    monkeypatch.setattr(doctor.command, "callback", leave)
    with pytest.raises(SystemExit) as left:
        main(["doctor"])
    assert left.value.code == 5
