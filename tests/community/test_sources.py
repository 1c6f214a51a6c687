"""What pip may be asked for: by an index, and by a user."""

from __future__ import annotations

from pathlib import Path

import pytest

from gf_core.community.sources import Source, entry_source, given_source, is_name
from gf_core.errors import GrinningFaceError

HASH = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "builds"),
    [
        ("acme-vla==0.1.0", False),
        ("acme_vla>=0.1,<0.2", False),
        ("Acme.VLA[train, sim] ~= 1.4, != 1.4.2", False),
        ("git+https://example.org/acme/vla@v0.1.0", True),
        ("git+https://example.org:8443/acme/vla.git@0a1b2c3d", True),
        (f"https://example.org/acme_vla-0.1.0-py3-none-any.whl#sha256={HASH}", False),
        (f"https://example.org/a/b/acme_vla-0.1.0%2Bcpu-py3-none-any.whl#sha256={HASH}", False),
    ],
)
def test_what_an_index_may_name(text: str, builds: bool) -> None:
    assert entry_source("acme-vla", text) == Source(text=text, name="acme-vla", builds=builds)


HOSTILE = {
    "-r /etc/passwd": "an option of pip",
    "--index-url=https://evil.example": "an option of pip",
    "acme-vla==1 --index-url https://evil.example": "an option of pip",
    "acme-vla==$SECRET": "a variable of the environment",
    "git+https://${TOKEN}@example.org/acme@v1": "a variable of the environment",
    "https://example.org/$(id)-1-py3-none-any.whl": "a variable of the environment",
    "./acme-vla": "own machine",
    "/opt/acme-vla": "own machine",
    "~/acme-vla": "own machine",
    "file:///opt/acme_vla-1-py3-none-any.whl": "own machine",
    "file:acme-vla": "own machine",
    "git+file:///opt/acme@v1": "own machine",
    "acme-vla @ file:///opt/acme": "own machine",
    r"C:\acme": "own machine",
    r"\\host\share\acme": "own machine",
    f"http://example.org/acme_vla-1-py3-none-any.whl#sha256={HASH}": "without TLS",
    "git+http://example.org/acme@v1": "without TLS",
    "git://example.org/acme@v1": "without TLS",
    f"https://me:secret@example.org/acme_vla-1-py3-none-any.whl#sha256={HASH}": "credentials",
    "git+https://me@example.org/acme@v1": "credentials",
    "git+https://example.org/acme": "no tag or commit",
    "git+https://example.org/acme@": "no tag or commit",
    "git+https://example.org/acme@-x": "no tag or commit",
    "git+https://example.org/acme@v1#egg=other": "no tag or commit",
    "git+https://example.org/acme@v1 acme-other==1": "no tag or commit",
    "https://example.org/acme_vla-1-py3-none-any.whl": "no wheel with its SHA-256",
    "https://example.org/acme_vla-1-py3-none-any.whl#sha256=abc": "no wheel with its SHA-256",
    f"https://example.org/acme_vla-1.tar.gz#sha256={HASH}": "no wheel with its SHA-256",
    "acme-vla": "no range of versions",
    "acme-vla; python_version > '3'": "nothing that an index may name",
    "acme-vla==1, other==1": "nothing that an index may name",
    "acme-vla==1 other==1": "nothing that an index may name",
    "git+ssh://git@example.org/acme@v1": "SSH",
    "hg+https://example.org/acme@v1": "nothing that an index may name",
}


@pytest.mark.parametrize(("text", "told"), HOSTILE.items(), ids=HOSTILE)
def test_what_an_index_may_not_name(text: str, told: str) -> None:
    with pytest.raises(GrinningFaceError, match="git\\+https://HOST/PATH@TAG-OR-COMMIT") as caught:
        entry_source("acme-vla", text)
    assert told in caught.value.what


@pytest.mark.parametrize("text", ["numpy>=1", f"https://example.org/numpy-2-py3-none-any.whl#sha256={HASH}"])
def test_a_source_of_another_distribution(text: str) -> None:
    with pytest.raises(GrinningFaceError, match="it is of 'numpy', not of 'acme-vla'"):
        entry_source("acme-vla", text)


