"""Loads a checkpoint with LeRobot. Imported only where LeRobot is installed."""

from __future__ import annotations

import lerobot.policies  # noqa: F401  (registers the types of policies)
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot.utils.import_utils import register_third_party_plugins

from gf_core.errors import GrinningFaceError
from gf_policies.lerobot.checkpoint import WEIGHTS, Checkpoint
from gf_policies.lerobot.playing import Loaded
from gf_policies.lerobot.weights import not_from_file


def load(checkpoint: Checkpoint, *, device: str, threads: int, trusted: bool) -> Loaded:
    """Load a checkpoint as `lerobot-eval` does, and see that all its weights come from its file.

    Args:
        checkpoint: the checkpoint.
        device: ``auto`` for what its configuration says, or what there is.
        threads: of torch on the CPU; 0 for torch's own choice.
        trusted: whether installed packages of other policies (``lerobot_policy_*``) are imported.

    Raises:
        GrinningFaceError: weights are missing.
    """
    if threads:
        torch.set_num_threads(threads)
    if trusted:
        register_third_party_plugins()
    folder = str(checkpoint.folder)
    config = PreTrainedConfig.from_pretrained(folder, cli_overrides=[] if device == "auto" else [f"--device={device}"])
    if hasattr(config, "pretrained_backbone_weights"):
        config.pretrained_backbone_weights = None  # would be fetched, only to be overwritten by the checkpoint's
    policy = get_policy_class(config.type).from_pretrained(folder, config=config)
    policy.eval()
    if missing := not_from_file(policy, checkpoint.folder / WEIGHTS):
        told = f"{len(missing)} of its weights aren't in the file, such as {missing[0]!r}"
        raise GrinningFaceError(told, where=str(checkpoint.folder / WEIGHTS), hint="is it the checkpoint of this config.json?")
    overrides = {"device_processor": {"device": str(config.device)}} if "device_processor" in checkpoint.steps else {}
    before, after = make_pre_post_processors(policy_cfg=config, pretrained_path=folder, preprocessor_overrides=overrides)
    return Loaded(policy=policy, before=before, after=after, device=torch.device(config.device))
