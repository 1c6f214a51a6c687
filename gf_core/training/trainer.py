"""Trains a policy by a recipe: stage after stage, resumable at any step with the same bits on one number of processes.

Data and noise derive from (seed, stage, step, process), parameters and optimiser are kept whole, and a finished stage is replayed
from its file the same way as in a checkpoint; so stopping and going on equals never having stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from gf_core._interrupts import uninterrupted
from gf_core.canonical import content_hash, derive_seed
from gf_core.errors import GrinningFaceError
from gf_core.specs import to_json
from gf_core.training import distributed
from gf_core.training.checkpoint import (
    Link,
    Loaded,
    begin,
    follow,
    load_checkpoint,
    load_stage,
    read_checkpoint,
    save_stage,
    write_checkpoint,
)
from gf_core.training.compose import check_sight, common_conventions, make_techniques
from gf_core.training.contracts import ActionHead, Batch
from gf_core.training.distributed import Parallel
from gf_core.training.job import JobDirectory
from gf_core.training.loading import Batches, Place, default_workers, stream
from gf_core.training.mixture import Mixture
from gf_core.training.model import VLA
from gf_core.training.recipe import Recipe, Stage
from gf_core.training.samples import Source, Wanted
from gf_core.training.schedule import count_by_role, make_optimizer, set_rates, trainable

if TYPE_CHECKING:
    from gf_core.contracts import Floats
    from gf_core.plugins import PluginHost

FIT_CHUNKS = 20_000
"""Most chunks that a head's fit looks at, evenly spread over the data."""


class Watcher(Protocol):
    """A display of a training. It can't change a result."""

    def stage(self, stage: Stage, done: int, trains: Mapping[str, int]) -> None:
        """A stage begins or goes on after ``done`` steps; ``trains`` is role to how many numbers train."""
        ...

    def step(self, stage: Stage, step: int, row: Mapping[str, Any]) -> None:
        """Step ``step`` (from 1) is done; ``row`` is what the metrics say of it."""
        ...

    def note(self, text: str) -> None:
        """Something worth a line."""
        ...

    def finished(self) -> None:
        """The display ends, also after an error."""
        ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is trained, on what, where.

    Attributes:
        recipe: the recipe.
        host: the plugins.
        sources: the sources that the recipe names.
        out: the job's directory.
        workers: processes that prepare data; ``None`` for :func:`~gf_core.training.loading.default_workers`.
        save_every: steps between saved states.
        log_every: steps between rows of the metrics.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``.
        parallel: how several processes share the work.
        evaluate: is called with a snapshot's directory and the step, and returns rates by name; ``None`` for no evaluation.
    """

    recipe: Recipe
    host: PluginHost
    sources: Mapping[str, Source]
    out: Path
    workers: int | None = None
    save_every: int = 500
    log_every: int = 1
    device: str = "auto"
    parallel: Parallel = "ddp"
    evaluate: Callable[[Path, int], Mapping[str, float]] | None = None


@dataclass
class _Running:
    """What the stages of a job share."""

    job: Job
    place: Place
    device: torch.device
    folder: JobDirectory
    watcher: Watcher
    identity: Mapping[str, Any]
    vla: VLA
    links: list[Link]
    manifests: list[Any] = field(default_factory=list)

    @property
    def chief(self) -> bool:
        return self.place.rank == 0


def train(job: Job, watcher: Watcher) -> Path:
    """Run a job to its end, from where it stands; the checkpoint's directory.

    Raises:
        GrinningFaceError: something doesn't fit, a loss isn't finite, a worker was killed, or a file can't be written.
        KeyboardInterrupt: after the running step; its state is kept.
    """
    device = distributed.pick_device(job.device)
    try:
        with distributed.group(device) as place:
            return _train(job, watcher, place, device)
    finally:
        watcher.finished()


def identity_of(job: Job, world: int) -> dict[str, Any]:
    """What a job's directory says of it: the same job goes on there, another one is refused."""
    return {
        "recipe": job.recipe.document,
        "recipe_sha256": job.recipe.sha256,
        "sources": [to_json(source.manifest()) for source in job.sources.values()],
        "processes": world,
    }


def _train(job: Job, watcher: Watcher, place: Place, device: torch.device) -> Path:
    identity = identity_of(job, place.world)
    folder = JobDirectory(job.out, identity, chief=place.rank == 0)
    distributed.barrier(place)
    try:
        running = _begin(job, watcher, place, device, folder, identity)
        finished = folder.progress()["stages"]
        if running.chief:
            job.host.observe("gf_training_started", job=identity)
        before = 0
        for stage in job.recipe.stages:
            if stage.number < len(finished):
                _replay(running, stage, finished[stage.number])
            else:
                _run_stage(running, stage, before)
            before += stage.steps
        checkpoint = job.out / "checkpoint"
        if running.chief:
            write_checkpoint(checkpoint, running.vla, running.links, running.manifests, finished=True)
            folder.drop_states()
            job.host.observe("gf_training_finished", job=identity)
        distributed.barrier(place)
        return checkpoint
    finally:
        folder.close()


