"""Indexes: from wherever they are, whatever is in them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy
import pytest

from gf_core.cli.main import main
from gf_core.community import fetching
from gf_core.community.index import find_entry, index_places, read_index
from gf_core.errors import GrinningFaceError, SchemaError, UnknownIdError
from gf_core.schemas import parse_json, validate

from .conftest import WriteIndex, entry, make_repository


def refusal(place: str) -> str:
    with pytest.raises(GrinningFaceError) as caught:
        read_index(place)
    assert all(line.isprintable() for line in str(caught.value).splitlines())
    return str(caught.value)


def test_a_folder_and_a_file_are_the_same_index(write_index: WriteIndex) -> None:
    folder = write_index(entry(), entry("Acme-Env"))
    assert [one.name for one in read_index(folder)] == ["acme-vla", "Acme-Env"]
    assert [one.source.text for one in read_index(f"{folder}/index.json")] == ["acme-vla>=0.1,<0.2", "Acme-Env>=0.1,<0.2"]


def test_which_indexes_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GF_PLUGIN_INDEX", raising=False)
    with pytest.raises(GrinningFaceError, match="none is built in; name one with --index PLACE or GF_PLUGIN_INDEX"):
        index_places(())
    monkeypatch.setenv("GF_PLUGIN_INDEX", "a, https://example.org/b,,a")
    assert index_places(()) == ["a", "https://example.org/b"]
    assert index_places(("c", "c")) == ["c"]


WRONG: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "a source": (
        [entry(), entry("acme-env", source="file:///opt/acme")],
        ["#/plugins/1/source: 'file:///opt/acme' is a place on the reader's own machine; give"],
    ),
    "several sources": (
        [entry(source="-e ."), entry("acme-env", source="other==1")],
        ["#/plugins/0/source: '-e .' has an option of pip in it", "#/plugins/1/source: it is of 'other', not of 'acme-env'"],
    ),
    "a name that is taken": (
        [entry("acme-vla"), entry("Acme_VLA", brings={"policies": ["acme-vla/first-v1"]})],
        ["#/plugins/1/name: 'Acme_VLA' is already the name of plugins/0; each may occur once"],
    ),
    "this program's name": (
        [entry("Grinning-Face"), entry("GrinningFace"), entry("gf", source="gf==1"), entry("local", source="local==1")],
        [f"#/plugins/{i}/name: '{name}' is kept for this program" for i, name in ((1, "GrinningFace"), (2, "gf"), (3, "local"))],
    ),
    "another's namespace": (
        [entry(brings={"policies": ["acme-vla/a-v1", "gf/expert-v1"]})],
        ["#/plugins/0/brings/policies/1: 'gf/expert-v1' isn't in the namespace 'acme-vla'"],
    ),
    "escape codes": ([entry(summary="\x1b]0;title\x07")], [r"#/plugins/0/summary: '\x1b]0;title\x07' isn't well-formed"]),
    "text from right to left": ([entry(maintainers=["\u202egnp"])], ["#/plugins/0/maintainers/0: "]),
    "lines": ([entry(source="acme-vla==1\n--pre")], [r"#/plugins/0/source: 'acme-vla==1\n--pre' isn't well-formed"]),
    "other letters": ([entry(source="ac\u043ce-vla==1")], ["#/plugins/0/source: "]),
}


@pytest.mark.parametrize(("entries", "told"), WRONG.values(), ids=WRONG)
def test_one_wrong_entry_and_the_index_is_refused(write_index: WriteIndex, entries: Any, told: list[str]) -> None:
    lines = refusal(write_index(*entries)).splitlines()
    assert len(lines) == len(told)
    for line, text in zip(lines, told, strict=True):
        assert text in line


def test_what_is_no_index(tmp_path: Path) -> None:
    assert "no such file" in refusal(str(tmp_path / "absent"))
    assert "index.json: no such file" in refusal(str(tmp_path))
    file = tmp_path / "index.json"
    file.write_bytes(b"\x89PNG\r\n")
    assert "isn't UTF-8" in refusal(str(tmp_path))
    file.write_text('{"schema_version": "1.0", "kind": "suite"}')
    assert "this is 'suite', not 'plugin_index'" in refusal(str(tmp_path))
    file.write_text("[" * 100 + "]" * 100)
    assert "nested more than 8 levels deep" in refusal(str(tmp_path))
    with file.open("wb") as sparse:
        sparse.truncate(100 << 20)
    assert "100 MiB is too large for a JSON document; at most 4 MiB are read" in refusal(str(tmp_path))
    file.unlink()
    os.mkfifo(file)
    assert "isn't a regular file" in refusal(str(tmp_path))


def test_too_many_entries(write_index: WriteIndex) -> None:
    assert "#/plugins: " in refusal(write_index(*(entry(f"acme-{i}") for i in range(5001))))


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("http://example.org/index.json", "without TLS"),
        ("git+http://example.org/plugins", "without TLS"),
        ("ftp://example.org/index.json", "no index can be had from there"),
        ("file:///srv/index.json", "no index can be had from there"),
        ("git+https://example.org/plugins@--upload-pack=id", "no index can be had from there"),
        ("git+ext::sh -c id", "no such file"),
        ("https://me:secret@example.org/index.json", "the URL has credentials in it"),
        ("git+https://token@example.org/plugins", "the URL has credentials in it"),
        ("-x", "no such file"),
    ],
)
def test_places_where_no_index_is(place: str, told: str) -> None:
    text = refusal(place)
    assert told in text
    assert "secret" not in text
    assert "token" not in text


def test_an_index_in_a_repository(write_index: WriteIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(write_index(entry()))
    first = make_repository(folder)
    write_index(entry(), entry("acme-env"))
    subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qam", "2"], cwd=folder, check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))  # as in a hook of another repository
    place = f"git+file://{folder}"
    assert [one.name for one in read_index(place)] == ["acme-vla", "acme-env"]
    assert [one.name for one in read_index(f"{place}@v1")] == ["acme-vla"]
    assert [one.name for one in read_index(f"{place}@{first}")] == ["acme-vla"]
    assert read_index(place)[0].index == place
    assert "git can't read index.json there: fatal: couldn't find remote ref v9" in refusal(f"{place}@v9")
    assert "does not appear to be a git repository" in refusal(f"git+file://{tmp_path}/absent")


def test_nothing_of_a_repository_is_executed_or_followed(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "index.json").symlink_to("/etc/passwd")
    make_repository(folder)
    assert f"git+file://{folder}:1:1: isn't JSON" in refusal(f"git+file://{folder}")
    folder = tmp_path / "filtered"
    folder.mkdir()
    mark = tmp_path / "mark"
    (folder / ".gitattributes").write_text("* filter=evil\n")
    (folder / "index.json").write_text("{}")
    make_repository(folder)
    hook = folder / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
    hook.chmod(0o755)
    assert "'schema_version' is missing" in refusal(f"git+file://{folder}")
    assert not mark.exists()


def test_a_large_file_in_a_repository_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    with (folder / "index.json").open("wb") as file:
        file.truncate(5 << 20)
    make_repository(folder)
    assert "an index of more than 4 MiB isn't read" in refusal(f"git+file://{folder}")
    (folder / "noise").write_bytes(os.urandom(1 << 20))
    make_repository(folder, tag="v2")
    monkeypatch.setattr(fetching, "_REPOSITORY_BYTES", 1 << 19)
    assert "git can't read index.json there" in refusal(f"git+file://{folder}")


def test_an_index_on_a_server(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.name for one in read_index(f"{server}/index.json")] == ["acme-vla"]
    assert "an index of more than 4 MiB isn't read" in refusal(f"{server}/large")
    assert "it can't be fetched: Not Found" in refusal(f"{server}/absent")
    assert "redirected to where there is no TLS" in refusal(f"{server}/plain")
    assert "it can't be fetched: " in refusal(f"{server}/round")
    monkeypatch.setattr(fetching, "_SECONDS", 0.2)
    assert "it took more than 0 s" in refusal(f"{server}/slow")
    monkeypatch.undo()
    assert "CERTIFICATE_VERIFY_FAILED" in refusal(f"{server}/index.json")


def test_names_are_found_however_they_are_written(write_index: WriteIndex) -> None:
    place = write_index(entry("acme-vla"))
    assert find_entry("ACME_vla", [place]).name == "acme-vla"
    with pytest.raises(UnknownIdError, match=r"did you mean 'acme-vla'\?; `acme-vlb==VERSION` asks pip's own index"):
        find_entry("acme-vlb", [place])


def test_a_name_in_two_indexes_is_nobodys(write_index: WriteIndex) -> None:
    one, other = write_index(entry(), folder="one"), write_index(entry("Acme-VLA", source="acme-vla==9"), folder="other")
    with pytest.raises(GrinningFaceError, match=f"'acme-vla' is in {one} and {other}; say which one is meant with --index"):
        find_entry("acme-vla", [one, other])


def test_a_newer_minor_may_say_more(write_index: WriteIndex) -> None:
    place = write_index({**entry(), "stars": 5}, schema_version="1.7")
    assert [one.name for one in read_index(place)] == ["acme-vla"]
    with pytest.raises(SchemaError, match=r"plugin_index documents of version 2\.0 aren't known"):
        read_index(write_index(entry(), schema_version="2.0"))


def search(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert main(["plugins", "search", *arguments, "--json"]) == 0
    document: Any = parse_json(capsys.readouterr().out.encode(), source="search")
    validate(document, "plugin_search", source="search")
    found: list[dict[str, Any]] = document["plugins"]
    return found


def test_searching(write_index: WriteIndex, capsys: pytest.CaptureFixture[str]) -> None:
    tongs = entry("acme-tongs", summary="Tongs instead of fingers", api_version=2, withdrawn="it melts")
    one = write_index(entry(), tongs, folder="one")
    other = write_index(entry(source="acme-vla==9"), folder="other")
    assert [found["name"] for found in search(capsys, "--index", one)] == ["acme-tongs", "acme-vla"]
    assert [found["name"] for found in search(capsys, "TONGS", "fingers", "--index", one)] == ["acme-tongs"]
    assert [found["name"] for found in search(capsys, "vla/first", "--index", one)] == ["acme-vla"]
    assert search(capsys, "tongs", "policy", "--index", one) == []
    (found,) = search(capsys, "acme-tongs", "--index", one)
    assert (found["compatible"], found["withdrawn"], found["installed"]) == (False, "it melts", "")
    (found,) = search(capsys, "--index", write_index(entry("numpy"), folder="third"))
    assert found["installed"] == numpy.__version__
    both = search(capsys, "acme-vla", "--index", one, "--index", other)
    assert [(found["source"], found["index"]) for found in both] == [("acme-vla>=0.1,<0.2", one), ("acme-vla==9", other)]
    assert main(["plugins", "search", "--index", one, "--index", other]) == 0
    text = capsys.readouterr().out
    assert "withdrawn: it melts, incompatible: made for interface 2, this is 1" in text
    assert text.splitlines()[0].split() == ["plugin", "state", "licence", "brings", "summary", "index"]


def test_searching_a_bad_index_says_so(write_index: WriteIndex, capsys: pytest.CaptureFixture[str]) -> None:
    place = write_index(entry(source="$HOME"))
    assert main(["plugins", "search", "--index", place]) == 2
    assert f"error: {place}#/plugins/0/source: '$HOME' has a variable" in capsys.readouterr().err
