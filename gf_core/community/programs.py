"""Other programs, run in bounded time: git and pip."""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence

from gf_core.errors import GrinningFaceError
from gf_core.registry import one_line

_FAREWELL_SECONDS = 10.0
_COMPLAINT_BYTES = 1 << 16


def run_program(
    command: Sequence[str], *, seconds: float, environ: Mapping[str, str] | None = None, file_bytes: int = 0
) -> tuple[int, bytes, str]:
    """Run a program without a terminal, and all that it starts, for so long at most.

    Args:
        command: program and arguments.
        seconds: most time that it gets [s].
        environ: its variables; by default this process's.
        file_bytes: longest file that it may write, and most that it may print; 0 for any.

    Returns:
        Its exit code, what it printed, and the end of what it complained about.

    Raises:
        GrinningFaceError: it isn't there, or it takes longer.
    """

    def limit() -> None:
        if file_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaint:  # files, which the limit holds for, too
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=complaint,
                env=environ,
                start_new_session=True,
                preexec_fn=limit,
            )
        except OSError as error:
            raise GrinningFaceError(f"it can't be started ({error.strerror})", where=command[0], hint="install it") from error
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            _end(process)
            raise GrinningFaceError(f"it took more than {seconds:.0f} s, and was ended", where=command[0]) from error
        except BaseException:
            _end(process)
            raise
        output.seek(0)
        complaint.seek(max(0, complaint.seek(0, os.SEEK_END) - _COMPLAINT_BYTES))
        return code, output.read(), complaint.read().decode(errors="replace")


def run_shown(command: Sequence[str]) -> int:
    """Run a program that changes what is installed, with its output on standard error, and return its exit code."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2)
    try:
        code = process.wait()
        importlib.invalidate_caches()
        return code
    except KeyboardInterrupt:  # the program was interrupted, too, and tidies up
        process.wait()
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_FAREWELL_SECONDS)
            return


def complaint_of(text: str, signs: Iterable[str]) -> str:
    """What a program said is wrong, in one line: its lines with these beginnings and the last that pip quotes of a build, or else
    its last.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [
        line
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
        if line.lower().startswith(tuple(signs)) or after == "[end of output]"
    ]
    return one_line(" · ".join(dict.fromkeys(told or lines[-1:])), 600) or "it ended without a word"
