"""MuJoCo, imported even where ``MUJOCO_GL`` names a backend that can't be loaded: physics needs none.

MuJoCo's package tries that backend while it is imported, and raises what the backend raises. Images then fail with our own
message (``gf_envs.tabletop.gl``), which says what to install.
"""

from __future__ import annotations

import os

_wanted = os.environ.get("MUJOCO_GL")
try:
    import mujoco
# PyOpenGL raises AttributeError where a library is missing, other backends raise other things.
except Exception:
    if not _wanted:
        raise
    os.environ["MUJOCO_GL"] = "disable"
    try:
        import mujoco
    finally:
        os.environ["MUJOCO_GL"] = _wanted
import mujoco.batch  # noqa: E402

# A diverged simulation is an episode's ending here (gf_envs.tabletop.judge), not a reason for a file in the working directory.
_log = mujoco.MjLogConfig.get()
_log.logto_file = False
_log.set()

__all__ = ["mujoco"]
