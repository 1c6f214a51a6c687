"""Each plugin ends in one state, with its reason, and no plugin can harm another."""

from __future__ import annotations

import itertools
import os
import sys

import pytest

from gf_core.plugins import PluginHost, PluginStatus
from gf_core.specs import Provenance


def of(host: PluginHost, distribution: str) -> PluginStatus:
    (status,) = [status for status in host.plugins if status.distribution == distribution]
    return status


def registering(*ids: str, more: str = "") -> str:
    calls = "\n".join(f"    register(PolicySpec(id={id!r}, summary='one', entry_point='json:loads'))" for id in ids)
    return f"@hookimpl\ndef gf_register_policies(register):\n{calls or '    pass'}\n{more}"


def configurable(namespace: str, properties: object) -> str:
    schema = f"config_schema={{'type': 'object', 'properties': {properties!r}}}"
    return registering(f"{namespace}/x-v1").replace("entry_point=", f"{schema}, entry_point=")


BROKEN = {
    "import-error": ("import no_such_module_anywhere", ["ModuleNotFoundError", "no_such_module_anywhere", "line 4"]),
    "syntax-error": ("def (:", ["SyntaxError"]),
    "exits": ("import sys\nsys.exit(3)", ["sys.exit(3)"]),
    "exits-in-hook": ("@hookimpl\ndef gf_register_policies(register):\n    raise SystemExit('bye')", ["sys.exit('bye')"]),
    "skips": ("import pytest\npytest.skip('not here', allow_module_level=True)", ["Skipped", "not here"]),
    "raises": ("raise RuntimeError('two\\nlines \\x1b[31m')", ["RuntimeError: two lines", "\\x1b"]),
    "misspelled": ("@hookimpl\ndef gf_register_policy(register):\n    pass", ["'gf_register_policy'", "'gf_register_policies'"]),
    "misspelled-prefix": ("@hookimpl\ndef register_heads(register):\n    pass", ["'register_heads'", "'gf_register_heads'"]),
    "unmarked": ("def gf_register_policies(register):\n    pass", ["gf_register_policies", "@hookimpl"]),
    "unmarked-misspelled": ("def gf_registr_envs(register):\n    pass", ["'gf_registr_envs'", "'gf_register_envs'"]),
    "wrong-argument": ("@hookimpl\ndef gf_register_policies(registry):\n    pass", ["registry", "gf_register_policies"]),
    "generator": ("@hookimpl\ndef gf_register_policies(register):\n    yield 1", ["generator", "return nothing"]),
    "foreign": (registering("gf/stolen-v1"), ["'gf'", "'grinningface'", "'foreign'"]),
    "foreign-other": (registering("import-error/x-v1"), ["'import-error'", "'foreign-other'"]),
    "local-namespace": (registering("local/x-v1"), ["'local'", "--plugin"]),
    "twice": (registering("twice/x-v1", "twice/x-v1"), ["twice/x-v1 is registered by", "and by", "twice 1.0"]),
    "bad-id": (registering("bad-id/NoVersion"), ["bad-id/NoVersion", "namespace/name-vN"]),
    "not-a-spec": ("@hookimpl\ndef gf_register_policies(register):\n    register({'id': 'x'})", ["PolicySpec", "{'id': 'x'}"]),
    "wrong-kind": (
        registering("wrong-kind/x-v1").replace("gf_register_policies", "gf_register_heads"),
        ["gf_register_heads", "HeadSpec"],
    ),
    "bad-schema": (
        configurable("bad-schema", {"k": {"type": "integre"}}),
        ["bad-schema/x-v1", "config_schema", "/properties/k/type", "integre"],
    ),
    "remote-schema": (
        configurable("remote-schema", {"k": {"$ref": "https://example.org/s.json"}}),
        ["remote-schema/x-v1", "$ref", "https://example.org/s.json"],
    ),
    "gf": (registering("gf/x-v1"), ["rename the distribution"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_fails_alone_and_says_why(site, name):
    source, expected = BROKEN[name]
    site.add(name, source)
    site.add("aaa-good", registering("aaa-good/x-v1"))
    site.add("zzz-good", registering("zzz-good/x-v1"))
    host = site.load()
    status = of(host, name)
    assert status.state == "failed"
    assert status.ids == ()
    assert [part for part in expected if part not in status.reason] == []
    assert status.reason.isprintable()
    assert [spec.id for spec in host.policies] == ["aaa-good/x-v1", "zzz-good/x-v1"]
    assert of(host, "aaa-good").state == of(host, "zzz-good").state == "loaded"


def test_keyboard_interrupt_passes(site):
    site.add("interrupted", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        site.load()


def test_a_plugin_registers_all_or_nothing(site):
    source = registering("half/good-v1") + "\n@hookimpl\ndef gf_register_heads(register):\n    raise ValueError('later')"
    site.add("half", source)
    host = site.load()
    assert of(host, "half").state == "failed"
    assert "ValueError: later" in of(host, "half").reason
    assert "half/good-v1" not in host.policies


def test_every_problem_of_a_plugin_is_named(site):
    site.add("many", registering("many/A", "gf/b-v1", "many/c-v1"))
    reason = of(site.load(), "many").reason
    assert "many/A" in reason
    assert "gf/b-v1" in reason
    assert "many/c-v1" not in reason


def test_equal_entry_point_names_of_two_distributions_are_both_seen(site):
    site.add("one", {"same": registering("one/x-v1")})
    site.add("two", {"same": registering("two/x-v1")})
    host = site.load()
    assert [(s.name, s.distribution) for s in host.plugins if s.name == "same"] == [("same", "one"), ("same", "two")]
    assert [spec.id for spec in host.policies] == ["one/x-v1", "two/x-v1"]


@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
def test_a_duplicate_id_has_no_winner_in_any_order(site, tmp_path, monkeypatch, order):
    # c shares one id with each; nobody may keep any of theirs
    ids = {"a": ["local/x-v1", "local/a-v1"], "b": ["local/y-v1"], "c": ["local/x-v1", "local/y-v1"]}
    files = []
    for name in order:
        file = tmp_path / f"gf_dup_{name}.py"
        file.write_text(
            "from gf_core.hookspecs import hookimpl\nfrom gf_core.specs import PolicySpec\n" + registering(*ids[name])
        )
        monkeypatch.delitem(sys.modules, file.stem, raising=False)
        files.append(file)
    host = site.load(files=tuple(files))
    states = {status.name: status for status in host.plugins if status.name.startswith("gf_dup_")}
    assert {status.state for status in states.values()} == {"failed"}
    assert len(host.policies) == 0
    assert "local/x-v1 is registered by plugin 'gf_dup_a'" in states["gf_dup_a"].reason
    assert "and by plugin 'gf_dup_c'" in states["gf_dup_a"].reason
    assert states["gf_dup_c"].reason.count("is registered by") == 2
    for file in files:
        sys.modules.pop(file.stem, None)


def test_a_duplicate_between_two_plugins_of_a_distribution_fails_both(site):
    site.add("pair", {"left": registering("pair/x-v1"), "right": registering("pair/x-v1"), "third": registering("pair/y-v1")})
    states = {status.name: status for status in site.load().plugins}
    for name in ("left", "right"):
        assert states[name].state == "failed"
        assert "plugin 'left' of pair 1.0 and by plugin 'right' of pair 1.0" in states[name].reason
    assert states["third"].state == "loaded"


def test_an_intruder_does_not_take_the_owner_down(site):
    site.add("owner", registering("owner/x-v1"))
    site.add("intruder", registering("owner/x-v1"))
    host = site.load()
    assert of(host, "owner").state == "loaded"
    assert of(host, "intruder").state == "failed"
    assert host.policies.get("owner/x-v1").provenance == Provenance(distribution="owner", version="1.0", plugin="main")


def test_the_namespace_is_the_normalised_name(site):
    site.add("My_Fancy.Dist", registering("my-fancy-dist/x-v1"))
    assert of(site.load(), "My_Fancy.Dist").state == "loaded"


def test_provenance_is_the_loaders(site):
    source = """
    from gf_core.specs import Provenance

    @hookimpl
    def gf_register_policies(register):
        fake = Provenance(distribution="grinningface", version="9", plugin="gf_policies")
        register(PolicySpec(id="liar/x-v1", summary="s", entry_point="a:b", provenance=fake))
    """
    site.add("liar", source, version="2.5")
    provenance = site.load().policies.get("liar/x-v1").provenance
    assert provenance == Provenance(distribution="liar", version="2.5", plugin="main")


def test_schemas_cannot_be_changed_after_registering(site):
    source = """
    schema = {"type": "object", "properties": {"k": {"type": "integer"}}}

    @hookimpl
    def gf_register_policies(register):
        register(PolicySpec(id="late/x-v1", summary="s", entry_point="a:b", config_schema=schema))

    @hookimpl
    def gf_run_started(run):
        schema["properties"]["k"]["type"] = "string"
    """
    site.add("late", source)
    host = site.load()
    host.observe("gf_run_started", run={})
    assert host.policies.get("late/x-v1").config_schema["properties"]["k"] == {"type": "integer"}


def test_registering_after_the_hook_returned_is_refused(site):
    source = """
    kept = []

    @hookimpl
    def gf_register_policies(register):
        kept.append(register)

    @hookimpl
    def gf_register_suites(register):
        kept[0](PolicySpec(id="kept/x-v1", summary="s", entry_point="a:b"))
    """
    site.add("kept", source)
    assert "after its hook had returned" in of(site.load(), "kept").reason


@pytest.mark.parametrize(
    ("version", "state"), [("1", "loaded"), ("2", "incompatible"), ("'1'", "incompatible"), ("None", "incompatible")]
)
def test_interface_version(site, version, state):
    site.add("versioned", f"gf_api_version = {version}\n" + registering("versioned/x-v1"))
    host = site.load()
    status = of(host, "versioned")
    assert status.state == state
    assert ("versioned/x-v1" in host.policies) == (state == "loaded")
    if state == "incompatible":
        assert version in status.reason


def test_a_plugin_may_be_an_object_and_its_module_says_the_version(site):
    site.add("things", {"helper": "gf_api_version = 7\nclass Plugin:\n    pass\nplugin = Plugin()"})
    module = site.modules[-1]
    site.write("other", f"[grinningface]\nobject = {module}:plugin")
    assert of(site.load(), "other").state == "incompatible"


@pytest.mark.parametrize(
    ("entry_points", "part"),
    [
        ("[grinningface]\nmain = not a module!", "neither 'module' nor 'module:attr'"),
        ("[grinningface]\nmain = json:no_such_attribute", "no_such_attribute"),
        ("[grinningface]\nmain = os:devnull.missing", "missing"),
        ("[grinningface]\na line without an equals sign", "entry_points.txt can't be read"),
    ],
)
def test_damaged_metadata(site, entry_points, part):
    site.write("damaged", entry_points)
    site.add("good", registering("good/x-v1"))
    host = site.load()
    assert of(host, "damaged").state == "failed"
    assert part in of(host, "damaged").reason
    assert "good/x-v1" in host.policies


def test_a_distribution_earlier_on_the_path_hides_a_later_one(site, monkeypatch):
    site.add("layered", registering("layered/old-v1"), version="1.0", folder="below")
    site.add("layered", registering("layered/new-v1"), version="2.0", folder="above")
    monkeypatch.syspath_prepend(str(site.root / "below"))
    monkeypatch.syspath_prepend(str(site.root / "above"))
    host = site.load()
    assert of(host, "layered").version == "2.0"
    assert [spec.id for spec in host.policies] == ["layered/new-v1"]


def test_slow_and_heavy_imports_are_warned_about(site, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "peft"]:  # other tests of this process train
        monkeypatch.delitem(sys.modules, name)
    heavy = site.root / "peft.py"
    heavy.write_text("")
    site.add("slow", "import time\nimport peft\ntime.sleep(0.21)\n" + registering("slow/x-v1"))
    status = of(site.load(), "slow")
    sys.modules.pop("peft")
    assert status.state == "loaded"
    assert status.seconds > 0.2
    assert any("peft" in warning for warning in status.warnings)
    assert any("0.2 s" in warning for warning in status.warnings)


def test_a_plugin_without_hooks_is_warned_about(site):
    site.add("empty", "x = 1")
    assert of(site.load(), "empty").warnings == ("it implements no hook",)


def test_what_a_plugin_prints_goes_to_standard_error(site, capfd):
    site.add("chatty", "import os\nprint('hello')\nos.write(1, b'bytes')\nos.system('echo child')\n" + registering("chatty/x-v1"))
    site.load()
    os.write(1, b"after")
    captured = capfd.readouterr()
    assert captured.out == "after"
    for text in ("hello", "bytes", "child"):
        assert text in captured.err


def test_a_hook_may_be_for_a_newer_core(site):
    site.add("newer", "@hookimpl(optionalhook=True)\ndef gf_register_dreams(register):\n    pass\n" + registering("newer/x-v1"))
    assert of(site.load(), "newer").state == "loaded"
