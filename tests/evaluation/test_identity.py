"""The same bytes, however a run is carried out."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gf_core.errors import GrinningFaceError
from gf_core.evaluation import Request, Resources, run_suite
from gf_core.plugins import PluginHost

from .conftest import results, suite_document


@pytest.mark.parametrize("policy", ["local/reacher-v1", "local/pair-v1", "local/looker-v1", "local/peeker-v1"])
def test_slots_and_processes_change_no_byte(play, write_suite, tmp_path, policy):
    suite = write_suite(33, horizon=12)
    expected = results(play(suite, policy, slots=1, out="1").run.path)
    for slots in (8, 32):
        assert results(play(suite, policy, slots=slots, out=str(slots)).run.path) == expected
    assert results(play(suite, policy, slots=8, out="child", in_process=False).run.path) == expected


@settings(max_examples=12, deadline=None)
@given(
    slots=st.integers(2, 16),
    chunk=st.integers(1, 7),
    execute=st.one_of(st.none(), st.integers(1, 9)),
    horizons=st.lists(st.integers(1, 15), min_size=1, max_size=14),
    policy=st.sampled_from(["local/reacher-v1", "local/pair-v1"]),
    latency=st.one_of(st.none(), st.integers(0, 5)),
)
def test_any_mixture_of_horizons_and_chunks(host, slots, chunk, execute, horizons, policy, latency):
    from gf_core.evaluation import Timing

    timing = Timing() if latency is None else Timing(mode="realtime", latency_steps=latency)
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "suite.json"
        suite.write_text(json.dumps(suite_document([{"horizon": h} for h in horizons])))
        request = Request(suite=str(suite), policy=policy, policy_config={"chunk": chunk}, execute_steps=execute, timing=timing)
        alone = run_suite(request, host=host, out=Path(folder) / "1", resources=Resources(slots=1, in_process=True))
        beside = run_suite(request, host=host, out=Path(folder) / "n", resources=Resources(slots=slots, in_process=True))
        assert results(alone.run.path) == results(beside.run.path)
        assert [len(alone.run.trajectory(r["episode"]).actions) for r in alone.run.records] == [
            r["steps"] for r in alone.run.records
        ]


@pytest.mark.parametrize("asked", [{"policy_seed": 2**63}, {"execute_steps": -1}])
def test_what_could_not_be_read_again_is_not_begun(play, write_suite, tmp_path, asked):
    with pytest.raises(GrinningFaceError, match=r"run\.json"):
        play(write_suite(1), **asked)
    assert not (tmp_path / "run" / "run.json").exists()


def test_seeds_belong_to_episodes(play, write_suite):
    whole = play(write_suite(6), out="whole")
    part = play(write_suite(6), out="part", episodes=("e004", "e002"))
    assert [row["episode"] for row in part.run.records] == ["e002", "e004"]
    for row in part.run.records:
        twin = next(r for r in whole.run.records if r["episode"] == row["episode"])
        assert {**row, "previous": ""} == {**twin, "previous": ""}
    other = play(write_suite(6), out="other", policy_seed=1)
    assert other.run.records[0]["trajectory_sha256"] != whole.run.records[0]["trajectory_sha256"]


def test_run_json_says_what_was_run_and_nothing_else(play, write_suite, tmp_path):
    result = play(write_suite(4), "local/looker-v1", env_config=("drift=0.5",), limit=3, control_hz=10)
    text = (result.run.path / "run.json").read_text()
    identity = result.run.identity
    assert str(tmp_path) not in text
    assert {identity[mark] for mark in ("unpackaged", "partial", "variant")} == {True}
    assert identity["environment"]["runtime"] == {"renderer": "arithmetic"}
    assert identity["environment"]["config"] == {"drift": 0.5, "broken": "", "deck": ""}
    assert identity["horizon_scale"] == 0.5
    assert identity["episodes"] == ["e000", "e001", "e002"]
    assert identity["versions"]["grinningface"]


def test_documents_fit_their_schemas(play, write_suite):
    from gf_core.schemas import validate

    path = play(write_suite([{}, {"instruction": "nan"}])).run.path
    validate(json.loads((path / "run.json").read_bytes()), "run", source="run.json")
    for kind, name in (("journal", "journal.jsonl"), ("episode_record", "episodes.jsonl")):
        lines = (path / name).read_text().splitlines()
        assert len(lines) >= 2
        for number, line in enumerate(lines):
            validate(json.loads(line), kind, source=f"{name}:{number}", major=1)


def test_another_rate_keeps_the_seconds(play, write_suite):
    goals = [{"from_step": 0, "instruction": "go"}, {"from_step": 7, "instruction": "nan"}]
    suite = write_suite(
        [{"instruction": goals, "horizon": 21, "scene": {"goal": [9, 9]}}, {"scene": {"goal": [9, 9]}, "horizon": 21}]
    )
    at_20, at_10 = play(suite, out="20"), play(suite, out="10", control_hz=10)
    assert [row["steps"] for row in at_20.run.records] == [7, 21]
    assert [row["steps"] for row in at_10.run.records] == [4, 11]


def test_the_host_is_the_installed_plugins_by_default(write_suite, tmp_path):
    from gf_core.errors import UnknownIdError

    with pytest.raises(UnknownIdError):
        run_suite(Request(suite=write_suite(1), policy="local/reacher-v1"), out=tmp_path / "run")


def test_observers_are_told(tmp_path, write_suite):
    from gf_core.hookspecs import hookimpl  # noqa: F401  (the plugin below imports it)
    from gf_core.plugins import load_plugins

    from .conftest import FAKES

    log = tmp_path / "told.txt"
    watcher = tmp_path / "watcher.py"
    watcher.write_text(
        "from gf_core.hookspecs import hookimpl\n"
        f"LOG = open({str(log)!r}, 'a')\n"
        "@hookimpl\ndef gf_run_started(run): print('start', run['suite']['id'], file=LOG)\n"
        "@hookimpl\ndef gf_episode_finished(run, record):\n    print(record['episode'], file=LOG)\n    raise SystemExit(1)\n"
        "@hookimpl\ndef gf_run_finished(run, result): print('end', result['episodes'], result['valid'], file=LOG, flush=True)\n"
    )
    host: PluginHost = load_plugins([FAKES, watcher], environ={"GF_PLUGIN_AUTOLOAD": "0"})
    request = Request(suite=write_suite(2), policy="local/reacher-v1")
    run_suite(request, host=host, out=tmp_path / "run", resources=Resources(slots=1, in_process=True))
    assert log.read_text().split("\n") == ["start local/reach@1", "e000", "e001", "end 2 True", ""]