def _begin(
    job: Job, watcher: Watcher, place: Place, device: torch.device, folder: JobDirectory, identity: Mapping[str, Any]
) -> _Running:
    conventions = common_conventions(job.sources, job.recipe.sources)
    check_sight(job.recipe, conventions)
    parent, reference = parent_of(job), job.recipe.document["parent"]
    links: list[Link] = list(parent.links) if parent else []
    manifests: list[Any] = list(parent.sources) if parent else []
    link = Link(job.recipe, conventions, "", {}, {})
    vla = begin(link, job.host, parent.vla if parent else None)
    link.fingerprint = vla.backbone.fingerprint
    link.normalization = {
        "actions": vla.action_normalizer.to_json(),
        "proprio": vla.proprio_normalizer.to_json() if vla.proprio_normalizer else None,
    }
    progress = folder.progress()
    base = {"backbone": link.fingerprint, "parent": content_hash(read_checkpoint(Path(reference))) if reference else None}
    if progress.setdefault("base", base) != base:
        what = "backbone" if progress["base"]["backbone"] != link.fingerprint else "parent"
        raise GrinningFaceError(
            f"the {what} isn't the one that this job began with", where=str(job.out), hint="give another --out"
        )
    if progress["heads"] is None:
        _fit(vla, job, skip=set(parent.vla.heads) if parent else set())
        progress["heads"] = {name: vla.head(name).state() for name in vla.heads}
        if place.rank == 0:
            folder.write_json("progress.json", progress)
    else:
        for name, state in progress["heads"].items():
            vla.head(name).load_state(state)
    link.heads = progress["heads"]
    manifests += [source.manifest() for source in job.sources.values()]
    vla.to(device)
    distributed.barrier(place)
    return _Running(job, place, device, folder, watcher, identity, vla, [*links, link], manifests)


def _fit(vla: VLA, job: Job, skip: set[str]) -> None:
    """Let the heads that want to look at the chunks of the last robot source before the first step.

    A head that came from the parent keeps what it found there: the tokens that it was trained with mean that.
    """
    source = [job.sources[name] for name in job.recipe.sources if job.sources[name].conventions is not None][-1]
    for name in sorted(vla.heads.keys() - skip):
        head = vla.head(name)
        if type(head).fit is not ActionHead.fit:
            head.fit(_chunks(source, vla, raw=head.raw))


def _chunks(source: Source, vla: VLA, *, raw: bool) -> Iterator[Floats]:
    stride = max(1, math.ceil(len(source) / FIT_CHUNKS))
    for index in range(0, len(source), stride):
        sample = source.sample(index, Wanted(offsets=(), horizon=vla.horizon))
        if sample.actions is not None:
            yield sample.actions if raw else vla.action_normalizer.normalize(sample.actions)


def _replay(running: _Running, stage: Stage, entry: Mapping[str, Any]) -> None:
    """A finished stage, from its file."""
    vla, file = running.vla, running.folder.stage_file(stage.number, stage.name)
    techniques = make_techniques(stage, running.job.host)
    vla.begin_stage(stage.heads, techniques)
    vla.to(running.device)
    load_stage(vla, file)
    vla.end_stage()
    _remember(running, entry, file)


def _remember(running: _Running, entry: Mapping[str, Any], file: Path) -> None:
    running.links[-1].stages.append(dict(entry))
    running.links[-1].files.append(file)


def _run_stage(running: _Running, stage: Stage, before: int) -> None:
    """Train a stage from where it stands, and finish it."""
    job, vla, place, folder = running.job, running.vla, running.place, running.folder
    techniques = make_techniques(stage, job.host)
    torch.manual_seed(derive_seed(job.recipe.seed, "setup", stage.name))  # of what techniques add: adapters, models
    vla.begin_stage(stage.heads, techniques)
    vla.to(running.device)
    sources, mixture = stage_data(stage, vla, job.sources)
    if stage.document["gradient_checkpointing"]:
        _checkpoint_gradients(vla)
    kept = folder.state(stage.number)
    start = 0
    if kept:
        start, parameters, state = kept
        _restore(vla, parameters)
    trains = count_by_role(vla)
    model = distributed.wrap(vla, place, job.parallel)
    optimizer = make_optimizer(vla, stage)
    if kept:
        distributed.restore_optimizer(vla, optimizer, state, place, job.parallel)
    if running.chief:
        folder.cut_metrics(before + start)
        running.watcher.stage(stage, start, trains)
    seed = derive_seed(job.recipe.seed, "data", stage.name)
    batches = Batches(vla, stage, mixture, sources, seed=seed, place=place)
    workers = default_workers() if job.workers is None else job.workers
    vla.train()
    _Loop(running, stage, model, optimizer, before).run(stream(batches, start * stage.accumulate, workers), start)
    vla.eval()
    values = distributed.gather_parameters(vla, place, job.parallel)
    file = folder.stage_file(stage.number, stage.name)
    if running.chief:
        entry = {"name": stage.name, "steps": stage.steps, "file": file.name, **save_stage(vla, file, values)}
        progress = folder.progress()
        folder.write_json("progress.json", {**progress, "stages": [*progress["stages"], entry]})
        folder.drop_states()
    distributed.barrier(place)
    _remember(running, folder.progress()["stages"][stage.number], file)
    if place.world > 1 and job.parallel == "fsdp":
        _rebuild(running)
    else:
        vla.end_stage()


