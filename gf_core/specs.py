"""Frozen, JSON-serialisable descriptions of everything that a plugin can bring.

A spec says what a thing is without importing it: the object behind it is named by ``entry_point`` (``"module:attr"``) and
loaded when it is used. Specs are values; :func:`to_json` writes one as plain JSON.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

API_VERSION = 1
"""Version of the contracts between gf_core and plugins. A plugin module may say ``gf_api_version = 1``."""

S = TypeVar("S", bound="Spec")

Representation = Literal["ee_delta", "ee_pose", "joint_delta", "joint_position"]
Reference = Literal["previous_target", "measured", "chunk_start"]
Rotation = Literal["none", "rotvec", "quat_wxyz", "quat_xyzw", "euler_xyz", "rot6d"]


@dataclass(frozen=True, kw_only=True)
class FieldSpec:
    """One array that passes between rooms.

    Attributes:
        name: key of the array.
        shape: shape of one slot's value, without the batch dimension.
        dtype: NumPy dtype name.
        names: what each element of the last axis is, e.g. ``("x", "y", "z")``; empty where it has no names.
        unit: one unit for all elements, or one for each of ``names``; ``"1"`` for dimensionless.
        frame: coordinate frame; empty where it has none.
        low, high: limits, one for all elements or one each; empty for none.
        description: one sentence.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    names: tuple[str, ...] = ()
    unit: tuple[str, ...] = ("1",)
    frame: str = ""
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class ActionSpec:
    """What a policy's actions mean; a mismatch with the environment's is an error before the first step.

    Attributes:
        field: the action vector of one step: names, units, frame, and the per-step bounds as ``low`` and ``high``.
        hz: control rate [1/s]; 0 in an EnvSpec that offers several rates, until one is chosen.
        representation: what the numbers describe.
        reference: what a delta is relative to.
        rotation: encoding of the rotation part.
    """

    field: FieldSpec
    hz: float
    representation: Representation
    reference: Reference
    rotation: Rotation


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    """One value that an environment's outcome reports."""

    name: str
    kind: Literal["bool", "int", "float", "str"]
    description: str


