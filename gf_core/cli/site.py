"""`gf leaderboard build` and `serve`: the site."""

from __future__ import annotations

import functools
import http.server
import sys
from pathlib import Path

import click

from gf_core.cli._common import make_host, plugin_option
from gf_core.cli.board import DIR
from gf_core.errors import GrinningFaceError


@click.command("build")
@DIR
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Where to write it; replaces an earlier site."
)
@plugin_option
def build(board: Path, out: Path, plugin_files: tuple[Path, ...]) -> None:
    """Write the repository as a static site: tables, entries, comparisons, CSV, JSON and Parquet. Any host of files can show it.

    \b
    Examples:
      gf leaderboard build results --out site
    """
    from rich.console import Console
    from rich.progress import Progress

    from gf_core.leaderboard.board import read_board
    from gf_core.leaderboard.site import build as write

    host = make_host(plugin_files)
    found = read_board(board, host)
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("writing the site", total=None)
        built = write(found, host, out, watch=lambda done, of: progress.update(task, completed=done, total=of))
    click.echo(f"wrote {out}: {built.pages} pages; the front page loads {built.front_bytes / 1e6:.1f} MB", err=True)


@click.command("serve")
@click.argument("site", type=click.Path(path_type=Path), metavar="SITE")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port on this machine; 0 for any that is free."
)
def serve(site: Path, port: int) -> None:
    """Show a site that `build` wrote, on this machine alone, until Ctrl-C.

    \b
    Examples:
      gf leaderboard serve site
    """
    from gf_core.leaderboard.site.build import MARK

    if not (site / MARK).is_file():
        raise GrinningFaceError("no site is in it", where=str(site), hint="`gf leaderboard build` writes one")
    handler = functools.partial(_Handler, directory=str(site))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise GrinningFaceError(f"port {port} can't be used ({error.strerror})", hint="give another --port, or 0") from error
    with server:
        click.echo(f"http://127.0.0.1:{server.server_address[1]}/ shows {site}; Ctrl-C ends it")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("", err=True)


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files of the site, never cached, and nothing printed for each."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


COMMANDS = (build, serve)
