"""Finds a way to draw without being told: EGL, OSMesa or a window system."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from typing import Any, Protocol

from gf_core.errors import MissingDependencyError

# llvmpipe starts a thread per core in every context; the render pool already has one thread per core.
os.environ.setdefault("LP_NUM_THREADS", "0")

_LOCK = threading.RLock()
_BACKEND: str | None = None
_SOFTWARE = True
"""Whether the driver draws on the CPU; so it is taken until the first context says otherwise."""

INSTALL = {
    "debian": "apt-get install -y libegl1 libgl1-mesa-dri",
    "fedora": "dnf install -y mesa-libEGL mesa-dri-drivers",
}


class Context(Protocol):
    """An OpenGL context, bound to the thread that made it current."""

    def make_current(self) -> None:
        """Bind to this thread."""
        ...

    def free(self) -> None:
        """Give it back."""
        ...


def backends() -> tuple[str, ...]:
    """Names of the backends to try, best first; ``MUJOCO_GL`` names the only one."""
    wanted = os.environ.get("MUJOCO_GL", "").lower().strip()
    if wanted in ("egl", "osmesa", "glfw", "cgl"):
        return (wanted,)
    if sys.platform == "darwin":
        return ("cgl",)
    if sys.platform != "linux":
        return ("glfw",)
    return ("egl", "osmesa", "glfw")


def _load(backend: str) -> Any:
    """MuJoCo's context class for a backend. Its modules refuse to load where the system library is missing."""
    if backend == "egl":
        ctypes.CDLL("libEGL.so.1")
        from mujoco.egl import GLContext
    elif backend == "osmesa":
        ctypes.CDLL("libOSMesa.so.8")
        from mujoco.osmesa import GLContext
    elif backend == "cgl":
        from mujoco.cgl import GLContext
    else:
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise ImportError("no display")
        from mujoco.glfw import GLContext
    return GLContext


def make_context(width: int, height: int) -> Context:
    """A current OpenGL context for offscreen images of up to ``width × height`` pixels.

    Raises:
        MissingDependencyError: where no backend works; says what each lacked and what to install.
    """
    global _BACKEND, _SOFTWARE
    with _LOCK:
        reasons = []
        for backend in (_BACKEND,) if _BACKEND else backends():
            platform = os.environ.get("PYOPENGL_PLATFORM")
            try:
                context: Context = _load(backend)(width, height)
                context.make_current()
            # Drivers fail in many ways (OSError, ImportError, RuntimeError, GLError, AttributeError): each is a reason to go on.
            except Exception as error:
                reasons.append(f"{backend}: {type(error).__name__}: {error}".split("\n")[0])
                if platform is None:
                    os.environ.pop("PYOPENGL_PLATFORM", None)
                continue
            _BACKEND = backend
            _SOFTWARE = _is_software()
            return context
    pinned = os.environ.get("MUJOCO_GL", "")
    chosen = f"MUJOCO_GL={pinned} allows no other backend: unset it, or " if len(backends()) == 1 and pinned else ""
    raise MissingDependencyError(
        "no OpenGL to draw with (" + "; ".join(reasons) + ")",
        hint=f"{chosen}on Debian or Ubuntu: {INSTALL['debian']}; on Fedora: {INSTALL['fedora']}; `gf doctor` tells more",
        code="GF301",
    )


def _is_software() -> bool:
    from OpenGL import GL

    name = GL.glGetString(GL.GL_RENDERER).decode(errors="replace").lower()
    return any(one in name for one in ("llvmpipe", "softpipe", "swrast", "software"))


def lock() -> threading.RLock:
    """Held while contexts are made or freed: EGL's display and MuJoCo's table of OpenGL functions are one for the process."""
    return _LOCK


def is_software() -> bool:
    """Whether the driver draws on the CPU; true before the first context, which finds out."""
    return _SOFTWARE


def drawing() -> contextlib.AbstractContextManager[object]:
    """Held while a thread draws.

    Mesa's software driver isn't safe for several contexts at once: whoever maps a resource (reading pixels, uploading a texture)
    looks through what the other contexts of the display draw, without their locks (``llvmpipe_flush_resource``, Mesa 22.3),
    and rarely crashes the process. It rasterises one context at a time anyway. Drivers of GPUs draw side by side.
    """
    return _LOCK if _SOFTWARE else contextlib.nullcontext()


def backend() -> str:
    """Name of the backend in use; empty before the first context."""
    return _BACKEND or ""