@dataclass(frozen=True, kw_only=True)
class Observes:
    """What a policy asks to see; nothing else is rendered.

    Attributes:
        cameras: names of cameras; empty for a policy that looks at nothing.
        size: image height and width [px].
        history: offsets in control steps, 0 for now and negative for the past; more than one adds a time axis to the images.
        proprio: whether the proprioceptive state is wanted.
    """

    cameras: tuple[str, ...] = ()
    size: tuple[int, int] = (224, 224)
    history: tuple[int, ...] = (0,)
    proprio: bool = True


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Who brought a spec. Stamped by the loader; an author can't set it."""

    distribution: str
    version: str
    plugin: str


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What every spec has.

    Attributes:
        id: ``namespace/name-vN`` for code, ``namespace/name@N`` for data.
        summary: one line, shown in listings.
        entry_point: ``"module:attr"`` of the object behind the spec, imported when used.
        config_schema: JSON schema (draft 2020-12) of the settings; ``None`` for a thing without settings.
        citation: where the method was published, e.g. ``"arXiv:2511.06619"``.
        license: SPDX expression of the thing itself (weights, artwork), where it differs from the distribution's.
        extra: name of the pip extra that it needs, e.g. ``"grinningface[train]"``.
        doctor: ``"module:attr"`` of ``f() -> list[Finding]`` (gf_core.contracts): what this machine lacks, for `gf doctor`.
        provenance: distribution, version and plugin; stamped by the loader.
    """

    id: str
    summary: str
    entry_point: str
    config_schema: Mapping[str, Any] | None = None
    citation: str = ""
    license: str = ""
    extra: str = ""
    doctor: str = ""
    provenance: Provenance | None = None


@dataclass(frozen=True, kw_only=True)
class PolicySpec(Spec):
    """A policy. Its entry point is called as ``make(config, context) -> Policy`` (see gf_core.contracts).

    Attributes:
        privileged: sees the simulator's state; a control or an expert, never ranked.
        reads: which of the environment's privileged fields it can't do without.
        observes: what it asks to see.
        action: the actions that it emits; ``None`` for a policy that adapts to the environment's (``context.action``).
        interface: ``"module:attr"`` of ``f(config) -> PolicyInterface`` for a policy whose ``observes`` and ``action`` depend on
            its settings (a checkpoint directory); it must not load weights. Empty for none.
        max_batch: most slots that one ``act`` may hold; 0 for any. A policy whose bits depend on the batch size pads to this.
    """

    privileged: bool = False
    reads: tuple[str, ...] = ()
    observes: Observes = field(default_factory=Observes)
    action: ActionSpec | None = None
    interface: str = ""
    max_batch: int = 0


@dataclass(frozen=True, kw_only=True)
class PolicyInterface:
    """What ``PolicySpec.interface`` returns: a policy's needs, resolved for one configuration.

    Attributes:
        observes, action, max_batch: as in :class:`PolicySpec`.
        fingerprint: hash of what the settings point to, such as a checkpoint, so that a run doesn't go on with another one.
        packaged: whether what acts comes from a package; ``False`` for a server whose policy is a file of somebody's.
    """

    observes: Observes
    action: ActionSpec | None
    max_batch: int = 0
    fingerprint: str = ""
    packaged: bool = True


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(Spec):
    """A vision-language model that a policy can be built on."""


@dataclass(frozen=True, kw_only=True)
class HeadSpec(Spec):
    """An action head."""


@dataclass(frozen=True, kw_only=True)
class TechniqueSpec(Spec):
    """A transfer technique: what a training stage changes.

    Attributes:
        requires: ids of techniques that must be present too.
        conflicts: ids of techniques that it can't be combined with.
    """

    requires: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EnvSpec(Spec):
    """An environment. Its entry point is called as ``make(config, context) -> BatchEnv`` (see gf_core.contracts).

    Attributes:
        action: the actions that it takes; ``hz`` is 0 where ``control_hz`` offers a choice.
        control_hz: control rates that it offers [1/s]; per-step bounds in ``action`` hold at the first.
        controls: what is recorded and replayed: the commands that reach the actuators.
        cameras: names of the cameras.
        proprio: the proprioceptive state.
        privileged: simulator state that only privileged policies receive.
        metrics: what its outcomes report besides success, ending and steps.
        scene_schema: JSON schema (draft 2020-12) of an episode's ``scene``.
        scene_check: ``"module:attr"`` of ``f(scene) -> list[tuple[path, what]]`` for what the schema can't say; ``path`` is a
            tuple of keys and indices from the scene's root, ``what`` a sentence. Called with scenes that fit the schema; empty
            for none.
        replayable: whether driving the recorded controls gives the same states, bit for bit, on the same platform.
        real: whether it is a real robot; the leaderboard ranks those apart.
    """

    action: ActionSpec
    control_hz: tuple[float, ...]
    controls: FieldSpec
    cameras: tuple[str, ...]
    proprio: FieldSpec
    privileged: tuple[FieldSpec, ...] = ()
    metrics: tuple[MetricSpec, ...] = ()
    scene_schema: Mapping[str, Any] = field(default_factory=dict)
    scene_check: str = ""
    replayable: bool = False
    real: bool = False


@dataclass(frozen=True, kw_only=True)
class DeckSpec(Spec):
    """A deck of cards. Its entry point is called as ``make(config) -> Deck`` (see gf_core.contracts)."""

    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class SuiteSpec(Spec):
    """A frozen list of episodes. Its entry point names the JSON file: ``"package:path/inside/package.json"``.

    Attributes:
        sha256: hash of the document's canonical JSON; a file that differs is refused.
        ranked: whether results on it may enter a ranking.
        challenge: ``"module:attr"`` of ``f(seed, layers) -> document``: new episodes of its kind, each cluster of its main split
            ``layers`` times, for policies that are run again; empty for none.
    """

    sha256: str = ""
    ranked: bool = False
    challenge: str = ""


def to_json(value: Any) -> Any:
    """A spec, or anything made of dataclasses, mappings and sequences, as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(v) for v in value]
    return value
