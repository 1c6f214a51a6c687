"""What `gf doctor` looks at on behalf of the tabletop: MuJoCo and something to draw with."""

from __future__ import annotations

from gf_core.contracts import Finding
from gf_core.errors import MissingDependencyError


def findings() -> list[Finding]:
    """Whether MuJoCo loads and which OpenGL draws; makes and frees a small context."""
    try:
        from gf_envs.tabletop.bindings import mujoco
    except ImportError as error:
        return [Finding(name="mujoco", ok=False, detail=str(error), fix="pip install 'mujoco>=4,<5'")]
    return [Finding(name="mujoco", ok=True, detail=mujoco.__version__), _opengl()]


def _opengl() -> Finding:
    from gf_envs.tabletop.render import gl_strings

    try:
        strings = gl_strings()
    except MissingDependencyError as error:
        return Finding(name="opengl", ok=False, detail=error.what, fix=error.hint)
    detail = f"{strings['gl_backend']}: {strings['gl_renderer']}, {strings['gl_version']}"
    return Finding(name="opengl", ok=True, detail=detail)
