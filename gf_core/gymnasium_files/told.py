"""A third party's environment, made, and a hash of all that it tells."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from gf_core.errors import GrinningFaceError, MissingDependencyError, PluginError, did_you_mean
from gf_core.registry import one_line

if TYPE_CHECKING:
    from gf_core.gymnasium_adapter import Env

DIGEST = "grinningface.digest"
"""Key of info under which :class:`Told` puts its hash."""


def plain_env(document: Mapping[str, Any]) -> Env:
    """The environment, made by gymnasium, with a digest of what it tells in its info.

    Raises:
        MissingDependencyError: the module isn't there.
        PluginError: gymnasium doesn't know it, or it raises.
    """
    import gymnasium

    make, where = document["make"], f"{document['id']}, make"
    package = make["package"] or make["module"].partition(".")[0]
    try:
        if make["module"]:
            importlib.import_module(make["module"])
        if make["id"] not in gymnasium.registry:  # gymnasium itself would take the latest version of one without
            hint = did_you_mean(make["id"], gymnasium.registry) or "is make.module the one that registers it?"
            raise PluginError(f"gymnasium knows no {make['id']!r}", where=where, hint=hint)
        kwargs = {"max_episode_steps": -1, "disable_env_checker": True, **make["kwargs"]}
        env: Env = gymnasium.make(make["id"], **kwargs)
    except ModuleNotFoundError as error:
        hint = f"pip install {package}" if package else ""
        raise MissingDependencyError(f"there is no module {error.name!r}", where=where, hint=hint) from error
    except GrinningFaceError:
        raise
    except Exception as error:  # whatever a stranger's package raises
        raise PluginError(f"it can't be made ({one_line(error)})", where=where, hint="are make.kwargs its own?") from error
    return cast("Env", Told(env, where=document["id"], decimals=document["decimals"]))


class Told:
    """An environment that keeps a hash of all that it told since its reset: observations, rewards and ends.

    Two episodes with the same hash were the same for whoever looked on; what an environment keeps to itself isn't known.

    Args:
        env: the environment.
        where: what errors call it.
        decimals: to which rewards are rounded; ``None`` for not.
    """

    def __init__(self, env: Env, *, where: str, decimals: int | None) -> None:
        self._env, self._where, self._decimals = env, where, decimals
        self._hash = hashlib.sha256()
        self.action_space = env.action_space
        self.unwrapped = env.unwrapped

    def reset(self, *, seed: int, options: Mapping[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        """As the environment's."""
        observation, info = self._env.reset(seed=seed, options=None if options is None else dict(options))
        self._hash = hashlib.sha256()
        return observation, self._noted(observation, info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As the environment's."""
        observation, given, terminated, truncated, info = self._env.step(action)
        reward = rounded(float(given), self._decimals)
        info = self._noted([observation, reward, bool(terminated), bool(truncated)], info)
        return observation, reward, bool(terminated), bool(truncated), info

    def _noted(self, told: Any, info: Mapping[str, Any]) -> dict[str, Any]:
        for part in _parts(told, self._where):
            self._hash.update(part)
        return {**info, DIGEST: self._hash.digest()}

    def render(self) -> Any:
        """As the environment's."""
        return self._env.render()

    def attribute(self, name: str) -> Any:
        """Of the environment, or of one that it wraps. Raises AttributeError: none has it."""
        return self._env.get_wrapper_attr(name)

    def close(self) -> None:
        """As the environment's."""
        self._env.close()

    @property
    def digest(self) -> bytes:
        """The hash until now."""
        return self._hash.digest()


def rounded(value: float, decimals: int | None) -> float:
    """``value``, to so many decimals unless they are ``None``."""
    return value if decimals is None else round(value, decimals) + 0.0  # and never -0.0, whose bits are others


def _parts(value: Any, where: str) -> Iterator[bytes]:
    """The bytes of an observation, so that different ones are different."""
    if isinstance(value, Mapping):
        yield f"{{{len(value)}".encode()
        for key in sorted(value, key=str):
            yield from _parts(str(key), where)
            yield from _parts(value[key], where)
    elif isinstance(value, list | tuple):
        yield f"[{len(value)}".encode()
        for item in value:
            yield from _parts(item, where)
    elif isinstance(value, str | bytes | None):
        text = repr(value).encode()
        yield b"%d:" % len(text) + text
    else:
        array = np.ascontiguousarray(value)
        if array.dtype.hasobject:
            raise PluginError(f"its observations hold {type(value).__name__}, which isn't numbers", where=where)
        yield f"{array.dtype.str}{array.shape}".encode()
        yield array.tobytes()
