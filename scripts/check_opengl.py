"""Is there anything to draw with? Standard library only, so that it runs before anything is installed.

Exit code 0: yes. As root on Debian or Ubuntu, what is missing is installed. Otherwise 2, with the line to run.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys

PACKAGES = ["libegl1", "libgl1-mesa-dri"]
EGL_PLATFORM_DEVICE_EXT = 0x313F


def egl_works() -> bool:
    """Whether an EGL device can be initialised (the way MuJoCo opens one)."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    egl.eglGetProcAddress.argtypes = [ctypes.c_char_p]
    query, get = (egl.eglGetProcAddress(name) for name in (b"eglQueryDevicesEXT", b"eglGetPlatformDisplayEXT"))
    if not query or not get:
        return False
    devices, count = (ctypes.c_void_p * 16)(), ctypes.c_int32()
    integer, pointer = ctypes.c_int32, ctypes.c_void_p
    query_devices = ctypes.CFUNCTYPE(ctypes.c_uint32, integer, pointer, ctypes.POINTER(integer))(query)
    get_display = ctypes.CFUNCTYPE(pointer, ctypes.c_uint32, pointer, pointer)(get)
    if not query_devices(16, devices, ctypes.byref(count)):
        return False
    egl.eglInitialize.argtypes = [pointer, pointer, pointer]
    return any(egl.eglInitialize(get_display(EGL_PLATFORM_DEVICE_EXT, devices[i], None), None, None) for i in range(count.value))


def can_draw() -> bool:
    """EGL, OSMesa or a window system."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return True
    try:
        ctypes.CDLL("libOSMesa.so.8")
    except OSError:
        return egl_works()
    return True


def main() -> int:
    """Check, install where that is ours to do, and say what is left to the user."""
    if can_draw():
        return 0
    if "--look" in sys.argv:
        return 2
    command = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("OpenGL is missing; installing " + " ".join(PACKAGES), flush=True)
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(command, check=False, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        # A process that failed to load a library doesn't find one that came later: look again in a fresh one.
        if subprocess.run([sys.executable, __file__, "--look"], check=False).returncode == 0:
            return 0
    print("error: there is no OpenGL to draw with; on Debian or Ubuntu run:", file=sys.stderr)
    print("  sudo apt-get update && sudo " + " ".join(command), file=sys.stderr)
    print("on Fedora: sudo dnf install -y mesa-libEGL mesa-dri-drivers", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