def _rebuild(running: _Running) -> None:
    """A sharded policy can't merge: make it anew from the finished stages' files."""
    job, link = running.job, running.links[-1]
    parent = parent_of(job)
    before = parent.vla if parent else None
    running.vla = follow(link, job.host, before, where=str(job.out)).to(running.device)


def parent_of(job: Job) -> Loaded | None:
    """The checkpoint that the recipe starts from, if it names one."""
    reference = job.recipe.document["parent"]
    return load_checkpoint(Path(reference), job.host) if reference else None


def stage_data(stage: Stage, vla: VLA, sources: Mapping[str, Source]) -> tuple[Mapping[str, Source], Mixture]:
    """The data of a stage that has begun, after its techniques had their say."""
    mixture = stage.mixture
    for technique in vla.techniques:
        sources, mixture = technique.sources(sources), technique.mixture(mixture)
    for share in mixture.shares:
        if share.source not in sources:
            raise GrinningFaceError(
                f"a technique adds source {share.source!r}, which isn't bound", hint=f"add --data {share.source}=PATH"
            )
    return sources, mixture


def _restore(vla: VLA, parameters: Mapping[str, Tensor]) -> None:
    wanted = trainable(vla)
    if wanted.keys() != parameters.keys():
        raise GrinningFaceError(
            "the saved state holds other parameters than the stage trains",
            hint="the code has changed; start over with another --out",
        )
    with torch.no_grad():
        for name, value in parameters.items():
            wanted[name].copy_(value)


def _checkpoint_gradients(vla: VLA) -> None:
    enable = getattr(vla.model, "gradient_checkpointing_enable", None)
    if enable is None:
        raise GrinningFaceError("the backbone can't recompute activations", hint="leave gradient_checkpointing off")
    enable(gradient_checkpointing_kwargs={"use_reentrant": False})


class _Loop:
    """The steps of a stage."""

    def __init__(self, running: _Running, stage: Stage, model: nn.Module, optimizer: torch.optim.Optimizer, before: int) -> None:
        self._running, self._stage, self._model, self._optimizer, self._before = running, stage, model, optimizer, before
        self._saved = -1

    def run(self, batches: Iterator[Batch], start: int) -> None:
        """Take steps ``start + 1`` to the stage's last."""
        step = start
        try:
            while step < self._stage.steps:
                with uninterrupted():
                    row = self._step(batches, step)
                    step += 1
                    self._after(step, row)
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
        every = job.recipe.document["evaluation"]["every"]
        last = stage.number == len(job.recipe.stages) - 1
        if job.evaluate and last and every and step % every == 0 and step < stage.steps:
            self._evaluate(step)  # before the state is kept: whoever is stopped in here evaluates again
        if step % job.save_every == 0 and step < stage.steps:
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

    def _evaluate(self, step: int) -> None:
        """Play the evaluation's episodes with a snapshot that another process loads: finishing a stage changes the policy."""
        running, stage = self._running, self._stage
        values = distributed.gather_parameters(running.vla, running.place, running.job.parallel)
        if not running.chief or running.job.evaluate is None:
            return
        folder = running.job.out / "snapshots" / f"{stage.name}-{step}"
        file = folder / "links" / "current" / f"{stage.number:02d}-{stage.name}.safetensors"
        entry = {"name": stage.name, "steps": step, "file": file.name, **save_stage(running.vla, file, values)}
        link = running.links[-1]
        current = replace(link, stages=[*link.stages, entry], files=[*link.files, file])
        write_checkpoint(folder, running.vla, [*running.links[:-1], current], running.manifests, finished=False)
        rates = running.job.evaluate(folder, step)
        running.folder.log({"stage": stage.name, "step": step, "done": self._before + step, "evaluation": dict(rates)})
        running.watcher.note(", ".join(f"{name} {100 * value:.1f} %" for name, value in rates.items()))


def _check_finite(losses: Mapping[str, float], stage: Stage, step: int) -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            raise GrinningFaceError(
                f"{'the gradient' if name == 'gradient' else f'loss {name!r}'} is {value} at step {step + 1}",
                where=f"stage {stage.name!r}",
                hint="lower its learning rates, or look at the data; the last saved state is still good",
            )
