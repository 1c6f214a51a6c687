"""From a vision-language model to a policy: samples, mixtures, stages, trainer, checkpoints.

Needs the extra ``grinningface[train]``. Nothing here is imported by ``import gf_core`` or ``gf --help``.
"""
