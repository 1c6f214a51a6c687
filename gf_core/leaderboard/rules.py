"""The rules of a submission, in one table with stable codes: never reused, never given another meaning, and none can be skipped.

``gf leaderboard rules --markdown`` writes docs/rules.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule.

    Attributes:
        code: stable, GF4xx; GF45x only flag, since what they find may be honest.
        title: what it asks for, in one sentence.
        checks: what is compared with what.
        why: what it is there for.
        fix: what a submitter does about it.
    """

    code: str
    title: str
    checks: str
    why: str
    fix: str


_AGAIN = "Pack the run directories again with `gf submit pack`; don't edit them."

_TABLE = (
    Rule(
        code="GF401",
        title="The file is an archive of the one form that is read.",
        checks=(
            "A zip of at most 1 GiB and 40,000 members, stored one after the other. Nothing compressed, encrypted, "
            "linked, nested, named twice, named absolutely or upwards; no gaps, overlaps, comments, extra fields or "
            "zip64."
        ),
        why="Zip readers disagree about everything else, and bombs need compression or overlaps.",
        fix="Let `gf submit pack` write the file, and leave it as it is.",
    ),
    Rule(
        code="GF402",
        title="submission.json lists exactly the files that are there, with their hashes.",
        checks=("Names, sizes and SHA-256 of all files; what it says of each run is worked out again from that run's files."),
        why="A file that was changed on the way is told from one that was submitted so.",
        fix=_AGAIN,
    ),
    Rule(
        code="GF403",
        title="The card is complete.",
        checks="card.json against its schema: every required field, lengths, no control or invisible characters. The name shows.",
        why="A number without what produced it can't be compared. The card has no field for results.",
        fix="`gf submit pack` lists what is missing; `gf submit card` writes an empty card with explanations.",
    ),
    Rule(
        code="GF404",
        title="run.json and every row fit their schemas.",
        checks=(
            "run.json, and each row of episodes.jsonl: strict JSON in bounded time and memory. A row that ended in an "
            "error is no success, and only such a row has a reason."
        ),
        why="Everything after this relies on it.",
        fix=_AGAIN,
    ),
    Rule(
        code="GF405",
        title="The suite is one that is known here, in exactly that version.",
        checks="The suite's id and content hash against the installed registry.",
        why="Numbers are comparable on the same episodes only.",
        fix="Run a registered suite with the current release. A maintainer installs the plugin that brings the suite.",
    ),
    Rule(
        code="GF406",
        title="The run is of the suite as it is: whole, unvaried and packaged.",
        checks=(
            "run.json's flags, and what they follow from: all episodes, the suite's control rate, settings and decks, "
            "a world that waits, no plugin files, nothing in the namespace local/, here or behind a server of this program."
        ),
        why="A partial or varied run answers another question; a file on somebody's disk can't be had by others.",
        fix="Run without --episodes, --limit, --hz, --env-set, --timing and --plugin; publish the policy as a package.",
    ),
    Rule(
        code="GF407",
        title="Every episode of the suite is there once, in the suite's order.",
        checks="Each row's episode, split, cluster and factors against the suite.",
        why="Leaving out, repeating or relabelling episodes changes every rate.",
        fix=_AGAIN,
    ),
    Rule(
        code="GF408",
        title="The rows' chain of hashes is whole.",
        checks="Each row names the hash of the row before it, the first that of run.json.",
        why="Names the first row that was edited, reordered or dropped by hand.",
        fix=_AGAIN,
    ),
    Rule(
        code="GF409",
        title="Each row has its recording: float32 actions, float64 controls.",
        checks=(
            "Each trajectory against the hash in its row; exactly the three arrays with their dtypes, read without "
            "NumPy's reader."
        ),
        why="What isn't recorded bit by bit can't be replayed bit by bit.",
        fix=_AGAIN,
    ),
    Rule(
        code="GF410",
        title="Recordings are what the runner lets happen.",
        checks=(
            "As many steps as the row says and at most the horizon; finite values; actions within 100 times their "
            "bounds; controls within the environment's limits; questions to the policy that ascend from step 0 and are"
            " as many as the row says."
        ),
        why="A runner would have stopped the episode.",
        fix=_AGAIN,
    ),
    Rule(
        code="GF411",
        title="The suite's rates can be recomputed from the rows.",
        checks=(
            "Every rate that the suite declares, from the rows alone. Results in a submission are never read: no file "
            "has room for any, so none can say more successes than episodes."
        ),
        why="A leaderboard shows what it has counted itself.",
        fix=_AGAIN,
    ),
    Rule(
        code="GF412",
        title="At most 2 % of a run's episodes ended in an infrastructure fault.",
        checks="Rows whose ending is env_error; they are in no rate.",
        why="Otherwise hard episodes could be left out as faults.",
        fix="Find the fault (`gf doctor`, the run's journal) and run again.",
    ),
    Rule(
        code="GF413",
        title="Versions are pinned.",
        checks=(
            "run.json has released versions of grinningface, NumPy and every distribution that brought suite, "
            "environment or policy."
        ),
        why="Only released versions can be installed by somebody else.",
        fix="Run with released versions of everything.",
    ),
    Rule(
        code="GF414",
        title="The policy isn't privileged.",
        checks="run.json says so, and an installed policy of that id says so too.",
        why="A policy that sees the simulator's state is a control.",
        fix="None: privileged policies are shown as references, not as entries.",
    ),
    Rule(
        code="GF415",
        title="All runs are of one policy, each different.",
        checks="The same policy id, settings and steps per chunk in every run; no suite twice with the same policy seed.",
        why="Otherwise a table's row would mix policies, or count a run twice.",
        fix="Submit policies one by one, and repetitions with other --policy-seed.",
    ),
    Rule(
        code="GF416",
        title="It wasn't trained on what it is tested on.",
        checks="The card's trained_items, of any deck, against the targets of the suite that aren't in the deck's split train.",
        why="Recognising what one was trained to act on isn't what is measured.",
        fix="Train on the split train only, or submit to a suite without those targets.",
    ),
    Rule(
        code="GF417",
        title="It was chosen by gf/dev@1 or not by results.",
        checks="The card's selected_by.",
        why="The best of many checkpoints on the test episodes is better than it is.",
        fix="Choose by gf/dev@1, whose emojis no other suite uses, and run again.",
    ),
    Rule(
        code="GF418",
        title="No recording is a copy of another.",
        checks=(
            "Action sequences of 10 or more steps that are equal bit by bit in episodes that begin in different "
            "states, in all runs of the submission."
        ),
        why="A policy that looks or listens doesn't do the same twice in different scenes.",
        fix="None for copies. A policy that plays the same whatever happens is a control.",
    ),
    Rule(
        code="GF419",
        title="Something was done.",
        checks=(
            "Fewer than half of the episodes are empty or repeat one single action; no success without motion; "
            "10 or more episodes don't all succeed in equally many steps with equal metrics."
        ),
        why="An entry that does nothing says nothing.",
        fix="`gf replay RUN EPISODE --video` shows what the policy does.",
    ),
    Rule(
        code="GF420",
        title="Driven through the environment again, the recordings lead to the rows.",
        checks=(
            "On the same platform: recorded actions give the recorded controls at every step, clipping, outcome and "
            "state, bit for bit. Elsewhere: recorded controls give the recorded outcome."
        ),
        why=("Physics can't be made up. That the policy produced the actions isn't shown by this: an expert's recording passes."),
        fix="`gf replay RUN` names the first episode and step that differs; run again with released versions.",
    ),
    Rule(
        code="GF421",
        title="The same run isn't in another submission.",
        checks=(
            "Policy, settings, steps per chunk, suite and policy seed against the other files of the folder, earlier ones by "
            "name."
        ),
        why="Repetitions count as independent only with seeds of their own.",
        fix="Run with another --policy-seed, or leave one of the submissions out.",
    ),
    Rule(
        code="GF422",
        title="No recording is copied from another submission.",
        checks=(
            "Action sequences of 10 or more steps that are equal bit by bit to those of the same episode in the other "
            "files of the folder, earlier ones by name."
        ),
        why="Two policies don't do the same to the last bit.",
        fix="None for copies.",
    ),
    Rule(
        code="GF423",
        title="A probe, if there is one, fits the runs and its own answers.",
        checks=(
            "probe.json against its schema; its suite is one of the runs'; it asks about episodes of it, each once; its "
            "rates for which-card are those that its answers give."
        ),
        why=(
            "It is shown beside the policy's choices on the same episodes, as the inheritance gap. Its answers are the "
            "submitter's word: only the weights can repeat them."
        ),
        fix="`gf probe CHECKPOINT --suite SUITE --out FILE`, then `gf submit pack --probe FILE`; don't edit it.",
    ),
    Rule(
        code="GF424",
        title="No entry has its name.",
        checks=(
            "Where there is a repository: the card's name against those of the entries, and of the files before it. Capitals, "
            "widths and spaces make no other name (NFKC, case-folded)."
        ),
        why="A name in a table is one policy's.",
        fix="Give the card another name, or ask for the other entry to be withdrawn.",
    ),
    Rule(
        code="GF450",
        title="It can be believed without running it again (flags only).",
        checks=("10 or more scored episodes, and success in all of them, or the lower limit of its Wilson interval above 95 %."),
        why="Replay can't tell an expert's recording from a policy's. Only running it again can.",
        fix="Publish the weights, so that the policy can be run again with other seeds.",
    ),
    Rule(
        code="GF451",
        title="The physics was verified by actions, not by controls alone (flags only).",
        checks="Flagged: the run comes from another platform than the one that verifies.",
        why="Controls that no action leads to would pass.",
        fix="None: verifying on the platform that run.json names settles it.",
    ),
    Rule(
        code="GF452",
        title="No episode is left out as an infrastructure fault (flags only).",
        checks="Flagged: rows whose ending is env_error, within what GF412 allows.",
        why="A fault can't be replayed, so a failure could be passed off as one.",
        fix="Run again where faults don't happen.",
    ),
)

