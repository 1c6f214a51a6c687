from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import json
import shutil
import ssl
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gf_core.community import fetching

PLUGIN = """
from gf_core.hookspecs import hookimpl

gf_api_version = {api}


@hookimpl
def gf_register_heads(register): ...
"""


def entry(name: str = "acme-vla", **changes: Any) -> dict[str, Any]:
    """An entry of an index."""
    plain = {"summary": "A policy", "license": "MIT", "api_version": 1, "source": f"{name}>=0.1,<0.2"}
    return {"name": name, **plain, "brings": {"policies": [f"{name.lower()}/first-v1"]}, **changes}


WriteIndex = Callable[..., str]


@pytest.fixture
def write_index(tmp_path: Path) -> WriteIndex:
    """Write an index of these entries into a folder, and return its path."""

    def write(*entries: Mapping[str, Any], folder: str = "index", **changes: Any) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        document = {"schema_version": "1.0", "kind": "plugin_index", "title": "Mine", "plugins": entries, **changes}
        (tmp_path / folder / "index.json").write_text(json.dumps(document))
        return str(tmp_path / folder)

    return write


def make_repository(folder: Path, *, tag: str = "v1") -> str:
    """Make a git repository of a folder's files; returns the commit."""

    def git(*words: str) -> str:
        who = ["-c", "user.name=Acme", "-c", "user.email=acme@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "files")
    git("tag", tag)
    return git("rev-parse", "HEAD")


def make_wheel(
    folder: Path,
    name: str,
    version: str = "0.1.0",
    *,
    needs: Sequence[str] = (),
    plugin: str | None = PLUGIN.format(api=1),
    license: str = "MIT",
) -> Path:
    """Write a wheel by hand: building takes longer. ``plugin`` is the source of its one module; ``None`` for no plugin."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: {license}\n"]
    files = {
        f"{module}.py": plugin or "",
        f"{info}/METADATA": "".join([*metadata, *(f"Requires-Dist: {need}\n" for need in needs)]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if plugin is not None:
        files[f"{info}/entry_points.txt"] = f"[grinningface]\n{module} = {module}\n"
    rows = []
    for place, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{place},sha256={digest},{len(text.encode())}\n")
    files[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"])
    folder.mkdir(exist_ok=True)
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for place, text in files.items():
            archive.writestr(place, text)
    return path


class _Pages(http.server.BaseHTTPRequestHandler):
    """Answers as its path says."""

    def do_GET(self) -> None:
        if self.path == "/index.json":
            body = json.dumps({"schema_version": "1.0", "kind": "plugin_index", "title": "Far", "plugins": [entry()]}).encode()
            self._answer(200, body)
        elif self.path.endswith(".whl"):
            self._answer(200, (self.server.folder / self.path[1:]).read_bytes())  # type: ignore[attr-defined]
        elif self.path == "/large":
            self._answer(200, b"[" + b" " * fetching.MAX_BYTES + b"]")
        elif self.path == "/slow":
            self.server.released.wait(20)  # type: ignore[attr-defined]
        elif self.path in ("/plain", "/round"):
            to = "http://127.0.0.1:1/index.json" if self.path == "/plain" else "/round"
            self._answer(302, b"", to)
        else:
            self._answer(404, b"")

    def _answer(self, code: int, body: bytes, to: str = "") -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        if to:
            self.send_header("Location", to)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with a certificate that this process and pip trust; it has the wheels of a folder."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*new, *files], check=True, capture_output=True)
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(certificate))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    web.folder = tmp_path / "wheels"  # type: ignore[attr-defined]
    web.released = threading.Event()  # type: ignore[attr-defined]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    web.socket = context.wrap_socket(web.socket, server_side=True)
    threading.Thread(target=functools.partial(web.serve_forever, poll_interval=0.01), daemon=True).start()
    yield f"https://localhost:{web.server_port}"
    web.released.set()  # type: ignore[attr-defined]
    web.shutdown()
    web.server_close()
