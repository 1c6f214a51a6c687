"""What the conformance kit checks, and what a check came to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from gf_core._loader import what_and_where
from gf_core.errors import GrinningFaceError, MissingDependencyError

Outcome = Literal["pass", "fail", "skip"]

CHECKS: Mapping[str, str] = {
    "GF501": "the plugin is loaded: its entry point resolves, its hooks are spelled right, its specs are valid",
    "GF502": "loading it imports nothing heavy and takes at most 0.2 s",
    "GF503": "what its specs name can be imported",
    "GF504": "settings have defaults that fit their own schema",
    "GF511": "a policy returns finite chunks of its shape and dtype, within 100 times the bounds",
    "GF512": "the seeds decide: the same seeds and observations give the same actions",
    "GF513": "after a reset nothing is left of the episode before",
    "GF514": "a call about several slots gives what calls about one each give",
    "GF521": "an environment observes and returns what its spec says, in shape and dtype, finite, at every step",
    "GF522": "the same episode and actions lead to the same state, outcome and observations, whatever is played beside it",
    "GF523": "recorded controls lead to the recorded states and outcome",
    "GF524": "observations don't depend on which card is the target",
    "GF531": "a deck is whole: it has the content that its spec names, and every item has a label and a picture",
    "GF541": "a suite is the document whose hash its spec names, and its scenes and decks are known",
    "GF551": "a technique's stage sets up, trains with finite losses and finishes",
    "GF552": "what a technique trained comes back when it is set up again and loaded",
    "GF553": "a technique changes no role but those that it says it updates, and nothing where nothing trains",
    "GF554": "a stage that is stopped and gone on with gives the same weights as one in one go",
    "GF561": "a head has finite losses and acts with finite chunks",
    "GF562": "a continuous head reads the prefix alone; a token head makes a chunk of any tokens",
    "GF563": "a head gives a sample the same actions alone as beside others",
    "GF564": "a head's loss leaves out actions past the episode's end and weighs its samples",
    "GF565": "what a head found in its data comes back by state() and load_state()",
    "GF571": "a backbone is what its attributes say: roles, layers, embeddings, fingerprint",
    "GF572": "the hidden states of a prefix depend on nothing behind, beside or around it",
    "GF573": "a backbone decodes the tokens that full forwards find most likely",
    "GF574": "embeddings that a policy places in a sequence are used there",
}
"""What is checked, by code. docs/errors.md says what to do about each."""


@dataclass(frozen=True, kw_only=True)
class KitFinding:
    """What one check came to.

    Attributes:
        code: a key of :data:`CHECKS`.
        subject: the plugin's name, or an id of what it brings.
        outcome: ``skip``: it couldn't be tried, and ``detail`` says why.
        detail: what was found; empty for one that passed without more to say.
    """

    code: str
    subject: str
    outcome: Outcome
    detail: str = ""


class NothingToTryError(Exception):
    """The check doesn't concern it; the text says why."""


def tried(code: str, subject: str, check: Callable[[], str | None]) -> KitFinding:
    """A check that returns nothing if it passes, or what is wrong; whatever it raises is wrong, too."""
    try:
        wrong = check()
    except NothingToTryError as error:
        return KitFinding(code=code, subject=subject, outcome="skip", detail=str(error))
    except MissingDependencyError as error:
        return KitFinding(code=code, subject=subject, outcome="skip", detail=error.line)
    except GrinningFaceError as error:
        wrong = error.line
    except (Exception, SystemExit) as error:
        wrong = what_and_where(error)
    return KitFinding(code=code, subject=subject, outcome="fail" if wrong else "pass", detail=wrong or "")


def first_then_others(subject: str, checks: Mapping[str, Callable[[], str | None]]) -> list[KitFinding]:
    """The first check, by its code, and the others if it passes; they are skipped if it doesn't."""
    code, *others = checks
    first = tried(code, subject, checks[code])
    if first.outcome == "pass":
        return [first, *(tried(other, subject, checks[other]) for other in others)]
    why = first.detail if first.outcome == "skip" else f"{code} comes first"
    return [first, *skipped(others, subject, why)]


def skipped(codes: Iterable[str], subject: str, why: str) -> list[KitFinding]:
    """Checks that couldn't be tried."""
    return [KitFinding(code=code, subject=subject, outcome="skip", detail=why) for code in codes]
