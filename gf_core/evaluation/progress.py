"""What a run tells whoever watches it. A display can't change a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Progress(Protocol):
    """A display of a run. The runner calls it from its own thread, so calls must return quickly."""

    def started(self, total: int, done: int, title: str) -> None:
        """The run begins: ``total`` episodes, of which ``done`` were recorded by an earlier session."""
        ...

    def episode(self, record: Mapping[str, Any]) -> None:
        """An episode ended. ``record`` is its row as in episodes.jsonl (see episode_record-1.schema.json), without ``previous``.

        For a resumed run, it is called once for each of the ``done`` earlier episodes too, before the first new one.
        """
        ...

    def note(self, text: str) -> None:
        """Something worth a line: a fault that was survived, a policy that had to be started again."""
        ...

    def finished(self, complete: bool) -> None:
        """The display ends; also called after an error or an interruption, then with ``complete=False``."""
        ...


class Quiet:
    """A display that shows nothing."""

    def started(self, total: int, done: int, title: str) -> None:
        """Nothing."""

    def episode(self, record: Mapping[str, Any]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def finished(self, complete: bool) -> None:
        """Nothing."""
