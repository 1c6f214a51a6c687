"""From a document of the kind ``gymnasium`` to a binding: finds what its paths name, or says what there is instead."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from gf_core.contracts import Doubles, Episode, Floats, Images
from gf_core.errors import PluginError, did_you_mean
from gf_core.gymnasium_adapter import Binding, Moment, Picture, resized
from gf_core.gymnasium_files.document import STATE, TOTAL_REWARD, Document
from gf_core.gymnasium_files.told import DIGEST, Told, rounded
from gf_core.registry import one_line

if TYPE_CHECKING:
    from gf_core.gymnasium_adapter import Env

_FLIPS: Mapping[str, tuple[int, ...]] = {"no": (), "vertical": (0,), "horizontal": (1,), "both": (0, 1)}


def binding(document: Document, env: Env) -> Binding:
    """What the document says, as a binding.

    Args:
        document: complete.
        env: one of its environments, whose action space the document has to fit.

    Raises:
        PluginError: it doesn't.
    """
    return Binding(
        begin=_begin,
        began=lambda episode, env, moment: _check_instruction(document, episode, env, moment),
        images={name: _picture(document, name) for name in document["cameras"]},
        proprio=lambda observation: _proprio(document, observation),
        action=_action(document, env),
        success=lambda moment: succeeded(document, moment, at_the_end=True),
        ends=(lambda moment: succeeded(document, moment)) if document["success"]["ends_episode"] else None,
        metrics=lambda moment: _metrics(document, moment),
        state=lambda env: cast(Told, env).digest,
        versions=_versions(document["make"]["package"]),
    )


def _begin(episode: Episode) -> tuple[int, dict[str, Any] | None]:
    options = episode.scene.get("options")
    return episode.seed, None if options is None else dict(options)


def instruction(document: Document, env: Env, observation: Any, info: Mapping[str, Any]) -> str:
    """What the policy is told in the episode that was begun. Raises PluginError: it isn't there, or isn't text."""
    ((source, said),) = document["instruction"].items()
    where = f"{document['id']}, instruction"
    if source == "text":
        return str(said)
    if source == "attribute":
        try:
            found = cast(Told, env).attribute(said)
        except AttributeError as error:
            has = ", ".join(name for name in getattr(env.unwrapped, "__dict__", ()) if not name.startswith("_"))
            raise PluginError(f"there is no attribute {said!r}; there are {one_line(has, 300)}", where=where) from error
    else:
        found = find(info if source == "info" else observation, said, where=f"{where} ({source})")
    if isinstance(found, np.ndarray | np.generic) and found.size == 1:
        found = found.item()
    if not isinstance(found, str):
        raise PluginError(f"{said!r} is {type(found).__name__}, not text", where=where)
    return found


def _check_instruction(document: Document, episode: Episode, env: Env, moment: Moment) -> None:
    if "text" in document["instruction"]:
        return
    told = instruction(document, env, moment.observation, moment.info)
    if told != episode.instruction_at(0):
        raise PluginError(
            f"the environment says {one_line(told, 100)!r}, and the suite {one_line(episode.instruction_at(0), 100)!r}",
            where=f"{document['id']}, {episode.id}",
            hint="does it draw from its seed alone, and is its package the version that the suite was written with?",
        )


def find(found: Any, path: str | Sequence[str | int], *, where: str) -> Any:
    """What a path leads to. Raises PluginError: nothing is there, naming what is."""
    for key in [path] if isinstance(path, str) else path:
        if isinstance(key, int) and isinstance(found, Sequence | np.ndarray) and not isinstance(found, str):
            if not -len(found) <= key < len(found):
                raise PluginError(f"there is no element {key}; there are {len(found)}", where=where)
        elif not isinstance(found, Mapping) or key not in found:
            keys = [str(known) for known in found if known != DIGEST] if isinstance(found, Mapping) else []
            has = f"there are {', '.join(keys) or 'no keys'}" if isinstance(found, Mapping) else f"it is {_kind(found)}"
            raise PluginError(f"there is no {key!r}, {has}", where=where, hint=did_you_mean(str(key), keys))
        found = found[key]
    return found


def _kind(value: Any) -> str:
    return f"an array {value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


def _picture(document: Document, name: str) -> Picture:
    camera, where = document["cameras"][name], f"{document['id']}, cameras/{name}"

    def draw(env: Env, observation: Any, size: tuple[int, int]) -> Images:
        image = find(observation, camera["observation"], where=where) if "observation" in camera else env.render()
        if "render" in camera and not isinstance(image, np.ndarray):
            hint = "make.kwargs need render_mode rgb_array"
            raise PluginError(f"render() returned {type(image).__name__}, not an image", where=where, hint=hint)
        array: NDArray[Any] = np.asarray(image)
        if camera["channels"] == "first" and array.ndim == 3:
            array = array.transpose(1, 2, 0)
        if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
            what = f"it is {array.shape} {array.dtype}, not (H, W, 3) uint8"
            raise PluginError(what, where=where, hint="channels says where the colours are")
        return resized(np.ascontiguousarray(np.flip(array, _FLIPS[camera["flip"]])), size)

    return draw


def _proprio(document: Document, observation: Any) -> Floats:
    parts = []
    for number, part in enumerate(document["proprio"]):
        where = f"{document['id']}, proprio/{number}"
        try:
            values = np.asarray(find(observation, part["observation"], where=where), np.float64).ravel()
        except (TypeError, ValueError) as error:
            raise PluginError(f"{part['observation']!r} isn't numbers", where=where) from error
        if "indices" in part:
            if max(part["indices"]) >= len(values):
                raise PluginError(f"there is no index {max(part['indices'])}; there are {len(values)} numbers", where=where)
            values = values[part["indices"]]
        if len(values) != len(part["names"]):
            raise PluginError(f"there are {len(values)} numbers, and {len(part['names'])} names", where=where)
        parts.append(values * part["scale"] + part["offset"])
    return np.concatenate(parts).astype(np.float32)


def _action(document: Document, env: Env) -> Any:
    from gymnasium.spaces import Box

    action, space, where = document["action"], env.action_space, f"{document['id']}, action"
    if not isinstance(space, Box) or not np.issubdtype(space.dtype, np.floating):
        raise PluginError(f"its action space is {space}, and only a Box of real numbers can be moved", where=where)
    size = int(np.prod(space.shape))
    moved, fixed = [one["index"] for one in action["elements"]], [one["index"] for one in action["constants"]]
    beyond = [index for index in (*moved, *fixed) if index >= size]
    if beyond:
        raise PluginError(f"there is no index {beyond[0]}: its action space is {space}", where=where)
    unmoved = sorted(set(range(size)) - {*moved, *fixed})
    if unmoved:
        hint = "give it an element, or a value in constants"
        raise PluginError(f"nothing is said of index {unmoved[0]} of its action space {space}", where=where, hint=hint)
    scale, offset = (np.array([one[name] for one in action["elements"]], np.float64) for name in ("scale", "offset"))
    low, high = space.low.astype(np.float64).ravel(), space.high.astype(np.float64).ravel()
    rest = np.zeros(size)
    rest[fixed] = [one["value"] for one in action["constants"]]

    def converted(controls: Doubles) -> NDArray[Any]:
        flat = rest.copy()
        flat[moved] = controls * scale + offset
        return flat

    for side in ("low", "high"):
        reached = converted(np.array([one[side] for one in action["elements"]], np.float64))
        slack = 1e-6 * np.maximum(1.0, np.abs(reached))
        wrong = np.flatnonzero((reached < low - slack) | (reached > high + slack))
        if len(wrong):
            index = int(wrong[0])
            name = action["elements"][moved.index(index)]["name"] if index in moved else "a constant"
            within = f"whose bounds are {low[index]:g} and {high[index]:g}"
            what = f"{name} at its {side} becomes {reached[index]:g} at index {index}, {within}"
            raise PluginError(what, where=where, hint="low, high, scale and offset decide that")
    return lambda controls: np.clip(converted(controls), low, high).reshape(space.shape).astype(space.dtype)


def succeeded(document: Document, moment: Moment, *, at_the_end: bool = False) -> bool:
    """Whether the document's success holds.

    Args:
        document: complete.
        moment: after a step, or after the reset.
        at_the_end: whether the episode is over, so that a path has to lead somewhere.

    Raises:
        PluginError: it doesn't, or to something that is no flag and no number.
    """
    rule, where = document["success"], f"{document['id']}, success"
    if "terminated" in rule:
        return moment.terminated
    for name, value in (("reward", moment.reward), (TOTAL_REWARD, moment.total_reward)):
        if name in rule:
            return moment.steps > 0 and value >= float(rule[name])
    source = "info" if "info" in rule else "observation"
    try:
        found = find(moment.info if source == "info" else moment.observation, rule[source], where=f"{where} ({source})")
    except PluginError as error:
        if at_the_end and not rule["may_be_missing"]:
            hint = error.hint or "may_be_missing says that it needn't be there"
            raise PluginError(error.what, where=error.where, hint=hint) from error
        return False
    if np.size(found) != 1 or np.asarray(found).dtype.kind not in "biuf":
        raise PluginError(f"{rule[source]!r} is {_kind(found)}, not a flag or a number", where=where)
    value = float(np.asarray(found).item())
    return value >= float(rule["at_least"]) if "at_least" in rule else bool(value)


_KINDS: Mapping[str, type] = {"bool": bool, "int": int, "float": float, "str": str}


def _metrics(document: Document, moment: Moment) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, metric in enumerate(document["metrics"]):
        where = f"{document['id']}, metrics/{number}"
        try:
            value = find(moment.info, metric["info"], where=where)
        except PluginError:
            found[metric["name"]] = None  # many are there only at the end, or not always
            continue
        try:
            plain = _KINDS[metric["kind"]](np.asarray(value).item())
            found[metric["name"]] = rounded(plain, document["decimals"]) if isinstance(plain, float) else plain
        except (TypeError, ValueError) as error:
            raise PluginError(f"{metric['info']!r} is {_kind(value)}, not {metric['kind']}", where=where) from error
    found[TOTAL_REWARD] = moment.total_reward
    if document["replayable"]:
        found[STATE] = hashlib.sha256(moment.info[DIGEST]).hexdigest()
    return found


def _versions(package: str) -> dict[str, str]:
    found = {}
    for name in filter(None, ("gymnasium", package)):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found
