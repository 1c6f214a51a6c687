"""Checkpoint directories: only what was trained, and the recipe that says how to put it back.

A checkpoint holds ``checkpoint.json`` and one safetensors file for each stage, with the parameters that trained in it, before its
techniques finished. Loading builds the policy from the recipe and replays: setup, trained parameters, finish, stage by stage,
link by
link. So adapters are merged the same way every time, onto a base whose fingerprint is checked, and the result must give the
logits
that were recorded.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gf_core._files import flush_directory, write_whole
from gf_core.canonical import content_hash, derive_seed
from gf_core.errors import GrinningFaceError, MismatchError
from gf_core.schemas import load_document
from gf_core.specs import to_json
from gf_core.training.compose import make_policy, make_techniques
from gf_core.training.contracts import Backbone
from gf_core.training.conventions import conventions_from_json, conventions_to_json
from gf_core.training.job import save_tensors, writing
from gf_core.training.model import VLA
from gf_core.training.normalizer import Normalizer
from gf_core.training.recipe import Recipe, complete
from gf_core.training.samples import Conventions, Frame, Manifest, Sample
from gf_core.training.schedule import count_by_role, trainable

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

CHECKPOINT = "checkpoint.json"
PROBE_LOGITS = 64
TOLERANCE = 1e-3
"""Recorded logits and actions may differ by this, absolutely and relative to the largest: other machines round otherwise."""
PACKAGES = ("grinningface", "torch", "transformers", "peft", "numpy")


@dataclass
class Link:
    """One job's part of a checkpoint.

    Attributes:
        recipe: its completed recipe.
        conventions: of the robot data that it was trained on.
        fingerprint: of the bare backbone.
        normalization: normalisers as JSON.
        heads: head to its state.
        stages: entries of the document's ``stages``.
        files: the same stages' files.
    """

    recipe: Recipe
    conventions: Conventions
    fingerprint: str
    normalization: dict[str, Any]
    heads: dict[str, Any]
    stages: list[dict[str, Any]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Loaded:
    """A checkpoint that was loaded.

    Attributes:
        vla: the policy, ready to act, in eval mode.
        links: the jobs that made it.
        conventions: of the robot data.
        sources: manifests of the data.
        finished: whether every stage ran to its end.
    """

    vla: VLA
    links: tuple[Link, ...]
    conventions: Conventions
    sources: tuple[dict[str, Any], ...]
    finished: bool


def save_stage(vla: VLA, path: Path, values: Mapping[str, Tensor] | None = None) -> dict[str, Any]:
    """Write the parameters that train now, and describe them.

    Args:
        vla: the policy, in the stage.
        path: of the safetensors file; written atomically, and on disk afterwards.
        values: the parameters, where they had to be gathered.

    Returns:
        ``sha256``, ``trainable``, ``parameters_sha256`` and ``techniques`` of the stage's entry.
    """
    found = values or trainable(vla)
    partial = path.with_suffix(".partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(found, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        partial.replace(path)
        flush_directory(path.parent)
    return {
        "sha256": digest,
        "trainable": count_by_role(vla),
        "parameters_sha256": content_hash(sorted(found)),
        "techniques": {type(technique).__module__.rpartition(".")[2]: technique.report() for technique in vla.techniques},
    }


def load_stage(vla: VLA, path: Path) -> None:
    """Put a stage's parameters back: exactly those that train now.

    Raises:
        GrinningFaceError: the file is missing or damaged, or holds other parameters.
    """
    try:
        values = load_file(path)
    except (OSError, SafetensorError) as error:
        raise GrinningFaceError(
            f"can't be read ({error})", where=str(path), hint="the checkpoint is damaged; copy it again"
        ) from error
    wanted = trainable(vla)
    if values.keys() != wanted.keys():
        missing, extra = sorted(wanted.keys() - values.keys()), sorted(values.keys() - wanted.keys())
        raise MismatchError(
            f"holds other parameters than the recipe trains: {len(missing)} missing {missing[:3]}, {len(extra)} new {extra[:3]}",
            where=str(path),
            hint="the code of a technique, a head or the backbone has changed since; use the versions in checkpoint.json",
        )
    with torch.no_grad():
        for name, value in values.items():
            if value.shape != wanted[name].shape:
                raise MismatchError(f"{name} has shape {tuple(value.shape)}, not {tuple(wanted[name].shape)}", where=str(path))
            wanted[name].copy_(value)


def check_file(path: Path, sha256: str, *, hint: str = "copy the checkpoint again") -> None:
    """Whether a file is there and unchanged.

    Args:
        path: the file.
        sha256: what was recorded of it.
        hint: what to do if it isn't.

    Raises:
        GrinningFaceError: it isn't.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise GrinningFaceError(f"can't be read ({error.strerror})", where=str(path), hint=hint) from None
    if found != sha256:
        raise GrinningFaceError("isn't the file that was written, by its hash", where=str(path), hint=hint)


