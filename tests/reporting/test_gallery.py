"""Which episodes are shown, and their pictures; with a made-up environment whose red channel is the step."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gf_core.evaluation import Request, Resources, run_suite
from gf_core.evaluation.suites import Suite, load_suite
from gf_core.plugins import PluginHost, load_plugins
from gf_core.reporting import Evidence, html_report, read_evidence
from gf_core.reporting import film as film_module
from gf_core.reporting import gallery as gallery_module
from gf_core.reporting.faces import Faces
from gf_core.reporting.film import FRAME_SIZE, FRAMES, STILL_SIZE, Filmed
from gf_core.reporting.gallery import ITEMS, SUCCESSES, Strip, choose, make_gallery
from gf_core.reporting.outcomes import Kind, kind_of
from gf_core.reporting.picture import LAST_FRAME_MS
from gf_core.summary import MetricDecl

from .page import Page, check

FAKES = Path(__file__).parents[1] / "fakes" / "reach.py"
GIVEN = MetricDecl(name="recognition", metric="right", given="executed")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> PluginHost:
    monkeypatch.setenv("GF_PLUGIN_AUTOLOAD", "0")
    return load_plugins([FAKES])


@pytest.fixture
def play(host: PluginHost, tmp_path: Path) -> Callable[..., Evidence]:
    """``play("name", config={...}, horizons=[...])``: a real run of as many episodes."""

    def run(name: str, *, config: Mapping[str, Any] | None = None, horizons: tuple[int, ...] = (20, 2, 20)) -> Evidence:
        episodes = [
            {"id": f"e{i}", "split": "all", "cluster": f"c{i}", "seed": 0, "instruction": "go", "horizon": horizon, "factors": {}}
            | {"scene": {"start": [0.0, 0.0], "goal": [0.3, 0.01 * i]}}
            for i, horizon in enumerate(horizons)
        ]
        head = {"schema_version": "1.0", "kind": "suite", "id": "local/tiny@1", "summary": "for tests", "license": "Apache-2.0"}
        env = {"env": {"id": "local/reach-v1", "config": dict(config or {})}, "control_hz": 20, "decks": {}}
        near = {"name": "near", "metric": "near", "description": "near"}
        document = head | env | {"splits": {"all": {"description": "all"}}, "metrics": [near], "episodes": episodes}
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(document))
        request, here = Request(suite=str(file), policy="local/reacher-v1"), Resources(in_process=True)
        run_suite(request, host=host, out=tmp_path / name, resources=here)
        return read_evidence(tmp_path / name, lambda _: load_suite(str(file), host))

    return run


def frames(uri: str) -> list[Image.Image]:
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    found = []
    for number in range(getattr(picture, "n_frames", 1)):
        picture.seek(number)
        found.append(picture.convert("RGB"))
    return found


def durations(uri: str) -> list[int]:
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    found = []
    for number in range(getattr(picture, "n_frames", 1)):
        picture.seek(number)
        picture.load()
        found.append(int(picture.info["duration"]))
    return found


def row(name: str, what: str) -> dict[str, Any]:
    success = what == "right"
    executed = what in ("right", "wrong")
    ending = what if what.endswith("error") else "placed"
    return {"episode": name, "success": success, "ending": ending, "metrics": {"executed": executed, "right": success}}


def chosen(what: list[str], limit: int = ITEMS) -> list[str]:
    rows = [row(f"e{i}", w) for i, w in enumerate(what)]
    return [what[i] for i in choose(rows, limit, [kind_of(r, GIVEN) for r in rows])]


def test_failures_come_first_by_kind_then_some_successes() -> None:
    found = chosen(["right"] * 30 + ["wrong"] * 30 + ["missed"] * 30 + ["policy_error"] * 2)
    assert found == ["wrong"] * 4 + ["missed"] * 3 + ["policy_error"] * 2 + ["right"] * SUCCESSES


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (["right"] * 20, ["right"] * ITEMS),
        (["wrong"] * 20, ["wrong"] * ITEMS),
        (["wrong", *["right"] * 20], ["wrong", *["right"] * (ITEMS - 1)]),
        (["env_error", "right"], ["right"]),
        ([], []),
    ],
)
def test_room_that_is_left_is_used(what: list[str], expected: list[str]) -> None:
    assert chosen(what) == expected


def test_the_same_episodes_are_drawn_whatever_their_order() -> None:
    rows = [row(f"e{i}", "wrong") for i in range(50)]
    kinds = [Kind.WRONG] * 50
    forwards = {rows[i]["episode"] for i in choose(rows, 5, kinds)}
    backwards = rows[::-1]
    assert {backwards[i]["episode"] for i in choose(backwards, 5, kinds)} == forwards
    assert forwards != {f"e{i}" for i in range(5)}


def test_pictures_show_the_recorded_episode(play: Callable[..., Evidence], host: PluginHost) -> None:
    evidence = play("run")
    (strip,) = make_gallery([evidence], Faces({}), host)
    assert strip.note == ""
    assert [(t.kind, t.success, t.id) for t in strip.tiles] == [
        (Kind.FAILED, False, "e1"),
        *[(Kind.SUCCEEDED, True, t.id) for t in strip.tiles[1:]],
    ]
    for tile in strip.tiles:
        assert tile.film is not None
        assert tile.film.differs == ""
        (first,) = frames(tile.film.still)
        assert first.size == STILL_SIZE
        moving = frames(tile.film.moving)
        steps = next(r["steps"] for r in evidence.run.records if r["episode"] == tile.id)
        assert 2 <= len(moving) <= min(FRAMES, steps + 1)  # frames that look the same are stored as one
        assert moving[0].size == FRAME_SIZE
        assert sum(durations(tile.film.moving)) == pytest.approx(1000 * steps / 20 + LAST_FRAME_MS, abs=len(moving))
    check(Page(html_report([evidence], host)))


def test_frames_are_spread_over_the_episode_from_its_first_step_to_its_last(
    play: Callable[..., Evidence], host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = play("run", horizons=(30, 2))
    steps: list[list[int]] = []
    monkeypatch.setattr(film_module, "animation", lambda images, seconds: steps.append([int(i[80, 80, 0]) for i in images]) or "")
    make_gallery([evidence], Faces({}), host)
    lengths = [r["steps"] for r in evidence.run.records]
    assert sorted(s[-1] for s in steps) == sorted(lengths)
    for shown in steps:
        assert shown[0] == 0
        assert len(shown) == min(FRAMES, shown[-1] + 1)
        gaps = [after - before for before, after in pairwise(shown)]
        assert max(gaps) - min(gaps) <= 1


def test_pictures_are_the_same_bytes_alone_and_among_others(play: Callable[..., Evidence], host: PluginHost) -> None:
    first, second = play("first"), play("second")
    together = make_gallery([first, second], Faces({}), host)
    assert together[0] == make_gallery([first], Faces({}), host)[0]
    assert html_report([first, second], host) == html_report([first, second], host)


@pytest.mark.parametrize(
    ("broken", "why"), [("make", "no such plane"), ("missing", "OpenGL is missing; apt-get install libegl1")]
)
def test_what_stands_in_the_way_of_pictures_is_told(
    play: Callable[..., Evidence], host: PluginHost, broken: str, why: str
) -> None:
    evidence = play("run")
    identity = {**evidence.run.identity}
    identity["environment"] = {**identity["environment"], "config": {"drift": 0.01, "broken": broken, "deck": ""}}
    elsewhere = replace(evidence, run=replace(evidence.run, identity=identity))
    whole, without = make_gallery([evidence, elsewhere], Faces({}), host)
    assert whole.note == ""
    assert all(tile.film for tile in whole.tiles)
    assert why in without.note
    assert [tile.film for tile in without.tiles] == [None] * 3
    assert why in Page(html_report([elsewhere], host)).by_id("main").text


def test_a_missing_or_changed_trajectory_costs_only_its_own_runs_pictures(
    play: Callable[..., Evidence], host: PluginHost
) -> None:
    missing, changed, whole = play("missing"), play("changed"), play("whole")
    (missing.run.path / "trajectories" / "e1.npz").unlink()
    (changed.run.path / "trajectories" / "e1.npz").write_bytes(b"PK")
    strips = make_gallery([missing, changed, whole], Faces({}), host)
    assert ["the file is missing" in strips[0].note, "was changed after" in strips[1].note, strips[2].note] == [True, True, ""]
    assert [bool(tile.film) for tile in strips[2].tiles] == [True] * 3


def test_an_episode_that_ends_otherwise_is_marked(play: Callable[..., Evidence], host: PluginHost) -> None:
    evidence = play("run")
    forged = [{**r, "success": True, "ending": "success"} for r in evidence.run.records]
    (strip,) = make_gallery([replace(evidence, run=replace(evidence.run, records=tuple(forged)))], Faces({}), host)
    differs = {tile.id: tile.film.differs for tile in strip.tiles if tile.film}
    assert differs["e1"] == "recorded as success, replayed as horizon"
    assert differs["e0"] == ""


def test_an_episode_that_broke_before_its_first_step_is_a_still(play: Callable[..., Evidence], host: PluginHost) -> None:
    evidence = play("run")
    suite: Suite = evidence.suite  # type: ignore[assignment]
    short = replace(suite, episodes=tuple(replace(e, horizon=0) if e.id == "e1" else e for e in suite.episodes))
    (strip,) = make_gallery([replace(evidence, suite=short)], Faces({}), host)
    (film,) = [tile.film for tile in strip.tiles if tile.id == "e1"]
    assert film is not None
    assert (bool(film.still), film.moving) == (True, "")


def test_without_its_suite_a_run_has_no_tiles(play: Callable[..., Evidence], host: PluginHost) -> None:
    (strip,) = make_gallery([replace(play("run"), suite=None)], Faces({}), host)
    assert strip == Strip(tiles=(), note="The suite isn't known here, so episodes can't be shown.")


def test_a_page_of_many_runs_stays_small(
    play: Callable[..., Evidence], host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = play("run")
    monkeypatch.setattr(gallery_module, "MOST", 4)
    assert [len(s.tiles) for s in make_gallery([evidence, evidence], Faces({}), host)] == [2, 2]
    assert [len(s.tiles) for s in make_gallery([evidence] * 5, Faces({}), host)] == [1] * 5
    monkeypatch.setattr(gallery_module, "MEDIA_BYTES", 0)
    films = [tile.film for s in make_gallery([evidence], Faces({}), host) for tile in s.tiles]
    assert all(isinstance(film, Filmed) and film.still and not film.moving for film in films)
