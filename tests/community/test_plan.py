"""What pip's report says, and what becomes of it: pip itself is acted here, and real in test_install.py."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gf_core.cli import plugins_install
from gf_core.cli.main import main
from gf_core.community import pip
from gf_core.community.programs import run_program
from gf_core.errors import GrinningFaceError

from .conftest import WriteIndex, entry, make_wheel

HASH = "0" * 64


def item(name: str, version: str = "0.1.0", *, requested: bool = False, **changes: Any) -> dict[str, Any]:
    """One item of a report."""
    download = {"url": f"https://example.org/{name}-{version}-py3-none-any.whl", "archive_info": {"hashes": {"sha256": HASH}}}
    needs = {"requires_dist": changes.pop("needs")} if "needs" in changes else {}
    metadata = {"name": name, "version": version, "license_expression": changes.pop("license", "MIT"), **needs}
    return {"download_info": download, "metadata": metadata, "is_direct": False, "requested": requested, **changes}


Act = Callable[..., list[Sequence[str]]]


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Act:
    """Have pip report these items, and note how it is called; a plugin passes the kit."""

    def acting(*items: dict[str, Any], code: int = 0, complaint: str = "") -> list[Sequence[str]]:
        calls: list[Sequence[str]] = []

        def report(command: Sequence[str], *, seconds: float) -> tuple[int, bytes, str]:
            calls.append(command[4:])
            shown = [one for one in items if one["requested"]] if "--no-deps" in command else items
            Path(command[command.index("--report") + 1]).write_text(json.dumps({"pip_version": "99", "install": shown}))
            return code, b"", complaint

        def shown(command: Sequence[str]) -> int:
            file = command[command.index("--requirement") + 1] if "--requirement" in command else None
            calls.append([*command[4:], *(Path(file).read_text().splitlines() if file else [])])
            return 0

        monkeypatch.setattr(pip, "run_program", report)
        monkeypatch.setattr(pip, "run_shown", shown)
        monkeypatch.setattr(plugins_install, "_check", lambda name: 0)
        return calls

    return acting


def install(*arguments: str) -> int:
    return main(["plugins", "install", "--yes", *arguments])


def test_what_was_shown_is_what_is_installed(act: Act, capfd: pytest.CaptureFixture[str]) -> None:
    calls = act(item("helper", "3"), item("acme-vla", "0.1.7", requested=True, license="Apache-2.0"))
    assert install("acme-vla>=0.1") == 0
    assert [line.split() for line in capfd.readouterr().out.splitlines()[1:]] == [
        ["new", "acme-vla", "0.1.7", "(Apache-2.0)", "https://example.org/acme-vla-0.1.7-py3-none-any.whl"],
        ["new", "helper", "3", "(MIT)", "https://example.org/helper-3-py3-none-any.whl"],
    ]
    assert all(call[0] == "install" and call[3:5] == ["--only-binary", ":all:"] for call in calls)
    assert calls[-1][-3:] == ["--", f"acme-vla==0.1.7 --hash=sha256:{HASH}", f"helper==3 --hash=sha256:{HASH}"]


def test_a_repository_is_installed_at_the_commit_that_was_shown(act: Act, capfd: pytest.CaptureFixture[str]) -> None:
    download = {"url": "https://example.org/acme", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}}
    calls = act(item("helper", "3"), item("acme-vla", requested=True, download_info=download, is_direct=True))
    assert install("git+https://example.org/acme@v1") == 0
    assert "(MIT, built from source)  https://example.org/acme at c0ffee" in capfd.readouterr().out
    assert calls[-1][-3:] == ["--", "git+https://example.org/acme@c0ffee", "helper==3"]


def test_versions_that_results_depend_on_are_announced(act: Act, capfd: pytest.CaptureFixture[str]) -> None:
    act(item("acme-vla", requested=True), item("NumPy", "1.0"), item("torch", "99.0"))
    assert install("acme-vla==0.1.0") == 0
    output = capfd.readouterr()
    assert f"changed  NumPy {np.__version__} -> 1.0" in output.out
    assert f"warning: NumPy {np.__version__} becomes 1.0: results depend on it" in output.err


def test_this_program_is_not_replaced(act: Act, capfd: pytest.CaptureFixture[str]) -> None:
    calls = act(item("acme-vla", requested=True), item("GrinningFace", "9.9"))
    assert install("acme-vla==0.1.0") == 2
    assert "that would put grinningface 9.9 into the place of this program" in capfd.readouterr().err
    assert install("grinningface==9.9") == 2
    assert not any("--dry-run" not in call for call in calls)


@pytest.mark.parametrize(
    "need", ["evil @ git+https://example.org/evil", "evil[x]@https://example.org/evil.tar.gz ; python_version>'3'"]
)
def test_needs_by_url_are_not_taken_unasked(act: Act, capfd: pytest.CaptureFixture[str], need: str) -> None:
    calls = act(item("acme-vla", requested=True, needs=["numpy>=2", need]))
    assert install("acme-vla==0.1.0") == 2
    assert "acme-vla needs evil" in capfd.readouterr().err
    assert len(calls) == 1
    assert "--no-deps" in calls[0]
    assert install("acme-vla==0.1.0", "--build") == 0
    assert "--only-binary" not in calls[-1]


def test_a_source_that_makes_another_distribution(act: Act, write_index: WriteIndex, capfd: pytest.CaptureFixture[str]) -> None:
    place = write_index(entry(source="git+https://example.org/acme@v1"))
    calls = act(item("numpy", "99", requested=True))
    assert install("acme-vla", "--index", place) == 2
    assert f"it is numpy, and the index {place} said acme-vla; nothing was installed" in capfd.readouterr().err
    assert install("acme-vla @ git+https://example.org/acme@v1") == 2
    assert "it is numpy, and you said acme-vla" in capfd.readouterr().err
    assert not any("--dry-run" not in call for call in calls)


def test_a_licence_other_than_the_index_says(act: Act, write_index: WriteIndex, capfd: pytest.CaptureFixture[str]) -> None:
    act(item("acme-vla", requested=True, license="GPL-3.0-only\n\x1b[2Jlong text"))
    assert install("acme-vla", "--index", write_index(entry())) == 0
    output = capfd.readouterr()
    assert "warning: the index says MIT, and acme-vla itself says GPL-3.0-only" in output.err
    assert "\x1b[2J" not in output.out + output.err


def test_licences_from_older_metadata(act: Act, capfd: pytest.CaptureFixture[str]) -> None:
    one = item("acme-vla", requested=True)
    one["metadata"] = {"name": "acme-vla", "version": "1", "classifier": ["License :: OSI Approved :: MIT License", "Topic :: X"]}
    act(one)
    assert install("acme-vla==1") == 0
    assert "(MIT License)" in capfd.readouterr().out
    del one["metadata"]["classifier"]
    assert install("acme-vla==1") == 0
    assert "(no licence stated)" in capfd.readouterr().out


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"name": "a\n--index-url https://evil.example", "version": "1"}},
        {"metadata": {"name": "acme-vla", "version": "1 --pre"}},
        {"download_info": {"url": "https://example.org/${HOME}.whl"}},
        {"download_info": {"url": "https://example.org/\x1b[2J.whl"}},
        {"metadata": {"name": None, "version": "1"}},
        {"metadata": {}},
        {"download_info": {}},
    ],
    ids=lambda change: json.dumps(change)[:50],
)
def test_a_report_that_would_smuggle_something_in(act: Act, capfd: pytest.CaptureFixture[str], change: dict[str, Any]) -> None:
    calls = act({**item("acme-vla", requested=True), **change})
    assert install("acme-vla==1") == 2
    error = capfd.readouterr().err
    assert error.startswith("error: pip")
    assert error.strip().isprintable()
    assert all("--dry-run" in call for call in calls)


def test_nothing_to_do(act: Act, capfd: pytest.CaptureFixture[str]) -> None:
    calls = act()
    assert install("acme-vla==1", "--upgrade") == 0
    assert "is installed already" in capfd.readouterr().out
    assert all("--dry-run" in call and "--upgrade" in call for call in calls)


def test_what_is_there_and_lacks_something(act: Act) -> None:
    calls = act(item("helper", "3"))
    assert install("acme-vla[sim]==1") == 0
    assert calls[-1][-1] == f"helper==3 --hash=sha256:{HASH}"


def test_what_pip_says_is_told_in_a_line(act: Act, capfd: pytest.CaptureFixture[str]) -> None:
    complaint = "WARNING: old\n  noise\nERROR: Could not find it\x1b[31m\nERROR: No matching distribution\n"
    act(code=1, complaint=complaint)
    assert install("acme-vla==1") == 2
    assert capfd.readouterr().err == (
        "error: acme-vla==1: pip can't install it: ERROR: Could not find it\\x1b[31m · ERROR: No matching distribution; "
        "where there is no wheel of it, or of what it needs, --build lets pip build one, which runs its code\n"
    )


REFUSED = {
    "incompatible": ([entry(api_version=7)], "it is made for version 7 of the plugin interface; this is 1; update grinningface"),
    "withdrawn": ([entry(withdrawn="it melts")], "acme-vla: it was withdrawn: it melts"),
    "unknown": ([entry("acme-env")], "nothing is called 'acme-vla'"),
    "hostile elsewhere": ([entry(), entry("acme-env", source="--pre")], "#/plugins/1/source: '--pre' has an option of pip in it"),
}


@pytest.mark.parametrize(("entries", "told"), REFUSED.values(), ids=REFUSED)
def test_entries_that_never_reach_pip(
    act: Act, write_index: WriteIndex, capfd: pytest.CaptureFixture[str], entries: list[dict[str, Any]], told: str
) -> None:
    calls = act(item("acme-vla", requested=True))
    assert install("acme-vla", "--index", write_index(*entries)) == 2
    assert told in capfd.readouterr().err
    assert calls == []


def test_an_index_replaces_nothing_that_is_no_plugin(
    act: Act, write_index: WriteIndex, capfd: pytest.CaptureFixture[str]
) -> None:
    calls = act(item("numpy", "99", requested=True))
    assert install("numpy", "--index", write_index(entry("numpy"))) == 2
    assert f"numpy {np.__version__} is installed here and no plugin" in capfd.readouterr().err
    assert calls == []


@pytest.mark.parametrize("wanted", ["acme-vla==1", "./acme"])
def test_nobody_to_ask(act: Act, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "pyproject.toml").touch()
    calls = act(item("acme-vla", requested=True))
    assert main(["plugins", "install", wanted]) == 2
    assert "nobody can be asked here, so nothing was done; --yes goes on unasked" in capfd.readouterr().err
    assert all("--dry-run" in call for call in calls)
    assert bool(calls) == (wanted != "./acme")  # of a directory, even to look runs its code


def test_what_is_no_plugin_is_told(act: Act, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    check = plugins_install._check
    act(item("numpy", requested=True))
    monkeypatch.setattr(plugins_install, "_check", check)
    assert install("numpy>=1") == 1
    assert (
        "numpy has no entry point in the group 'grinningface', so it is no plugin: `pip uninstall numpy`"
        in capfd.readouterr().err
    )


def test_a_broken_plugin_stays_and_is_told(act: Act, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    check = plugins_install._check
    act(item("acme-broken", requested=True))
    monkeypatch.setattr(plugins_install, "_check", check)
    with zipfile.ZipFile(make_wheel(tmp_path, "acme-broken", plugin="raise RuntimeError('no')")) as wheel:
        wheel.extractall(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"), prepend=os.pathsep)
    assert install("acme-broken==0.1.0", "--upgrade") == 1
    output = capfd.readouterr()
    assert "failed   GF501  acme_broken" in output.out
    assert "acme-broken is installed and doesn't pass the kit: `gf plugins uninstall acme-broken` removes it" in output.err
    monkeypatch.setenv("GF_PLUGIN_AUTOLOAD", "7")
    assert install("acme-broken==0.1.0", "--upgrade") == 1
    assert "acme-broken is installed and couldn't be checked" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("grinningface", "grinningface: that is this program itself; `pip uninstall grinningface` removes it"),
        ("numpy", "it has no entry point in the group 'grinningface', so it is no plugin; `pip uninstall numpy` removes it"),
        ("grinningfaze", "no distribution 'grinningfaze' is installed; did you mean 'grinningface'?"),
        ("-r", "no distribution '-r' is installed"),
        ("../numpy", "no distribution '../numpy' is installed"),
        ("", "no distribution '' is installed"),
    ],
)
def test_what_is_never_uninstalled(act: Act, capfd: pytest.CaptureFixture[str], name: str, told: str) -> None:
    calls = act()
    assert main(["plugins", "uninstall", "--yes", "--", name]) == 2
    assert told in capfd.readouterr().err
    assert calls == []


def test_uninstalling_asks_and_says_who_needs_it(act: Act, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    for name, more in (("acme-vla", ""), ("acme-suite", "Requires-Dist: acme_vla>=0.1\n")):
        info = tmp_path / f"{name.replace('-', '_')}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n{more}")
        (info / "entry_points.txt").write_text("[grinningface.commands\n[grinningface]\nmain = a\x1b[2J\n[other]\nx = y\n")
    damaged = tmp_path / "damaged-1.dist-info"
    damaged.mkdir()
    (damaged / "METADATA").write_bytes(b"\xff")
    monkeypatch.syspath_prepend(str(tmp_path))
    calls = act()
    assert main(["plugins", "uninstall", "ACME_VLA"]) == 2
    output = capfd.readouterr()
    assert output.out.splitlines()[-2:] == ["  plugins    main = a\\x1b[2J", "  needed by  acme-suite"]
    assert "nobody can be asked here" in output.err
    assert calls == []
    assert main(["plugins", "uninstall", "acme-vla", "--yes"]) == 2  # the acted pip did nothing
    assert "pip left it where it is, or there is another one of it" in capfd.readouterr().err
    assert calls[0][:2] == ["uninstall", "--yes"]


def test_no_pip_and_no_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pip.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install("acme-vla==1") == 2
    assert "there is no pip in this environment, and no uv" in capfd.readouterr().err
    (tmp_path / "uv").write_text("#!/bin/sh\n")
    (tmp_path / "uv").chmod(0o755)
    assert pip._pip()[:4] == [str(tmp_path / "uv"), "tool", "run", "pip"]


def test_programs_end_in_time_with_all_that_they_started(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    with pytest.raises(GrinningFaceError, match="it took more than 0 s, and was ended"):
        run_program(["sh", "-c", f"(sleep 1; touch {alive}) & sleep 60"], seconds=0.3)
    run_program(["sleep", "1"], seconds=10)
    assert not alive.exists()
    with pytest.raises(GrinningFaceError, match=r"absent: it can't be started \(No such file or directory\)"):
        run_program([str(tmp_path / "absent")], seconds=1)
    code, _, _ = run_program(["sh", "-c", "yes | head -c 100000000"], seconds=30, file_bytes=1 << 16)
    assert code