def test_long_texts_are_refused_in_time() -> None:
    for text in ("a" * 500, "a." * 250, "git+https://" + "a." * 240, "acme-vla" + "==1," * 120, "a[" + "a," * 240):
        with pytest.raises(GrinningFaceError):
            entry_source("acme-vla", text)


def test_what_a_user_may_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "pyproject.toml").touch()
    (tmp_path / "acme-1-py3-none-any.whl").touch()
    (tmp_path / "acme-1.tar.gz").touch()
    given = {
        "acme>=1": ("acme>=1", "acme", False),
        "acme[sim]==1": ("acme[sim]==1", "acme", False),
        "git+https://example.org/acme": ("git+https://example.org/acme", "", True),
        "acme[sim] @ git+ssh://git@example.org/acme@v1": ("acme[sim] @ git+ssh://git@example.org/acme@v1", "acme", True),
        "git+file:///srv/acme@v1": ("git+file:///srv/acme@v1", "", True),
        "https://example.org/acme-1-py3-none-any.whl": ("https://example.org/acme-1-py3-none-any.whl", "", False),
        "https://example.org/acme-1.tar.gz": ("https://example.org/acme-1.tar.gz", "", True),
        "./acme": (str(tmp_path / "acme"), "", True),
        "acme-1-py3-none-any.whl": (str(tmp_path / "acme-1-py3-none-any.whl"), "", False),
        "./acme-1.tar.gz": (str(tmp_path / "acme-1.tar.gz"), "", True),
    }
    for text, (asked, name, builds) in given.items():
        assert given_source(text) == Source(text=asked, name=name, builds=builds), text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no name, requirement or path"),
        ("--pre", "no name, requirement or path"),
        ("acme==1\n--pre", "no name, requirement or path"),
        ("acme\x1b[31m", "no name, requirement or path"),
        ("acme vla", "no name, requirement or path"),
        ("a" * 2000, "no name, requirement or path"),
        ("http://example.org/acme.whl", "comes without TLS"),
        ("git+http://example.org/acme", "comes without TLS"),
        ("ftp://example.org/acme.whl", "isn't a URL that is taken here"),
        ("file:///srv/acme", "isn't a URL that is taken here"),
        ("https://me:secret@example.org/acme.whl", "the URL has credentials in it"),
        ("git+ssh://git:secret@example.org/acme", "the URL has credentials in it"),
        ("https://[x/acme.whl", "that is no URL"),
        ("acme @ https://[x/acme.whl", "that is no URL"),
        ("./absent", "there is no such path"),
        (".", "there is nothing to install at this path"),
    ],
)
def test_what_a_user_may_not_type(text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GrinningFaceError) as caught:
        given_source(text)
    assert told in caught.value.what
    assert "secret" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("git+https://example.org/acme@v1", "git+https://example.org/acme@c0ffee"),
        ("git+https://example.org/acme", "git+https://example.org/acme@c0ffee"),
        ("acme @ git+https://example.org/acme@v1", "acme @ git+https://example.org/acme@c0ffee"),
        ("git+ssh://git@example.org/acme", "git+ssh://git@example.org/acme@c0ffee"),
        ("git+ssh://git@example.org/acme@v1", "git+ssh://git@example.org/acme@c0ffee"),
        ("git+https://example.org/acme@v1#subdirectory=a", "git+https://example.org/acme@c0ffee#subdirectory=a"),
    ],
)
def test_a_tag_becomes_the_commit_that_it_meant(text: str, pinned: str) -> None:
    assert given_source(text).at_commit("c0ffee").text == pinned


def test_names() -> None:
    assert all(map(is_name, ["acme", "acme-vla", "A.b_c"]))
    assert not any(map(is_name, ["", "-acme", "acme-", "acme==1", "./acme", "acme\n", "a" * 101]))
    assert not any(map(is_name, ["acme-1-py3-none-any.whl", "acme-1.tar.gz", "acme.zip"]))  # files of the working directory
