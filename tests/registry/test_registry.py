"""From ids to specs to objects: what is found, and what is said when it isn't."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from gf_core.errors import MissingDependencyError, PluginError, UnknownIdError
from gf_core.registry import Registry, load_object, one_line, read_document
from gf_core.specs import PolicySpec, Provenance, SuiteSpec

SPEC = PolicySpec(
    id="gf/expert-v1",
    summary="expert",
    entry_point="json:loads",
    provenance=Provenance(distribution="some-dist", version="1.5", plugin="main"),
)


def at(entry_point: str, **changes: str) -> PolicySpec:
    return dataclasses.replace(SPEC, entry_point=entry_point, **changes)


def test_specs_come_sorted_whatever_the_order():
    specs = [dataclasses.replace(SPEC, id=f"gf/{name}-v1") for name in "cab"]
    registry = Registry("policies", specs)
    assert [spec.id for spec in registry.all()] == ["gf/a-v1", "gf/b-v1", "gf/c-v1"]
    assert len(registry) == 3
    assert "gf/a-v1" in registry
    assert "gf/a-v2" not in registry
    assert registry.get("gf/b-v1") is specs[2]


def test_an_object_is_imported_when_asked_for():
    import json

    assert Registry("policies", [SPEC]).load("gf/expert-v1") is json.loads
    assert load_object(SPEC, "os.path:join.__name__") == "join"


@pytest.mark.parametrize("id", ["gf/expert", "gf/expert-v2", "gf/exprt-v1"])
def test_an_unknown_id_gets_a_suggestion_and_nothing_is_guessed(id):
    with pytest.raises(UnknownIdError, match=r"there is no policy .*; did you mean 'gf/expert-v1'\?"):
        Registry("policies", [SPEC]).get(id)


def test_an_unknown_id_without_a_close_one_names_the_listing():
    with pytest.raises(UnknownIdError, match="`gf list policies` shows them all"):
        Registry("policies", [SPEC]).get("qqqq")


def test_an_id_of_another_kind_is_recognised(site):
    site.add(
        "mixed",
        "@hookimpl\ndef gf_register_heads(register):\n"
        "    from gf_core.specs import HeadSpec\n"
        "    register(HeadSpec(id='mixed/head-v1', summary='s', entry_point='a:b'))",
    )
    host = site.load()
    with pytest.raises(UnknownIdError, match="it is one of the heads"):
        host.policies.get("mixed/head-v1")
    assert host.find("mixed/head-v1") == ("heads", host.heads.get("mixed/head-v1"))
    with pytest.raises(UnknownIdError, match="did you mean 'mixed/head-v1'"):
        host.find("mixed/head-v2")


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("import sys; sys.exit(1)", "SystemExit: 1"),
        ("x = 1", "AttributeError"),
    ],
)
def test_a_failing_import_names_spec_and_distribution(tmp_path, monkeypatch, source, part):
    (tmp_path / "gf_test_object.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginError) as caught:
        load_object(at("gf_test_object:make"))
    sys.modules.pop("gf_test_object", None)
    for expected in (part, "some-dist 1.5", "gf/expert-v1", "gf_test_object:make"):
        assert expected in str(caught.value)


def test_a_missing_module_names_the_extra():
    with pytest.raises(MissingDependencyError) as caught:
        load_object(at("no_such_module:make", extra="grinningface[train]"))
    assert "pip install 'grinningface[train]'" in str(caught.value)
    assert "some-dist 1.5" in str(caught.value)


def test_keyboard_interrupt_passes(tmp_path, monkeypatch):
    (tmp_path / "gf_test_interrupt.py").write_text("raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        load_object(at("gf_test_interrupt:make"))


def test_documents_are_read_from_their_package(tmp_path, monkeypatch):
    (tmp_path / "gf_test_package" / "data").mkdir(parents=True)
    (tmp_path / "gf_test_package" / "__init__.py").write_text("")
    (tmp_path / "gf_test_package" / "data" / "x.json").write_bytes(b"{}")
    monkeypatch.syspath_prepend(str(tmp_path))
    suite = SuiteSpec(id="a/b@1", summary="s", entry_point="gf_test_package:data/x.json", sha256="0" * 64)
    assert read_document(suite) == b"{}"
    with pytest.raises(PluginError, match="FileNotFoundError"):
        read_document(dataclasses.replace(suite, entry_point="gf_test_package:data/y.json"))
    with pytest.raises(PluginError, match="ModuleNotFoundError"):
        read_document(dataclasses.replace(suite, entry_point="gf_test_no_package:data/y.json"))
    sys.modules.pop("gf_test_package")


def test_one_line_is_printable_and_bounded():
    text = one_line("a\nb\t\x1b[31m\u202ec" + "x" * 1000, limit=50)
    assert text.startswith("a b \\x1b[31m\\u202ec")
    assert text.isprintable()
    assert len(text) == 50
