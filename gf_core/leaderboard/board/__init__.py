"""The results repository: entries that were checked when they came, in a plain git layout that any group can host.

::

    leaderboard.json            title, contact, storage
    entries/DAY-NAME-HASH/      entry.json, card.json, verdict.json, outcomes.json
    files/SHA256.zip            submissions, or wherever the storage is
"""

from gf_core.leaderboard.board.adding import Added, add, foresee, known_in
from gf_core.leaderboard.board.repository import Board, Entry, Problem, change, init, read_board

__all__ = ["Added", "Board", "Entry", "Problem", "add", "change", "foresee", "init", "known_in", "read_board"]
