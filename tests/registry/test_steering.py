"""GF_DISABLE_PLUGINS, GF_PLUGIN_AUTOLOAD, --plugin files, and looking plugins up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gf_core.errors import GrinningFaceError, PluginError, UnknownIdError
from gf_core.plugins import load_plugins
from gf_core.registry import load_object

FILE = """
from gf_core.hookspecs import hookimpl
from gf_core.specs import PolicySpec

@hookimpl
def gf_register_policies(register):
    register(PolicySpec(id="local/mine-v1", summary="mine", entry_point=f"{__name__}:make"))

def make(config, context):
    return "made"
"""


def plugin(namespace: str) -> str:
    return f"""
    import sys
    sys.imported_by_test = getattr(sys, "imported_by_test", []) + [{namespace!r}]

    @hookimpl
    def gf_register_policies(register):
        register(PolicySpec(id="{namespace}/x-v1", summary="one", entry_point="json:loads"))
    """


@pytest.fixture
def imported(monkeypatch):
    monkeypatch.setattr(sys, "imported_by_test", [], raising=False)
    return lambda: sys.imported_by_test


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "gf_test_mine.py"
    path.write_text(FILE)
    yield path
    sys.modules.pop(path.stem, None)


@pytest.mark.parametrize("name", ["first", "Dist_One", "dist.one"])
def test_disabled_by_name_or_distribution_is_not_imported(site, imported, name):
    site.add("dist-one", {"first": plugin("dist-one")})
    site.add("dist-two", {"second": plugin("dist-two")})
    host = site.load(GF_DISABLE_PLUGINS=name)
    states = {status.name: status for status in host.plugins}
    assert states["first"].state == "disabled"
    assert name in states["first"].reason
    assert states["second"].state == "loaded"
    assert imported() == ["dist-two"]
    with pytest.raises(UnknownIdError, match=r"plugin 'first' of dist-one 1.0 isn't loaded \(disabled"):
        host.policies.get("dist-one/x-v1")


def test_a_name_that_no_plugin_has_is_a_warning(site):
    site.add("dist-one", {"first": plugin("dist-one")})
    (warning,) = site.load(GF_DISABLE_PLUGINS="frist").warnings
    assert "'frist'" in warning
    assert "did you mean 'first'" in warning


def test_without_autoload_nothing_installed_is_imported(site, imported, file):
    site.add("dist-one", {"first": plugin("dist-one")})
    host = load_plugins([file], {"GF_PLUGIN_AUTOLOAD": "0"})
    assert imported() == []
    assert {s.state for s in host.plugins if s.distribution != "local"} == {"disabled"}
    assert [spec.id for spec in host.policies] == ["local/mine-v1"]


def test_autoload_must_be_0_or_1():
    with pytest.raises(GrinningFaceError, match="GF_PLUGIN_AUTOLOAD: 'no' is neither 0 nor 1"):
        load_plugins(environ={"GF_PLUGIN_AUTOLOAD": "no"})


def test_a_file_is_a_plugin_in_the_namespace_local(site, file):
    host = site.load(files=(file, file.parent / "." / file.name))
    spec = host.policies.get("local/mine-v1")
    assert spec.provenance.distribution == "local"
    assert spec.provenance.version.startswith("sha256:")
    assert host.unpackaged
    assert host.files == (file,)
    assert load_object(spec)({}, None) == "made"


def test_a_file_can_be_loaded_again(site, file):
    site.load(files=(file,))
    assert "local/mine-v1" in site.load(files=(file,)).policies


def test_without_files_a_run_is_packaged(site):
    site.add("dist-one", {"first": plugin("dist-one")})
    assert not site.load().unpackaged


def test_a_file_has_no_other_namespace(site, tmp_path):
    path = tmp_path / "gf_test_thief.py"
    path.write_text(FILE.replace("local/mine-v1", "gf/mine-v1"))
    host = site.load(files=(path,))
    sys.modules.pop(path.stem)
    assert "belongs to the distribution 'grinningface'" in host.named("gf_test_thief")[0].reason
    assert not host.unpackaged


def test_a_file_that_raises_can_be_repaired_and_loaded(site, tmp_path):
    path = tmp_path / "gf_test_repaired.py"
    path.write_text("1 / 0")
    assert site.load(files=(path,)).named("gf_test_repaired")[0].state == "failed"
    path.write_text(FILE + "# repaired")
    assert site.load(files=(path,)).named("gf_test_repaired")[0].state == "loaded"
    sys.modules.pop(path.stem)


def test_a_file_cannot_hide_another_module(site, tmp_path):
    for name in ("json", "sys", "pytest"):
        path = tmp_path / f"{name}.py"
        path.write_text(FILE)
        (status,) = [s for s in site.load(files=(path,)).plugins if s.distribution == "local"]
        assert status.state == "failed"
        assert "rename the file" in status.reason


@pytest.mark.parametrize(
    ("name", "part"), [("missing.py", "can't be read"), ("my-plugin.py", "module's"), ("notes.txt", "module's")]
)
def test_a_file_that_cannot_be_a_plugin(tmp_path, name, part):
    with pytest.raises(GrinningFaceError, match=part):
        load_plugins([tmp_path / name])


def test_a_folder_is_not_a_file(tmp_path: Path):
    with pytest.raises(GrinningFaceError, match="folder"):
        load_plugins([tmp_path])


def test_require(site):
    site.add("dist-one", {"first": plugin("dist-one")})
    site.add("dist-two", {"second": "1 / 0"})
    host = site.load()
    assert [status.name for status in host.require("dist_one")] == ["first"]
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        host.require("second")
    with pytest.raises(PluginError, match="there is no plugin 'secnd'; did you mean 'second'"):
        host.require("secnd")
