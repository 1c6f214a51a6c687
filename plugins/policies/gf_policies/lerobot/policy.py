"""`gf/lerobot-v1`: makes the policy; LeRobot is imported with it, and not before."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from gf_core.contracts import PolicyContext
from gf_core.errors import GrinningFaceError, MissingDependencyError
from gf_core.specs import PolicyInterface
from gf_policies.lerobot.checkpoint import Checkpoint, fingerprint, locate, read_checkpoint
from gf_policies.lerobot.view import check_fit, conventions_of, view_of

if TYPE_CHECKING:
    from gf_policies.lerobot.playing import LeRobotPolicy

_OFFLINE = "HF_HUB_OFFLINE"


def interface(config: Mapping[str, Any]) -> PolicyInterface:
    """What the checkpoint sees and does; needs no LeRobot."""
    checkpoint = _read(config)
    said = conventions_of(checkpoint, config["conventions"])
    return PolicyInterface(
        observes=view_of(checkpoint, config["cameras"]).observes,
        action=None if said is None else said.action,
        fingerprint=fingerprint(checkpoint.folder),
    )


def make_lerobot(config: Mapping[str, Any], context: PolicyContext) -> LeRobotPolicy:
    """The policy, loaded.

    Raises:
        MismatchError: the environment's state or actions aren't the checkpoint's.
        MissingDependencyError: LeRobot isn't installed here.
        GrinningFaceError: the checkpoint isn't whole, or would have to run code that isn't LeRobot's.
    """
    checkpoint = _read(config)
    view = view_of(checkpoint, config["cameras"])
    check_fit(checkpoint, view, conventions_of(checkpoint, config["conventions"]), context)
    chunks = _plays_chunks(checkpoint, config["play"])
    if find_spec("lerobot") is None:
        hint = "pip install 'grinningface[lerobot]', or gf run --isolate FILE with lerobot==0.4.4 in it"
        raise MissingDependencyError("LeRobot isn't installed here", where="gf/lerobot-v1", hint=hint)
    with _network(config["downloads"]):
        from gf_policies.lerobot.loading import load
        from gf_policies.lerobot.playing import LeRobotPolicy

        loaded = load(checkpoint, device=config["device"], threads=config["threads"], trusted=config["trust_remote_code"])
    return LeRobotPolicy(loaded, view, play_steps=checkpoint.play_steps if chunks else 0)


def _read(config: Mapping[str, Any]) -> Checkpoint:
    return read_checkpoint(locate(config["checkpoint"]), trust_remote_code=config["trust_remote_code"])


def _plays_chunks(checkpoint: Checkpoint, play: str) -> bool:
    if play == "chunks" and not checkpoint.chunked:
        what = f"a {checkpoint.type} policy with these settings is asked at every step"
        raise GrinningFaceError(what, where="play", hint="leave it at auto")
    return checkpoint.chunked and play != "steps"


@contextmanager
def _network(allowed: bool) -> Iterator[None]:
    """Within, the hub's libraries take only what is on disk, unless it is allowed.

    They read the variable once, while they are imported; one that is there already is told by its constant.
    """
    if allowed:
        yield
        return
    if find_spec("huggingface_hub") is not None:
        import_module("huggingface_hub.constants")  # or it would stay offline for as long as the process lives
    constants = sys.modules.get("huggingface_hub.constants")
    before = os.environ.get(_OFFLINE), getattr(constants, _OFFLINE, None)
    os.environ[_OFFLINE] = "1"
    if constants is not None:
        setattr(constants, _OFFLINE, True)
    try:
        yield
    finally:
        if before[0] is None:
            del os.environ[_OFFLINE]
        else:
            os.environ[_OFFLINE] = before[0]
        if constants is not None:
            setattr(constants, _OFFLINE, before[1])
