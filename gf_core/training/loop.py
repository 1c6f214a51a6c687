"""The steps of a stage: losses, gradients, rates, rows of the metrics, saved states, evaluations on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gf_core._interrupts import uninterrupted
from gf_core.canonical import derive_seed
from gf_core.errors import DivergedError, GrinningFaceError
from gf_core.training import distributed
from gf_core.training.checkpoint import save_stage, write_checkpoint
from gf_core.training.contracts import Batch
from gf_core.training.recipe import Stage
from gf_core.training.running import Running
from gf_core.training.schedule import set_rates, trainable


class Loop:
    """The steps of a stage."""

    def __init__(self, running: Running, stage: Stage, model: nn.Module, optimizer: torch.optim.Optimizer, before: int) -> None:
        self._running, self._stage, self._model, self._optimizer, self._before = running, stage, model, optimizer, before
        self._saved = 0

    def run(self, batches: Iterator[Batch], start: int) -> None:
        """Take steps ``start + 1`` to the stage's last; and an evaluation that was broken off after step ``start``."""
        step = self._saved = start
        try:
            if self._evaluates(start) and not self._running.folder.is_evaluated(self._before + start):
                self._evaluate(start)
            while step < self._stage.steps:
                with uninterrupted():
                    row = self._step(batches, step)
                    step += 1
                    self._after(step, row)
                if self._evaluates(step):
                    self._evaluate(step)
        except KeyboardInterrupt:
            self._save(step)
            raise

    def _step(self, batches: Iterator[Batch], step: int) -> dict[str, Any]:
        began, waited, stage = time.perf_counter(), 0.0, self._stage
        set_rates(self._optimizer, stage, step)
        self._optimizer.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        for micro in range(stage.accumulate):
            asked = time.perf_counter()
            batch = next(batches).to(self._running.device)
            waited += time.perf_counter() - asked
            place = self._running.place
            torch.manual_seed(derive_seed(self._running.job.recipe.seed, "noise", stage.name, step, micro, place.rank))
            losses = self._losses(batch)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / stage.accumulate
            _check_finite(sums, stage, step)
            total = torch.stack([value.float() for value in losses.values()]).sum() / stage.accumulate
            torch.autograd.backward(total)
        norm = self._clip()
        _check_finite({**sums, "gradient": norm}, stage, step)
        if step == 0:
            self._check_reached()
        self._optimizer.step()
        return {"losses": sums, "norm": norm, "seconds": time.perf_counter() - began, "wait": waited}

    def _check_reached(self) -> None:
        """Whether the losses reach every role that is said to train."""
        reached: dict[str, bool] = {}
        for name, value in trainable(self._running.vla).items():
            role = self._running.vla.role_of(name)
            reached[role] = reached.get(role, False) or value.grad is not None
        if unreached := sorted(role for role, found in reached.items() if not found):
            raise GrinningFaceError(
                f"role {unreached[0]!r} is to train, but no loss reaches it",
                where=f"stage {self._stage.name!r}",
                hint="a head with detach trains nothing but itself: leave detach off, or freeze the role",
            )

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        half = self._stage.document["precision"] == "bf16"
        with torch.autocast(self._running.device.type, torch.bfloat16, enabled=half):
            losses: dict[str, Tensor] = self._model(batch)
        if not losses:
            raise GrinningFaceError(
                "no loss comes of a batch",
                where=f"stage {self._stage.name!r}",
                hint="its data has neither actions for a head nor answers for the language model",
            )
        return losses

    def _clip(self) -> float:
        limit = float(self._stage.document["optimizer"]["clip"]) or math.inf
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, limit)
        return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)

    def _after(self, step: int, row: dict[str, Any]) -> None:
        job, stage, running = self._running.job, self._stage, self._running
        for technique in running.vla.techniques:
            technique.after_step(running.vla, step)
        if step % job.log_every == 0 or step == stage.steps:
            self._log(step, row)
        # An evaluation takes long: whoever is stopped or killed in it goes on from here and evaluates again.
        if self._evaluates(step) or (step % job.save_every == 0 and step < stage.steps):
            self._save(step)

    def _log(self, step: int, row: Mapping[str, Any]) -> None:
        running = self._running
        losses = distributed.mean(row["losses"], running.place)
        rates = {str(group["role"]): float(group["lr"]) for group in self._optimizer.param_groups}
        whole = {"stage": self._stage.name, "step": step, "done": self._before + step, **row, "losses": losses, "rates": rates}
        if running.chief:
            running.folder.log(whole)
            running.watcher.step(self._stage, step, whole)
            running.job.host.observe("gf_metrics_logged", job=running.identity, step=self._before + step, metrics=losses)

    def _save(self, step: int) -> None:
        running, parallel = self._running, self._running.job.parallel
        if step == self._saved:
            return
        parameters = distributed.gather_parameters(running.vla, running.place, parallel)
        state = distributed.gather_optimizer(running.vla, self._optimizer, running.place, parallel)
        if running.chief:
            running.folder.save_state(self._stage.number, step, self._before + step, parameters, state)
        self._saved = step

    def _evaluates(self, step: int) -> bool:
        """Whether an evaluation follows step ``step``."""
        job, stage = self._running.job, self._stage
        every = job.recipe.document["evaluation"]["every"]
        last = stage.number == len(job.recipe.stages) - 1
        return job.evaluate is not None and last and bool(every) and step % every == 0 and 0 < step < stage.steps

    def _evaluate(self, step: int) -> None:
        """Play the evaluation's episodes with a snapshot that another process loads: finishing a stage changes the policy."""
        running, stage = self._running, self._stage
        with uninterrupted():
            values = distributed.gather_parameters(running.vla, running.place, running.job.parallel)
            if not running.chief or running.job.evaluate is None:
                return
            folder = self._snapshot(step, values)
        rates = running.job.evaluate(folder, step)
        running.folder.log({"stage": stage.name, "step": step, "done": self._before + step, "evaluation": dict(rates)})
        running.watcher.note(", ".join(f"{name} {100 * value:.1f} %" for name, value in rates.items()))

    def _snapshot(self, step: int, values: Mapping[str, Tensor]) -> Path:
        """A checkpoint of the running stage."""
        running, stage = self._running, self._stage
        folder = running.job.out / "snapshots" / f"{stage.name}-{step}"
        file = folder / "links" / "current" / f"{stage.number:02d}-{stage.name}.safetensors"
        entry = {"name": stage.name, "steps": step, "file": file.name, **save_stage(running.vla, file, values)}
        link = running.links[-1]
        current = replace(link, stages=[*link.stages, entry], files=[*link.files, file])
        write_checkpoint(folder, running.vla, [*running.links[:-1], current], running.manifests, finished=False)
        return folder


def _check_finite(losses: Mapping[str, float], stage: Stage, step: int) -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            raise DivergedError(
                f"{'the gradient' if name == 'gradient' else f'loss {name!r}'} is {value} at step {step + 1}",
                where=f"stage {stage.name!r}",
                hint="lower its learning rates, or look at the data; the last saved state is still good",
            )
