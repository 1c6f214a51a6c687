from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gf_core.cli.display import LiveProgress, PlainProgress, duration, make_progress, rate_text


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def record(number: int, *, success: bool = True, ending: str = "") -> dict[str, Any]:
    return {"cluster": str(number), "success": success, "ending": ending or ("success" if success else "horizon")}


def watch(display: PlainProgress | LiveProgress, clock: Clock, *, total: int, done: int = 0, stop: int | None = None) -> None:
    """A run of two episodes per second, every second one a success."""
    display.started(total, done, "gf/null-v1 on gf/quick@1")
    for number in range(total if stop is None else stop):
        clock.now += 0.5 if number >= done else 0.0
        display.episode(record(number, success=number % 2 == 0))
    display.finished(stop is None)


def plain_lines(**run: Any) -> list[str]:
    stream, clock = io.StringIO(), Clock()
    watch(PlainProgress(stream, clock), clock, **run)
    return stream.getvalue().splitlines()


def test_plain_lines_at_every_tenth() -> None:
    lines = plain_lines(total=100)
    assert lines[0] == "gf/null-v1 on gf/quick@1: 100 episodes"
    assert re.fullmatch(r"10/100 episodes · success 50\.0 % \[\d+\.\d, \d+\.\d\] · 2\.0 episodes/s · 45 s left", lines[1])
    assert re.fullmatch(r"100/100 episodes in 50 s, 2\.0 episodes/s · success 50\.0 % \[40\.4, 59\.6\]", lines[-1])
    assert len(lines) == 11


def test_plain_lines_when_a_tenth_takes_long() -> None:
    stream, clock = io.StringIO(), Clock()
    display = PlainProgress(stream, clock)
    display.started(100, 0, "slow")
    for number in range(5):
        clock.now += 20
        display.episode(record(number))
    assert [line.split(" · ")[0] for line in stream.getvalue().splitlines()[1:]] == ["2/100 episodes", "4/100 episodes"]
    assert "3.0 episodes/min · 32 min 40 s left" in stream.getvalue()


def test_a_fast_run_is_not_a_flood_of_lines() -> None:
    stream, clock = io.StringIO(), Clock()
    display = PlainProgress(stream, clock)
    display.started(1000, 0, "fast")
    for number in range(1000):
        clock.now += 0.01
        display.episode(record(number))
    assert 3 <= len(stream.getvalue().splitlines()[1:]) <= 4


def test_a_resumed_run_counts_earlier_episodes_but_not_their_speed() -> None:
    lines = plain_lines(total=100, done=60)
    assert lines[0] == "gf/null-v1 on gf/quick@1: 100 episodes, 60 of them done earlier"
    assert lines[1].startswith("70/100 episodes · success 50.0 %")
    assert lines[1].endswith("2.0 episodes/s · 15 s left")
    assert lines[-1].startswith("100/100 episodes, 40 of them now in 20 s, 2.0 episodes/s · success 50.0 %")


def test_an_interrupted_run_says_where_it_stopped() -> None:
    assert plain_lines(total=100, stop=13)[-1].startswith("stopped at 13/100 episodes in 6.5 s")
    assert plain_lines(total=10, stop=0)[-1] == "stopped at 0/10 episodes · success —"


def test_faults_are_told_and_infrastructure_faults_are_no_failures() -> None:
    stream = io.StringIO()
    display = PlainProgress(stream, Clock())
    display.started(3, 0, "x")
    display.note("environment fault with e1: \x1b[2J it broke")
    display.episode(record(0))
    display.episode(record(1, success=False, ending="env_error"))
    display.episode(record(2, success=False, ending="policy_error"))
    display.finished(True)
    lines = stream.getvalue().splitlines()
    assert lines[1] == "environment fault with e1: \\x1b[2J it broke"
    assert "success 50.0 %" in lines[-1]
    assert lines[-1].endswith("· 1 policy error · 1 infrastructure fault")


def test_a_reader_that_went_away_does_not_end_the_run() -> None:
    class Gone(io.StringIO):
        tried = 0

        def write(self, text: str) -> int:
            self.tried += 1
            raise BrokenPipeError

    stream, clock = Gone(), Clock()
    watch(PlainProgress(stream, clock), clock, total=10)
    assert stream.tried >= 3


def test_live_display_redraws_one_line_and_leaves_the_last() -> None:
    from rich.console import Console

    stream, clock = io.StringIO(), Clock()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None, legacy_windows=False, _environ={})
    display = LiveProgress(console, clock)
    watch(display, clock, total=20)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert text.splitlines()[0] == "gf/null-v1 on gf/quick@1: 20 episodes"
    assert "20/20" in text
    assert "[" in text.splitlines()[-1]
    assert text.splitlines()[-1].startswith("20/20 episodes in 10 s, 2.0 episodes/s · success 50.0 % [")


SCRIPT = """
import time
from gf_core.cli.display import make_progress
display = make_progress()
display.started(4, 0, "demo")
for number in range(4):
    display.episode({"cluster": str(number), "success": True, "ending": "success"})
display.note("a note")
time.sleep(0.3)
display.finished(True)
"""


def in_terminal(term: str) -> str:
    """What a terminal receives from the display on standard error."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": term, "COLUMNS": "100"}
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        environment.pop(name, None)
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stderr=slave, stdout=subprocess.DEVNULL, env=environment) as child:
        os.close(slave)
        received = b""
        with open(master, "rb", buffering=0) as terminal:  # noqa: PTH123
            while True:
                try:
                    data = terminal.read(4096)
                except OSError:  # Linux says so when the other side is closed
                    break
                if not data:
                    break
                received += data
    assert child.returncode == 0
    return received.decode()


def test_in_a_terminal_the_display_is_live() -> None:
    seen = in_terminal("xterm")
    assert "\x1b[?25l" in seen  # the cursor is hidden while the line is redrawn,
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")  # and shown again
    assert "4/4" in seen
    assert "a note" in seen
    assert "success" in seen.splitlines()[-1]


def test_in_a_dumb_terminal_it_is_plain() -> None:
    seen = in_terminal("dumb")
    assert "\x1b" not in seen
    assert [line.split(" · ")[0].split(" in ")[0] for line in seen.splitlines()] == [
        "demo: 4 episodes",
        "a note",
        "4/4 episodes",
    ]


def test_without_a_terminal_it_is_plain(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "\x1b" not in done.stderr
    assert done.stderr.startswith("demo: 4 episodes\n")


def test_the_choice_can_be_forced() -> None:
    assert isinstance(make_progress(plain=True), PlainProgress)
    assert isinstance(make_progress(plain=False), LiveProgress)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (59.9, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_slow_rates_are_per_minute() -> None:
    assert rate_text(5.94) == "5.9 episodes/s"
    assert rate_text(0.5) == "30.0 episodes/min"
