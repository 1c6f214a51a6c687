"""The program itself, in a process of its own: broken distributions side by side, and what starting it imports."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

GOOD = """
@hookimpl
def gf_register_policies(register):
    register(PolicySpec(id="{0}/x-v1", summary="one", entry_point="json:loads"))
"""
HEAVY = ("torch", "transformers", "mujoco", "gymnasium", "scipy", "PIL", "rich", "jsonschema", "numpy", "pluggy")


def test_broken_distributions_are_named_and_the_rest_works(site):
    site.add("import-error", "import no_such_module")
    site.add("exits", "import sys\nprint('{')\nsys.exit(0)")
    site.add("misspelled", "@hookimpl\ndef gf_register_policys(register):\n    pass")
    site.add("duplicate", {"one": GOOD.format("duplicate"), "two": GOOD.format("duplicate")})
    site.add("foreign", GOOD.format("gf"))
    site.add("schema", GOOD.format("schema").replace("entry_point=", "config_schema={'type': 7}, entry_point="))
    site.add("slow", "import time\ntime.sleep(0.3)\n" + GOOD.format("slow"))
    site.add("good", GOOD.format("good"), commands={"hello": "no_such_module:command", "run": "x:y"})
    result = site.gf("plugins", "list", "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["kind"], document["schema_version"]) == ("plugins", "1.0")
    assert document["warnings"] == ["the command 'run' of good is ignored: a built-in command has that name"]
    plugins = {(p["distribution"], p["name"]): p for p in document["plugins"] if p["distribution"] != "grinningface"}
    states = {name: plugin["state"] for (name, _), plugin in plugins.items()}
    broken = dict.fromkeys(("import-error", "exits", "misspelled", "duplicate", "foreign", "schema"), "failed")
    assert states == broken | {"slow": "loaded", "good": "loaded"}
    assert all(plugin["reason"] for plugin in plugins.values() if plugin["state"] == "failed")
    assert "0.2 s" in plugins["slow", "main"]["warnings"][0]
    assert set(document["plugins"][0]) == {
        *("name", "distribution", "version", "source", "state", "reason", "seconds", "ids", "warnings", "observer_errors")
    }

    help_text = site.gf("--help")
    assert help_text.returncode == 0
    assert "hello" in help_text.stdout
    assert "the command 'run' of good is ignored" in help_text.stderr
    used = site.gf("hello")
    assert used.returncode == 2
    assert used.stderr.startswith("error: the command 'hello' of good 1.0: it can't be loaded from 'no_such_module:command'")
    assert "Traceback" not in used.stderr


def test_a_command_of_a_plugin_runs(site):
    source = "import click\n\n@click.command()\n@click.argument('name')\ndef command(name):\n    click.echo(f'hello {name}')\n"
    (site.root / "gf_test_command.py").write_text(source)
    site.write("commanding", "[grinningface.commands]\ngreet = gf_test_command:command")
    result = site.gf("greet", "you")
    assert (result.returncode, result.stdout) == (0, "hello you\n")
    assert site.gf("greet", "you", GF_DISABLE_PLUGINS="commanding").returncode == 2


def test_a_command_of_two_distributions_is_nobodys(site):
    for name in ("one", "two"):
        site.write(name, "[grinningface.commands]\ngreet = json:loads")
    result = site.gf("greet")
    assert result.returncode == 2
    assert "there is no command 'greet'" in result.stderr
    assert "one and two each bring one" in site.gf("--help").stderr


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import gf_core, gf_core.specs, gf_core.errors, gf_core.canonical", HEAVY),
        ("import gf_core.cli.main", HEAVY),
        ("from gf_core.cli.main import main; main(['--help'])", HEAVY),
        ("from gf_core.cli.main import main; main(['plugins', 'list'])", tuple(m for m in HEAVY if m not in ("pluggy",))[:7]),
    ],
)
def test_starting_imports_nothing_heavy(code, absent):
    check = f"{code}\nimport sys\nprint(sorted(set({absent!r}) & set(sys.modules)), file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stderr.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_is_no_error(site):
    command = f"{sys.executable} -m gf_core.cli.main --help | true"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert result.stderr == ""


def test_a_full_disk_is_an_error_without_traceback():
    command = f"{sys.executable} -m gf_core.cli.main --help > /dev/full"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == "error: No space left on device\n"
