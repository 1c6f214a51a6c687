"""`gf serve`: a policy for clients of this and other programs."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from gf_core.cli._common import finite, make_host, plugin_option
from gf_core.errors import GrinningFaceError

if TYPE_CHECKING:
    from gf_core.serving.server import PolicyServer

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@click.command("serve", short_help="Serve a policy over WebSockets.")
@click.argument("policy", metavar="POLICY")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the policy. Repeatable.")
@click.option(
    "--env", "env_id", default="gf/tabletop-v1", show_default=True, metavar="ID", help="Whose actions and state it is made for."
)
@click.option(
    "--hz",
    "control_hz",
    type=float,
    callback=finite,
    metavar="HZ",
    help="Control rate.  [default: the policy's own, or the first]",
)
@click.option(
    "--host", "name", default="127.0.0.1", show_default=True, metavar="NAME", help="Where to listen; others need a token."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 for any that is free.")
@click.option("--sessions", type=click.IntRange(1, 4096), default=64, show_default=True, help="Most clients at once.")
@click.option(
    "--wait",
    type=click.FloatRange(0, 10),
    callback=finite,
    default=0.02,
    show_default=True,
    metavar="SECONDS",
    help="Most that a question waits for others.",
)
@click.option("--max-mb", type=click.IntRange(1, 1024), default=64, show_default=True, help="Most megabytes of a message.")
@click.option("--camera", "cameras", multiple=True, metavar="THEIRS=OURS", help="What clients call a camera. Repeatable.")
@click.option("--describe", is_flag=True, help="Say what would be served, as JSON, without loading the policy.")
@click.option("--with-stdin", is_flag=True, help="End when standard input ends: with the program that started this one.")
@plugin_option
def command(
    policy: str,
    settings: tuple[str, ...],
    env_id: str,
    control_hz: float | None,
    name: str,
    port: int,
    sessions: int,
    wait: float,
    max_mb: int,
    cameras: tuple[str, ...],
    describe: bool,
    with_stdin: bool,
    plugin_files: tuple[Path, ...],
) -> None:
    """Serve POLICY, until Ctrl-C: to `gf run SUITE --policy gf/remote-v1 --set url=ws://HOST:PORT`, and to vla-eval's harness.

    Sessions that ask at the same time are one call of the policy. GET /health answers {"status": "ok"} on the same port.

    Beyond this machine clients have to say a token: that of the environment variable GF_TOKEN, or one that is made and printed.

    \b
    Examples:
      gf serve gf/nano-vla-v1
      gf serve gf/vla-v1 --set checkpoint=trained/lora/checkpoint --port 0
      GF_TOKEN=... gf serve gf/nano-vla-v1 --host 0.0.0.0
    """
    from gf_core._discovery import stdout_to_stderr
    from gf_core.serving.link import TOKEN
    from gf_core.serving.opening import describe_policy, open_server

    sys.stdout.flush()
    out = os.dup(1)

    def say(text: str) -> None:
        os.write(out, f"{text}\n".encode())

    names = dict(_pair(text) for text in cameras)
    with stdout_to_stderr():  # a policy may print; whoever started this program reads one line
        host = make_host(plugin_files)
        if describe:
            say(json.dumps(describe_policy(policy, host, settings=settings, env_id=env_id, control_hz=control_hz), indent=2))
            return
        token = os.environ.get(TOKEN, "")
        made = name not in LOOPBACK and not token
        if made:
            token = secrets.token_urlsafe(24)
        server = open_server(
            policy,
            host,
            settings=settings,
            env_id=env_id,
            control_hz=control_hz,
            address=(name, port),
            token=token,
            sessions=sessions,
            wait=wait,
            cameras=names,
            max_bytes=max_mb << 20,
        )
        shown = f"[{name}]" if ":" in name else name
        say(f"ws://{shown}:{server.port} serves {policy} for {env_id}; Ctrl-C ends it")
        if made:
            click.echo(f"clients need the token {token}: {TOKEN}={token} gf run … --policy gf/remote-v1", err=True)
        _serve(server, with_stdin=with_stdin)


def _serve(server: PolicyServer, *, with_stdin: bool) -> None:
    """Until Ctrl-C, SIGTERM or, if asked for, the end of standard input."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    if with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        while thread.is_alive():
            time.sleep(0.5)
    except KeyboardInterrupt:
        click.echo(server.told(), err=True)
    else:
        raise GrinningFaceError("it stopped listening")
    finally:
        server.close()


def _end_with_stdin() -> None:
    while sys.stdin.buffer.read(1 << 12):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _pair(text: str) -> tuple[str, str]:
    theirs, equals, ours = text.partition("=")
    if not equals or not theirs or not ours:
        raise GrinningFaceError(f"{text!r} isn't THEIRS=OURS", where="--camera")
    return theirs, ours