def write_checkpoint(
    directory: Path, vla: VLA, links: Sequence[Link], sources: Sequence[Manifest | Mapping[str, Any]], *, finished: bool
) -> None:
    """Write a checkpoint of a policy whose last stage is finished (:meth:`VLA.end_stage`); stages' files are linked or copied in.

    The document comes last, so a directory without it isn't a checkpoint. A snapshot of a running stage (``finished=False``)
    has no probe:
    its techniques will finish when it is loaded.
    """
    with writing(directory):
        _write(directory, vla, links, sources, finished=finished)


def _write(
    directory: Path, vla: VLA, links: Sequence[Link], sources: Sequence[Manifest | Mapping[str, Any]], *, finished: bool
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    documents = []
    for number, link in enumerate(links):
        entries = []
        for entry, file in zip(link.stages, link.files, strict=True):
            relative = f"links/{number:02d}/{file.name}"
            _place(file, directory / relative)
            entries.append({**entry, "file": relative})
        documents.append(
            {
                "recipe": link.recipe.document,
                "recipe_sha256": link.recipe.sha256,
                "conventions": conventions_to_json(link.conventions),
                "backbone_fingerprint": link.fingerprint,
                "normalization": link.normalization,
                "heads": link.heads,
                "stages": entries,
            }
        )
    vla.backbone.save(directory / "backbone")
    document = {
        "schema_version": "1.0",
        "kind": "checkpoint",
        "finished": finished,
        "conventions": conventions_to_json(vla.conventions),
        "links": documents,
        "sources": [to_json(source) for source in sources],
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "probe": probe(vla) if finished else {"logits": [], "actions": []},
    }
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(directory / CHECKPOINT, (text + "\n").encode())


def read_checkpoint(directory: Path) -> dict[str, Any]:
    """A checkpoint's document.

    Raises:
        GrinningFaceError: there is none, or it isn't valid.
    """
    path = directory / CHECKPOINT
    if not path.is_file():
        raise GrinningFaceError(
            f"holds no {CHECKPOINT}", where=str(directory), hint="give the directory that `gf train` wrote, its `checkpoint`"
        )
    return load_document(path, "checkpoint")


def load_checkpoint(
    directory: Path, host: PluginHost, *, backbone_settings: Mapping[str, Any] | None = None, check_probe: bool = True
) -> Loaded:
    """The policy of a checkpoint.

    Args:
        directory: the checkpoint.
        host: the plugins.
        backbone_settings: put on top of the recipe's, for weights that lie elsewhere on this machine.
        check_probe: whether to compare the recorded logits and actions.

    Raises:
        GrinningFaceError: it is damaged, the backbone is another one, or it computes something else than it did.
    """
    document = read_checkpoint(directory)
    conventions = conventions_from_json(document["conventions"])
    links = [_link(entry, directory, host, backbone_settings) for entry in document["links"]]
    vla: VLA | None = None
    for link in links:
        vla = follow(link, host, vla, where=str(directory))
    assert vla is not None
    vla.eval()
    if check_probe and document["finished"]:
        _compare(probe(vla), document["probe"], directory)
    return Loaded(vla, tuple(links), conventions, tuple(document["sources"]), bool(document["finished"]))


def follow(link: Link, host: PluginHost, before: VLA | None, *, where: str) -> VLA:
    """The policy after a link: built on the bare backbone or on what the link before left, stages replayed.

    Raises:
        MismatchError: the backbone isn't the one that it was trained on.
    """
    vla = begin(link, host, before)
    if vla.backbone.fingerprint != link.fingerprint:
        raise MismatchError(
            f"was trained on a backbone with fingerprint {link.fingerprint[:12]}…, this one has {vla.backbone.fingerprint[:12]}…",
            where=where,
            hint="give the very weights that it was trained on: `--set backbone.model=DIR`",
        )
    for stage, entry, file in zip(link.recipe.stages, link.stages, link.files, strict=False):
        check_file(file, entry["sha256"])
        vla.begin_stage(stage.heads, make_techniques(stage, host))
        load_stage(vla, file)
        vla.end_stage()
    return vla


def begin(link: Link, host: PluginHost, before: VLA | None) -> VLA:
    """A link's policy before its first stage.

    What the policy before has comes along: its backbone with all that techniques added to it, and of the heads that both have the
    weights, tokens, queries and what they found in their data. Normalisation is that of the new data, and of a trained link as
    recorded.
    """
    backbone: Backbone | None = None
    if before is not None:
        before.rows.remove()
        backbone = before.backbone
    vla = make_policy(link.recipe, host, link.conventions, backbone)
    if recorded := link.normalization:
        vla.action_normalizer = Normalizer.from_json(recorded["actions"])
        vla.proprio_normalizer = Normalizer.from_json(recorded["proprio"]) if recorded["proprio"] else None
    for name, state in link.heads.items():
        vla.head(name).load_state(state)
    if before is not None:
        _carry(before, vla)
    return vla


def _carry(before: VLA, vla: VLA) -> None:
    vla.extras.update(dict(before.extras.items()))
    with torch.no_grad():
        for name in vla.heads:
            if name not in before.heads:
                continue
            vla.head(name).load_state(before.head(name).state())
            old, new = before.head(name).state_dict(), vla.head(name).state_dict()
            if {k: v.shape for k, v in old.items()} != {k: v.shape for k, v in new.items()}:
                raise MismatchError(
                    f"head {name!r} of the parent has another shape", hint="give the head another name, or the parent's settings"
                )
            vla.head(name).load_state_dict(old)
            mine, theirs = vla.token_ids[name], before.token_ids[name]
            for rows, others in ((vla.rows.input, before.rows.input), (vla.rows.output, before.rows.output)):
                start, other = mine.start - vla.rows.first, theirs.start - before.rows.first
                rows[start : start + len(mine)] = others[other : other + len(theirs)]
            if (count := vla.head(name).queries) and vla.queries is not None and before.queries is not None:
                vla.queries[:count] = before.queries[:count]
        if vla.state_encoder is not None and before.state_encoder is not None:
            vla.state_encoder.load_state_dict(before.state_encoder.state_dict())


@torch.no_grad()
def probe(vla: VLA) -> dict[str, list[float]]:
    """Some logits and the actions on a generated input, for comparing a policy with itself after loading."""
    was_training = vla.training
    vla.eval()
    device = next(vla.parameters()).device
    batch = vla.prepare([_probe_sample(vla)], generate=True).to(device)
    logits = vla.backbone.logits(vla.encode(batch).last[:, -1])[0]
    chosen = torch.linspace(0, logits.numel() - 1, PROBE_LOGITS).long().to(device)
    # A stage that isn't the recipe's last may have several; it ends a job only as the front that trainings of a study share.
    acts = sum(head.used_at_inference for head in vla.stage_heads) == 1
    actions = vla.act(batch, [torch.Generator().manual_seed(0)]).flatten().tolist() if acts else []
    vla.train(was_training)
    return {"logits": logits[chosen].tolist(), "actions": actions}


def _probe_sample(vla: VLA) -> Sample:
    frames = []
    for camera in vla.cameras:
        height, width = vla.image_size or vla.conventions.cameras[camera]
        rng = np.random.default_rng(derive_seed("probe", camera))
        frames.append(Frame(camera=camera, offset=0, image=rng.integers(0, 256, (height, width, 3), dtype=np.uint8)))
    mean = np.asarray(vla.conventions.proprio_statistics.mean, np.float32)
    return Sample(frames=tuple(frames), prompt="pick the block and place it on ghost", proprio=mean)


def _compare(found: Mapping[str, Sequence[float]], recorded: Mapping[str, Sequence[float]], directory: Path) -> None:
    for name in ("logits", "actions"):
        a, b = np.asarray(found[name]), np.asarray(recorded[name])
        if a.shape != b.shape or (len(b) and np.abs(a - b).max() > TOLERANCE * max(1.0, float(np.abs(b).max()))):
            raise MismatchError(
                f"computes other {name} than when it was written",
                where=str(directory),
                hint="another version of a package computes otherwise; checkpoint.json names the versions that trained it",
            )


def _link(entry: Mapping[str, Any], directory: Path, host: PluginHost, overrides: Mapping[str, Any] | None) -> Link:
    document = json.loads(json.dumps(entry["recipe"]))
    recipe = Recipe(document)
    if recipe.sha256 != entry["recipe_sha256"]:
        raise GrinningFaceError(
            "the recipe isn't the one that the hash names", where=str(directory / CHECKPOINT), hint="don't edit it"
        )
    if overrides:
        document["backbone"]["settings"] |= overrides
        recipe = complete(document, host, source=str(directory / CHECKPOINT))
    files = []
    for stage in entry["stages"]:
        file = (directory / stage["file"]).resolve()
        if not file.is_relative_to(directory.resolve()):
            raise GrinningFaceError(f"{stage['file']!r} lies outside", where=str(directory / CHECKPOINT))
        files.append(file)
    stages = [dict(stage) for stage in entry["stages"]]
    conventions = conventions_from_json(entry["conventions"])
    return Link(recipe, conventions, entry["backbone_fingerprint"], entry["normalization"], entry["heads"], stages, files)


def _place(source: Path, target: Path) -> None:
    """A hard link where the file system has them: stages' files never change."""
    if target.exists() and target.samefile(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        target.write_bytes(source.read_bytes())
