"""Submissions: packed, read without trust, held against numbered rules. Numbers are recomputed, never taken from them.

Nothing here runs a policy. What a submission's badge says is what was checked: ``consistent`` for its records among themselves,
``replayed`` for the physics too.
"""

from gf_core.leaderboard.rules import RULES, Rule
from gf_core.leaderboard.verdict import Verdict, to_document
from gf_core.leaderboard.verify import verify_file, verify_files

__all__ = ["RULES", "Rule", "Verdict", "to_document", "verify_file", "verify_files"]
