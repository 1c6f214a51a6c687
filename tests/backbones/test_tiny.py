"""The writer of tiny random models."""

from __future__ import annotations

from pathlib import Path

import pytest

from gf_core.errors import GrinningFaceError
from gf_policies.backbones import tiny


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        tiny.write_tiny("internvl", tmp_path / name, seed)
    first, again, other = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "abc")
    assert first == again
    assert {name for name in first if first[name] != other[name]} == {"model.safetensors"}
    assert 1_000_000 < len(first["model.safetensors"]) < 3_000_000


def test_an_unknown_family_is_an_error_that_knows_better(tmp_path: Path) -> None:
    with pytest.raises(GrinningFaceError, match="did you mean 'gemma3'"):
        tiny.write_tiny("gema3", tmp_path)


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["tiny", "llava", str(tmp_path / "x"), "--seed", "2"])
    tiny.main()
    assert (tmp_path / "x" / "config.json").is_file()
    assert "tiny random llava" in capsys.readouterr().out