RULES: Mapping[str, Rule] = {rule.code: rule for rule in _TABLE}
"""Code to rule, in the order in which they are checked."""

_HEAD = """# Rules

`gf submit check FILE` and `gf leaderboard verify FILE|DIR` hold a submission against these rules, with the same code.
No rule can be skipped. Codes are stable: never reused, never given another meaning. How to submit: [submitting](submitting.md).

Written by `gf leaderboard rules --markdown`; change the table in gf_core/leaderboard/rules.py, not this page.

## Badges

| badge | means |
|---|---|
| consistent | the records are complete and agree among themselves; their environment can't replay recordings |
| replayed | *physics verified, policy unverified*: the recorded actions lead to the recorded results; who acted isn't shown |
| disputed | a rule is broken; the first is named. Stays visible |

Numbers that nobody has verified are *self-reported*. A policy that the maintainers ran again, from its weights and on episodes
that neither side could choose, is *re-run*.

## Table
"""


def as_markdown() -> str:
    """The content of docs/rules.md."""
    parts = [_HEAD]
    for rule in RULES.values():
        lines = [f"### {rule.code}: {rule.title}", "", f"- **Checks** {rule.checks}", f"- **Why** {rule.why}"]
        parts.append("\n".join([*lines, f"- **What to do** {rule.fix}"]) + "\n")
    return "\n".join(parts)
