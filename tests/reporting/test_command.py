"""`gf report` through the command line."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from gf_core.cli.main import cli, main

MakeRun = Callable[..., Path]


def test_text_json_csv_and_markdown(make_run: MakeRun) -> None:
    run = make_run()
    shown = CliRunner().invoke(cli, ["report", str(run)])
    assert shown.exit_code == 0
    assert "the suite can't be loaded here, so only success is shown" in shown.output  # nobody brings demo/suite@1
    assert ["id", "60", "31.7"] in [line.split()[:3] for line in shown.output.splitlines()]
    document = json.loads(CliRunner().invoke(cli, ["report", str(run), "--json"]).output)
    assert (document["kind"], document["schema_version"], len(document["runs"])) == ("report", "1.2", 1)
    assert CliRunner().invoke(cli, ["report", str(run), "--csv"]).output.startswith("suite,suite_sha256,run,policy")
    assert CliRunner().invoke(cli, ["report", str(run), "--markdown"]).output.startswith("### demo/suite&#64;1\n")


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / 'nowhere'}: there is no such directory; give a directory")
    assert main(["report"]) == 2


def test_a_terminal_gets_whiskers_and_colours(make_run: MakeRun) -> None:
    run = make_run()
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    environment.pop("NO_COLOR", None)
    code = "import sys; from gf_core.cli.main import main; sys.exit(main())"
    with subprocess.Popen([sys.executable, "-c", code, "report", str(run)], stdout=slave, env=environment) as child:
        os.close(slave)
        received = b""
        while True:
            try:
                data = os.read(master, 4096)
            except OSError:  # Linux says so when the other side is closed
                break
            received += data
    os.close(master)
    assert child.returncode == 0
    assert "●" in received.decode()
    assert "\x1b[1m" in received.decode()
