"""`gf list`, `gf show`, `gf plugins` and `gf doctor`, in this process, on a plugin file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from gf_core.cli.main import COMMANDS, main

PLUGIN = """
from gf_core.contracts import Finding
from gf_core.hookspecs import hookimpl
from gf_core.specs import HeadSpec, Observes, PolicySpec

SCHEMA = {
    "type": "object",
    "properties": {
        "speed": {"type": "number", "minimum": 0, "maximum": 2, "default": 0.5, "description": "how fast"},
        "mode": {"enum": ["calm", "wild"], "default": "calm"},
    },
}

@hookimpl
def gf_register_policies(register):
    for name, sees in {"near": ("front",), "blind": ()}.items():
        register(
            PolicySpec(
                id=f"local/{name}-v1",
                summary=f"the [bold]{name}[/bold] one",
                entry_point=f"{__name__}:make",
                privileged=not sees,
                observes=Observes(cameras=sees, size=(96, 128)),
                config_schema=SCHEMA,
                doctor=f"{__name__}:examine",
                extra="" if sees else "some-dist[extra]",
            )
        )

def examine():
    print("examining")
    return [Finding(name="thing", ok=FOUND, detail="looked", fix="get a thing")]

FOUND = True
"""

Program = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gf(tmp_path, monkeypatch, capsys) -> Program:
    """The program with the plugin file, and without anything that is installed: its exit code, output and errors."""
    monkeypatch.setenv("GF_PLUGIN_AUTOLOAD", "0")
    file = tmp_path / "gf_test_listing.py"
    file.write_text(PLUGIN)

    def run(*arguments: str, source: str | None = None) -> tuple[int, str, str]:
        sys.modules.pop(file.stem, None)
        if source is not None:
            file.write_text(source)
        code = main([*arguments, "--plugin", str(file)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    yield run
    sys.modules.pop(file.stem, None)


def test_list_as_json(gf):
    code, out, _ = gf("list", "policies", "--json")
    document = json.loads(out)
    assert code == 0
    assert set(document) == {"schema_version", "kind", "specs"}
    assert document["kind"] == "list"
    assert [spec["id"] for spec in document["specs"]] == ["local/blind-v1", "local/near-v1"]
    assert {spec["of"] for spec in document["specs"]} == {"policies"}
    assert document["specs"][1]["observes"] == {"cameras": ["front"], "size": [96, 128], "history": [0], "proprio": True}
    assert document["specs"][1]["provenance"]["distribution"] == "local"


def test_list_as_text(gf):
    code, out, _ = gf("list")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["id", "kind", "summary"],
        ["local/blind-v1", "policy", "the", "[bold]blind[/bold]", "one", "privileged,", "needs", "some-dist[extra]"],
        ["local/near-v1", "policy", "the", "[bold]near[/bold]", "one"],
    ]


def test_list_in_a_terminal_shows_the_same_cells(gf, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "140")
    _, out, _ = gf("list", "policies")
    assert "the [bold]blind[/bold] one" in out
    assert "privileged, needs some-dist[extra]" in out


def test_list_of_nothing_says_so(gf):
    assert gf("list", "decks")[:2] == (0, "No plugin brings decks.\n")


def test_list_of_an_unknown_kind(gf):
    code, out, err = gf("list", "polices")
    assert (code, out) == (2, "")
    assert "policies" in err


def test_show_says_what_it_is_and_how_to_set_it(gf):
    code, out, _ = gf("show", "local/near-v1")
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "local/near-v1 (policy)"
    assert "observes cameras front at 96×128, steps 0; proprio" in lines
    assert "speed number 0..2 0.5 how fast" in lines
    assert 'mode "calm" | "wild" "calm"' in lines


def test_show_as_json(gf):
    _, out, _ = gf("show", "local/near-v1", "--json")
    document = json.loads(out)
    assert document["kind"] == "spec"
    assert document["spec"]["of"] == "policies"
    assert document["spec"]["config_schema"]["properties"]["speed"]["default"] == 0.5


def test_show_of_an_unknown_id_is_one_line(gf):
    code, out, err = gf("show", "local/neer-v1")
    assert (code, out) == (2, "")
    assert err == "error: nothing is called 'local/neer-v1'; did you mean 'local/near-v1'?\n"


def test_a_broken_plugin_file_is_an_error_except_where_plugins_are_listed(gf):
    code, out, err = gf("list", source="import no_such_module")
    assert (code, out) == (2, "")
    assert err.startswith("error: plugin 'gf_test_listing' of local sha256:")
    assert "No module named 'no_such_module'" in err
    assert err.count("\n") == 1
    code, out, _ = gf("plugins", "list", "--json")
    assert code == 0
    (plugin,) = [plugin for plugin in json.loads(out)["plugins"] if plugin["distribution"] == "local"]
    assert plugin["state"] == "failed"


def test_plugins_show(gf):
    code, out, _ = gf("plugins", "show", "gf_test_listing")
    assert code == 0
    assert "state         loaded" in out
    assert "registers     local/near-v1" in out
    assert gf("plugins", "show", "gf_test_listin")[0] == 2


@pytest.mark.parametrize(("found", "code"), [(True, 0), (False, 2)])
def test_doctor_asks_each_doctor_once(gf, found, code):
    source = PLUGIN.replace("FOUND = True", f"FOUND = {found}")
    result, out, err = gf("doctor", "--json", source=source)
    document = json.loads(out)
    assert result == code
    assert document["ok"] is found
    assert [f for f in document["findings"] if f["name"] == "thing"] == [
        {"name": "thing", "ok": found, "detail": "looked", "fix": "get a thing", "required": True}
    ]
    assert err.count("examining") == 1
    _, text, _ = gf("doctor", source=source)
    assert ("fix: get a thing" in text) is not found


@pytest.mark.parametrize("body", ["raise SystemExit(0)", "return None", "return ['fine']"])
def test_a_doctor_that_fails_is_a_finding(gf, body):
    code, out, _ = gf("doctor", source=PLUGIN.replace('print("examining")', body))
    assert code == 2
    assert "FAIL  doctor of local/blind-v1" in out


def test_a_misspelled_command_gets_a_suggestion(capsys):
    assert main(["plugin"]) == 2
    assert "did you mean 'plugins'" in capsys.readouterr().err


def test_the_version_is_the_packages(capsys):
    from gf_core import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gf {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command, capsys):
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"gf {command}" in out.partition("\n")[2]
