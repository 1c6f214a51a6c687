"""Trains a policy by a recipe: stage after stage, resumable at any step with the same bits on one number of processes.

Data and noise derive from (seed, stage, step, process), parameters and optimiser are kept whole, and a finished stage is replayed
from its file the same way as in a checkpoint; so stopping and going on equals never having stopped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gf_core.canonical import content_hash, derive_seed
from gf_core.errors import GrinningFaceError
from gf_core.specs import to_json
from gf_core.training import distributed
from gf_core.training.checkpoint import (
    Link,
    Loaded,
    begin,
    check_file,
    follow,
    load_checkpoint,
    load_stage,
    read_checkpoint,
    save_stage,
    write_checkpoint,
)
from gf_core.training.compose import check_sight, common_conventions, make_techniques
from gf_core.training.contracts import ActionHead
from gf_core.training.job import JobDirectory
from gf_core.training.loading import Batches, Place, default_workers, stream
from gf_core.training.loop import Loop
from gf_core.training.mixture import Mixture
from gf_core.training.model import VLA
from gf_core.training.recipe import Stage
from gf_core.training.running import Job, Running, Watcher
from gf_core.training.samples import Source, Wanted, uninterrupted
from gf_core.training.schedule import count_by_role, make_optimizer, trainable

if TYPE_CHECKING:
    from gf_core.contracts import Floats

FIT_CHUNKS = 20_000
"""Most chunks that a head's fit looks at, evenly spread over the data."""


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


def check_parallel(job: Job, world: int) -> None:
    """Whether the job's optimisers can work on what its processes hold.

    Raises:
        GrinningFaceError: Muon is asked for whole matrices, which FSDP shards.
    """
    for stage in job.recipe.stages:
        if world > 1 and job.parallel == "fsdp" and stage.document["optimizer"]["muon"]:
            raise GrinningFaceError(
                "Muon's steps take whole matrices, which FSDP shards",
                where=f"stage {stage.name!r}, optimizer.muon",
                hint="use --parallel ddp, or leave it empty",
            )


def _train(job: Job, watcher: Watcher, place: Place, device: torch.device) -> Path:
    check_parallel(job, place.world)
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
) -> Running:
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
    return Running(job, place, device, folder, watcher, identity, vla, [*links, link], manifests)


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
        if sample.actions is not None and sample.action_mask is not None:
            actions, _ = uninterrupted(sample.actions, sample.action_mask)
            yield actions if raw else vla.action_normalizer.normalize(actions)


def _replay(running: Running, stage: Stage, entry: Mapping[str, Any]) -> None:
    """A finished stage, from its file.

    Raises:
        GrinningFaceError: the file isn't what the stage left.
    """
    vla, file = running.vla, running.folder.stage_file(stage.number, stage.name)
    check_file(file, entry["sha256"], hint="copy it back from a backup, or train anew with another --out")
    techniques = make_techniques(stage, running.job.host)
    vla.begin_stage(stage.heads, techniques)
    vla.to(running.device)
    load_stage(vla, file)
    vla.end_stage()
    _remember(running, entry, file)


def _remember(running: Running, entry: Mapping[str, Any], file: Path) -> None:
    running.links[-1].stages.append(dict(entry))
    running.links[-1].files.append(file)


def _run_stage(running: Running, stage: Stage, before: int) -> None:
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
    Loop(running, stage, model, optimizer, before).run(stream(batches, start * stage.accumulate, workers), start)
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


def _rebuild(running: Running) -> None:
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
