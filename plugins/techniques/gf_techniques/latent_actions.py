"""Latent actions: learn from frame pairs what motion is, have the VLM predict it, then train a new action head.

Three stages, one phase each (LAPA, arXiv 2410.11758; UniVLA, arXiv 2505.06111; Moto, arXiv 2412.04445):

- ``idm``: an inverse-dynamics model with a codebook (:mod:`gf_techniques.idm`) trains alone, in role ``"idm"``.
- ``predict``: the VLM predicts the codes of (now, now + horizon) through a head that takes codes, e.g. ``gf/latent-v1``. Actions
  aren't needed, so robot videos without actions do as well. Which of the VLM's parameters train is another technique's business.
- ``act``: that head is left behind; another one trains on actions. The inverse-dynamics model is dropped.

Codes are computed when a sample is read, by a copy of the frozen model on the CPU, in whatever process or thread reads it;
each is kept, so every pair is labelled once per process. The process that reads a sample must be the one that prepares it.
Nothing has to be labelled beforehand, and nothing of it enters a checkpoint.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from gf_core.contracts import Images
from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Batch, Context, Role, Technique, as_tensor
from gf_core.training.model import VLA
from gf_core.training.samples import Conventions, Manifest, Sample, Source, Wanted
from gf_techniques.checks import acting_head, require_trained_language
from gf_techniques.idm import IdmConfig, InverseDynamics

ROLE: Role = "idm"
ID = "gf/latent-actions-v1"


@runtime_checkable
class TakesCodes(Protocol):
    """An action head whose tokens are computed beforehand."""

    def set_codes(self, table: Mapping[str, Sequence[int]]) -> None:
        """Look a sample's codes up in this table, by its key; the table grows while samples are read."""
        ...


class LatentActions(Technique):
    """One phase of latent-action training; see the module's docstring.

    Args:
        config: settings, as in the spec.
    """

    order = 20

    def __init__(self, config: Mapping[str, Any]) -> None:
        settings = dict(config)
        self.phase: Literal["idm", "predict", "act"] = settings.pop("phase")
        self._restart_below: float = settings.pop("restart_below")
        self.config = IdmConfig(**settings)
        if self.config.image_size % self.config.patch or self.config.width % 4:
            raise GrinningFaceError("patch must divide image_size, and 4 must divide width", where=ID)
        self.offsets = () if self.phase == "act" else (self.config.horizon,)
        self.updates = (ROLE,) if self.phase == "idm" else ()
        self.labeller: Labeller | None = None
        self._model: InverseDynamics | None = None
        self._perplexity = 0.0

    def sources(self, sources: Mapping[str, Source]) -> Mapping[str, Source]:
        """Phase ``predict``: sources that label what they read."""
        if self.phase != "predict":
            return sources
        return {name: LabelledSource(source, self) for name, source in sources.items()}

    def setup(self, vla: VLA) -> None:
        """Add, freeze or drop the inverse-dynamics model.

        Raises:
            GrinningFaceError: the stage isn't what the phase needs.
        """
        {"idm": self._setup_idm, "predict": self._setup_predict, "act": self._setup_act}[self.phase](vla)

    def losses(self, vla: VLA, context: Context, batch: Batch) -> dict[str, Tensor]:
        """Phase ``idm``: the model's loss on the batch's frame pairs."""
        if self.phase != "idm" or not bool(batch.robot.any()):
            return {}
        model = inverse_dynamics(vla)
        pair = [(model.config.camera, offset) for offset in (0, model.config.horizon)]
        if missing := [key for key in pair if key not in batch.frames]:
            camera, offset = missing[0]
            raise GrinningFaceError(f"the robot data has no frames of camera {camera!r} at offset {offset}", where=ID)
        first, later = (batch.frames[key][batch.robot] for key in pair)
        return {f"{ROLE}/reconstruction": model.loss(first, later)}

    def after_step(self, vla: VLA, step: int) -> None:
        """Phase ``idm``: give codebook entries in little use another place."""
        if self._model:
            self._model.restart(self._restart_below)
            self._perplexity = self._model.perplexity()

    def report(self) -> dict[str, Any]:
        """Phase ``idm``: how many of the codebook's entries are in effective use; 1 is a collapse."""
        if not self._model:
            return {}
        # Kept from the last step, since one process alone can't ask a sharded model.
        return {"perplexity": self._perplexity or self._model.perplexity()}

    def _setup_idm(self, vla: VLA) -> None:
        if vla.stage_heads:
            raise GrinningFaceError("phase idm trains no action head", where=ID, hint="leave the stage's heads empty")
        if ROLE not in vla.extras:
            vla.extras[ROLE] = InverseDynamics(self._resolved(vla))
        self._model = self._same_model(vla)
        self._model.requires_grad_(True)
        others = {vla.role_of(name) for name, parameter in vla.named_parameters() if parameter.requires_grad} - {ROLE}
        if others:
            what = f"phase idm leaves the VLM alone, but {', '.join(sorted(others))} would train"
            raise GrinningFaceError(what, where=ID, hint="take the techniques that train them out of the stage")

    def _setup_predict(self, vla: VLA) -> None:
        model = self._same_model(vla)
        heads = [head for name in vla.stage_heads if isinstance(head := vla.head(name.name), TakesCodes)]
        if len(heads) != 1:
            hint = "give the stage a head such as gf/latent-v1"
            raise GrinningFaceError(f"phase predict needs one head that takes codes, not {len(heads)}", where=ID, hint=hint)
        codes, codebook = heads[0].length, heads[0].tokens
        if (codes, codebook) != (model.config.codes, model.config.codebook):
            raise GrinningFaceError(
                f"the head is for {codes} codes of {codebook} entries; the inverse-dynamics model gives "
                f"{model.config.codes} of {model.config.codebook}",
                where=ID,
            )
        require_trained_language(vla, ID, "predict codes")
        self.labeller = Labeller(model, vla.conventions)
        heads[0].set_codes(self.labeller.table)

    def _setup_act(self, vla: VLA) -> None:
        if isinstance(acting_head(vla, ID), TakesCodes):
            raise GrinningFaceError("a head that takes codes can't act", where=ID, hint="let another head act")
        if ROLE in vla.extras:
            del vla.extras[ROLE]

    def _resolved(self, vla: VLA) -> IdmConfig:
        return replace(self.config, camera=self.config.camera or vla.cameras[0])

    def _same_model(self, vla: VLA) -> InverseDynamics:
        """The policy's model, which must be what the settings say."""
        model, mine = inverse_dynamics(vla), asdict(self._resolved(vla))
        for name, value in asdict(model.config).items():
            if value != mine[name]:
                what = f"{name} is {mine[name]!r}; the inverse-dynamics model that an earlier stage made has {value!r}"
                raise GrinningFaceError(what, where=ID, hint="give both stages the same settings")
        return model


