"""Observers watch; they can't change a result or end a run."""

from __future__ import annotations

import logging

import pytest

WATCHING = """
seen = []

@hookimpl
def gf_episode_finished(run, record):
    print("noise")
    seen.append((run, record))
"""

HARMFUL = """
import sys

@hookimpl
def gf_episode_finished(record):
    record["success"] = True

@hookimpl
def gf_run_started(run):
    run["nested"]["deep"].append(1)

@hookimpl
def gf_run_finished():
    sys.exit("enough")
"""


def test_an_observer_that_raises_is_marked_and_the_others_are_called(site, caplog, capsys):
    site.add("harmful", HARMFUL)
    site.add("watching", WATCHING)
    host = site.load()
    record = {"success": False, "metrics": {"chosen": [1, 2]}}
    run = {"nested": {"deep": [0]}}
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            host.observe("gf_episode_finished", run=run, record=record)
        host.observe("gf_run_started", run=run)
        host.observe("gf_run_finished", run=run, result={})
    assert record == {"success": False, "metrics": {"chosen": [1, 2]}}
    assert run == {"nested": {"deep": [0]}}
    states = {status.distribution: status for status in host.plugins}
    assert states["harmful"].state == "loaded"
    assert [line.partition(", first ")[0] for line in states["harmful"].observer_errors] == [
        "gf_episode_finished raised 3 times",
        "gf_run_started raised 1 time",
        "gf_run_finished raised 1 time",
    ]
    assert states["watching"].observer_errors == ()
    assert sum("gf_episode_finished" in message for message in caplog.messages) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("noise") == 3

    import sys

    (module,) = [sys.modules[name] for name in site.modules if hasattr(sys.modules[name], "seen")]
    assert module.seen == [(run | {"nested": {"deep": (0,)}}, {"success": False, "metrics": {"chosen": (1, 2)}})] * 3


def test_interrupting_an_observer_interrupts_the_run(site):
    site.add("interrupting", "@hookimpl\ndef gf_run_started(run):\n    raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        site.load().observe("gf_run_started", run={})


def test_failed_plugins_do_not_observe(site):
    site.add("failed", WATCHING + "\n@hookimpl\ndef gf_register_heads(register):\n    1 / 0")
    host = site.load()
    host.observe("gf_episode_finished", run={}, record={})
    import sys

    assert sys.modules[site.modules[0]].seen == []


def test_only_observers_can_be_called(site):
    with pytest.raises(ValueError, match="not an observer"):
        site.load().observe("gf_register_policies", register=print)
