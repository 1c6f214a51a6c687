"""Words and numbers as every form of the report writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gf_core._problems import printable
from gf_core.reporting.tables import NONE, points
from gf_core.statistics import MOST_SEEDS, Interval
from gf_core.studies.report.contrasts import Compared
from gf_core.studies.report.evidence import Condition
from gf_core.studies.report.figures import Figure


class Names:
    """What conditions and pairs of them are called: by their arms, with backbone and head where the study has several.

    Args:
        conditions: all of the study's, in the order of their numbers.
    """

    def __init__(self, conditions: Sequence[Condition]) -> None:
        several = [len({getattr(c, part) for c in conditions}) > 1 for part in ("backbone", "head")]
        self._numbers = {c: number for number, c in enumerate(conditions, start=1)}
        self._settings = {
            c: [printable(part) for part, shown in zip((c.backbone, c.head), several, strict=True) if shown] for c in conditions
        }

    def __getitem__(self, condition: Condition) -> str:
        """``lora``, or ``lora · nano``."""
        return self._join(condition.arm, condition)

    def numbered(self, condition: Condition) -> str:
        """``2 lora``."""
        return f"{self._numbers[condition]} {self[condition]}"

    def pair(self, one: Compared) -> str:
        """``lora − full``, or ``lora − full · nano``."""
        return self._join(f"{one.first.arm} − {one.second.arm}", one.first)

    def numbered_pair(self, one: Compared) -> str:
        """``2 lora − 1 full``."""
        first, second = (f"{self._numbers[c]} {c.arm}" for c in (one.first, one.second))
        return self._join(f"{first} − {second}", one.first)

    def _join(self, text: str, condition: Condition) -> str:
        return " · ".join([text, *self._settings[condition]])


def signed(share: float) -> str:
    """``+12.5`` points; ``0.0`` for none."""
    text = f"{100 * share:+.1f}".replace("-", "−")
    return text[1:] if text[1:] == "0.0" else text


def signed_interval(interval: Interval | None) -> str:
    """``[+7.6, +27.9]``, or nothing."""
    return f"[{signed(interval.low)}, {signed(interval.high)}]" if interval else ""


def percents(interval: Interval | None) -> str:
    """``[66.1, 75.8]``, or nothing."""
    return f"[{points(interval.low)}, {points(interval.high)}]" if interval else ""


def rate(found: Figure | None) -> str:
    """``71.2 [66.1, 75.8]``, or a dash."""
    if found is None or found.estimate is None:
        return NONE
    return f"{points(found.estimate)} {percents(found.interval)}".rstrip()


def probability(p: float) -> str:
    """``0.013``, or ``< 0.001``."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def verdict(one: Compared) -> str:
    """Whether the two are separable, of what that is said, or why nothing can be."""
    if one.problem:
        return f"not compared: {one.problem}"
    found = "separable" if one.separable else "not separable"
    return found if one.claim else f"these models only: {found}"


def needs(one: Compared) -> str:
    """What it would take to separate two that aren't separable; a dash for others."""
    if one.problem or one.separable:
        return NONE
    if one.difference == 0:
        return "no number: no difference was observed"
    if one.claim:
        none = f"more targets: no number of seeds up to {MOST_SEEDS} is known to do"
        return f"about {one.seeds_needed} seeds" if one.seeds_needed else none
    return f"about {rounded(one.episodes_needed):,} episodes" if one.episodes_needed else "no number"


def rounded(count: int) -> int:
    """To two digits, upwards: the figure is no more certain than that."""
    unit = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // unit) * unit


def joined(items: Iterable[str], most: int = 6) -> str:
    """``a, b and c``; ``a, b and 5 more`` beyond ``most``."""
    found = list(items)
    if len(found) > most:
        found = [*found[: most - 1], f"{len(found) - most + 1} more"]
    return f"{', '.join(found[:-1])} and {found[-1]}" if len(found) > 1 else "".join(found)
