"""What cards are called: labels and other names, upper and lower case alike."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gf_core.contracts import DeckItem


def folded(text: str) -> str:
    """A text as names are compared: in one case, with single spaces."""
    return " ".join(text.casefold().split())


def names_of(item: DeckItem) -> set[str]:
    """An item's label and other names, folded."""
    return {name for text in (item.label, *item.names.values()) if (name := folded(text))}


def named_by(item: DeckItem, others: Iterable[DeckItem]) -> bool:
    """Whether a name of an item is a name of another item, or a whole phrase of one, as "bone" is of "meat on bone"."""
    texts = "\n".join(name for other in others for name in names_of(other))
    return any(name in texts and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", texts) for name in names_of(item))