class Labeller:
    """Codes of samples, by a copy of the inverse-dynamics model on the CPU.

    Args:
        model: the trained model.
        conventions: of the policy's robot data.

    Attributes:
        table: sample keys to codes, of every sample labelled so far.
    """

    def __init__(self, model: InverseDynamics, conventions: Conventions) -> None:
        self.model = copy.deepcopy(model).cpu().eval().requires_grad_(False)
        self.width = conventions.action.field.shape[0]
        self.table: dict[str, tuple[int, ...]] = {}

    def label(self, sample: Sample, wanted: Wanted) -> Sample:
        """The sample, its codes in :attr:`table`. One without actions gets zeros that are masked out: no loss sees them."""
        if sample.key not in self.table:
            first, later = (as_tensor(self._frame(sample, offset))[None] for offset in (0, self.model.config.horizon))
            self.table[sample.key] = tuple(self.model.codes(first, later)[0].tolist())
        if sample.actions is not None:
            return sample
        return replace(
            sample,
            actions=np.zeros((wanted.horizon, self.width), np.float32),
            action_mask=np.zeros(wanted.horizon, np.bool_),
        )

    def _frame(self, sample: Sample, offset: int) -> Images:
        camera = self.model.config.camera
        for frame in sample.frames:
            if (frame.camera, frame.offset) == (camera, offset):
                return frame.image
        raise GrinningFaceError(
            f"sample {sample.key!r} has no frame of camera {camera!r} at offset {offset}",
            where=ID,
            hint="choose another camera, or another source",
        )


class LabelledSource:
    """A source whose robot samples' codes are in the table by the time that they are returned.

    Args:
        source: the source.
        technique: whose labeller is used; it has one after setup.
    """

    def __init__(self, source: Source, technique: LatentActions) -> None:
        self.name: str = source.name
        self.conventions: Conventions | None = source.conventions
        self._source, self._technique = source, technique

    def __len__(self) -> int:
        return len(self._source)

    def sample(self, index: int, wanted: Wanted) -> Sample:
        """See Source."""
        sample = self._source.sample(index, wanted)
        if not sample.is_robot:
            return sample
        if self._technique.labeller is None:
            raise RuntimeError(f"{ID}: a sample was read before the stage was set up")
        return self._technique.labeller.label(sample, wanted)

    def manifest(self) -> Manifest:
        """See Source."""
        return self._source.manifest()


def inverse_dynamics(vla: VLA) -> InverseDynamics:
    """The policy's inverse-dynamics model.

    Raises:
        GrinningFaceError: it has none.
    """
    model = dict(vla.extras.items()).get(ROLE)
    if not isinstance(model, InverseDynamics):
        hint = f"put a stage with {ID} and phase idm in front"
        raise GrinningFaceError("there is no inverse-dynamics model", where=ID, hint=hint)
    return model


def make(config: Mapping[str, Any]) -> LatentActions:
    """See TechniqueSpec."""
    return LatentActions(config)
