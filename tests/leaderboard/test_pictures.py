"""Pictures of failures: they show what was recorded, an entry stands without them, and what is none of ours isn't shown."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gf_core.contracts import Images
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.replay import Camera, replay_episode
from gf_core.leaderboard.board import add, init, pictures, read_board
from gf_core.leaderboard.board.pictures import MAX_BYTES, MOST, SIZE, draw_entries, pictures_of
from gf_core.leaderboard.site import build
from gf_core.plugins import PluginHost
from gf_core.runs import read_run

from .forging import Forgery

Forge, Submit = Callable[..., Forgery], Callable[..., Path]


@pytest.fixture
def board(tmp_path: Path) -> Path:
    init(tmp_path / "board", title="Ours", storage="files")
    return tmp_path / "board"


def test_they_show_how_recorded_failures_went(
    board: Path, host: PluginHost, forge: Forge, submit: Submit, tmp_path: Path
) -> None:
    run = read_run(forge("gf/random-v1").write())
    (one,) = add(board, [submit(run.path)], lambda: host)
    assert one.note == ""
    (entry,) = read_board(board).entries
    found = pictures_of(entry.path)
    failed = {row["episode"] for row in run.records if not row["success"]}
    assert {path for path, _ in found} == {"runs/1"}
    assert len(found) == min(MOST, len(failed))
    assert {episode for _, episode in found} <= failed
    (_, episode), file = next(iter(found.items()))
    with Image.open(file) as picture:
        drawn = np.asarray(picture.convert("RGB"), np.float64)
    frames: list[Images] = []
    camera = Camera(name="", size=SIZE, shoot=lambda episode, row, step, image: frames.append(image.copy()))
    replay_episode(run, episode, host, camera=camera)
    for shown, frame in ((drawn[:, : SIZE[1]], frames[0]), (drawn[:, -SIZE[1] :], frames[-1])):
        assert np.abs(shown - frame).mean() < 3  # WebP loses a little
    assert np.abs(drawn[:, : SIZE[1]] - frames[-1]).mean() > 3  # the arm has moved

    build(read_board(board), host, tmp_path / "site")
    page = (tmp_path / "site" / "entries" / f"{entry.id}.html").read_text()
    assert page.count("<figure>") == len(found)
    copied = tmp_path / "site" / "pictures" / entry.id / file.name
    assert f'src="../pictures/{entry.id}/{file.name}"' in page
    assert copied.read_bytes() == file.read_bytes()


def test_an_entry_stands_without_and_is_drawn_later(
    board: Path, host: PluginHost, forge: Forge, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> Any:
        raise GrinningFaceError("no OpenGL here")

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "shoot", refuse)
        (one,) = add(board, [submit(forge("gf/random-v1").write())], lambda: host)
        assert (one.outcome, one.note) == ("added", "no pictures of gf/smoke@1: no OpenGL here")
        assert list(draw_entries(board, [], host)) == [(one.entry, 0, one.note)]
    ((name, count, note),) = draw_entries(board, [one.entry[:12]], host)
    assert (name, note) == (one.entry, "")
    assert count > 0
    (stored,) = (board / "files").iterdir()
    stored.unlink()
    assert list(draw_entries(board, [], host)) == [(one.entry, count, "")]
    for file in pictures_of(read_board(board).entries[0].path).values():
        file.unlink()
    assert list(draw_entries(board, [], host)) == [(one.entry, 0, "the submission isn't in the storage")]


def test_an_entry_whose_drawing_was_interrupted_is_drawn_whole(
    board: Path, host: PluginHost, forge: Forge, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = submit(forge("gf/random-v1").write(), forge("gf/random-v1", seed=1).write())
    (one,) = add(board, [submission], lambda: host, pictures=False)
    assert one.outcome == "added", one
    (entry,) = read_board(board).entries
    runs = iter((pictures.shoot,))

    def once(*args: Any, **options: Any) -> Any:
        for shoot in runs:
            return shoot(*args, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "shoot", once)
        with pytest.raises(KeyboardInterrupt):
            list(draw_entries(board, [], host))
    assert not pictures_of(entry.path)
    assert list(draw_entries(board, [], host)) == [(entry.id, 2 * MOST, "")]


def test_files_that_are_none_of_ours_are_passed_over(tmp_path: Path) -> None:
    def webp(**options: Any) -> bytes:
        file = io.BytesIO()
        Image.fromarray(np.zeros((8, 32, 3), np.uint8)).save(file, "WEBP", **options)
        return file.getvalue()

    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "1-val-a.webp").write_bytes(webp())
    (folder / "1-val-b.webp").write_bytes(b"<svg onload='alert(1)'>")
    (folder / "1-val-c.webp").write_bytes(webp() + b"\0" * MAX_BYTES)
    (folder / "1-<b>.webp").write_bytes(webp())
    (folder / "2-val-d.webp").symlink_to(folder / "1-val-a.webp")
    assert list(pictures_of(tmp_path)) == [("runs/1", "val-a")]
