"""Robot pretraining: a stage on other robot data, before the data that counts (arXiv 2605.25802).

The strongest initialisations of that paper have seen robot trajectories of other tasks. That is a fair comparison only if
nothing of the target data leaks in, so this technique checks what the sources hold: no deck's item in common, another suite,
other files. How parameters train is other techniques' business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gf_core.errors import GrinningFaceError, did_you_mean
from gf_core.training.contracts import Technique
from gf_core.training.mixture import Mixture
from gf_core.training.samples import Manifest, Source

ID = "gf/robot-pretraining-v1"


class RobotPretraining(Technique):
    """See the module's docstring.

    Args:
        source: name of the pretraining source.
        targets: names of the robot sources that it is compared with; empty for every other one.
        unknown_items: accept a source that doesn't say which items it shows.
    """

    def __init__(self, *, source: str, targets: Sequence[str], unknown_items: bool) -> None:
        self._source, self._targets, self._unknown_items = source, tuple(targets), unknown_items
        self._robot: set[str] = set()
        self._compared: list[str] = []

    def sources(self, sources: Mapping[str, Source]) -> Mapping[str, Source]:
        """The same sources, compared.

        Raises:
            GrinningFaceError: the source isn't there or isn't robot data, there is nothing to compare it with, or it shares
                something with a target.
        """
        self._robot = {name for name, source in sources.items() if source.conventions is not None}
        self._compared = list(self._targets) or sorted(self._robot - {self._source})
        for name in (self._source, *self._compared):
            if name not in self._robot:
                what = f"{name!r} isn't robot data" if name in sources else f"there is no source {name!r}"
                hint = did_you_mean(name, self._robot) or f"robot data: {', '.join(sorted(self._robot)) or 'none'}"
                raise GrinningFaceError(what, where=ID, hint=hint)
        if not self._compared or self._source in self._compared:
            hint = "name a later stage's robot source in `targets`"
            raise GrinningFaceError("there is no target data to compare the pretraining data with", where=ID, hint=hint)
        pretraining = sources[self._source].manifest()
        for name in self._compared:
            if shared := shared_content(pretraining, sources[name].manifest(), unknown_items=self._unknown_items):
                hint = "pretrain on other data, or look at `items` in the sources' manifests"
                raise GrinningFaceError(f"{self._source!r} and {name!r} {shared}", where=ID, hint=hint)
        return sources

    def mixture(self, mixture: Mixture) -> Mixture:
        """The mixture without other robot data: the pretraining source's share, and vision-language data.

        Raises:
            GrinningFaceError: the pretraining source has no share.
        """
        if self._source not in {share.source for share in mixture.shares}:
            hint = "add it to the stage's mixture"
            raise GrinningFaceError(f"the stage doesn't read {self._source!r}", where=ID, hint=hint)
        others = self._robot - {self._source}
        return Mixture(shares=tuple(share for share in mixture.shares if share.source not in others))

    def report(self) -> dict[str, Any]:
        """What was compared with what."""
        return {"source": self._source, "targets": self._compared}


def shared_content(pretraining: Manifest, target: Manifest, *, unknown_items: bool) -> str:
    """What two sources have in common, as the rest of a sentence; empty for nothing."""
    if pretraining.sha256 == target.sha256:
        return "hold the same files"
    for key in ("suite", "suite_sha256"):
        value = pretraining.details.get(key)
        if value is not None and value == target.details.get(key):
            return f"come from the same suite, {value}"
    if pretraining.items is None or target.items is None:
        name = pretraining.name if pretraining.items is None else target.name
        return "" if unknown_items else f"can't be compared: {name!r} doesn't say which items it shows"
    for deck in sorted(pretraining.items.keys() & target.items.keys()):
        if both := sorted(set(pretraining.items[deck]) & set(target.items[deck])):
            return f"both show {len(both)} items of {deck}: {', '.join(both[:5])}{', …' if len(both) > 5 else ''}"
    return ""


def make(config: Mapping[str, Any]) -> RobotPretraining:
    """Entry point of gf/robot-pretraining-v1."""
    return RobotPretraining(source=config["source"], targets=config["targets"], unknown_items=config["unknown_items"])
