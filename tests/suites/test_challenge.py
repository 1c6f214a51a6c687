"""Challenges of gf/standard@1: new episodes of its val split, from a seed."""

from __future__ import annotations

from collections import Counter

from gf_core.canonical import content_hash
from gf_core.evaluation import load_suite
from gf_core.leaderboard.board.rerun import make_challenge
from gf_core.plugins import load_plugins
from gf_core.schemas import validate


def test_a_challenge_is_new_balanced_and_of_the_held_out_targets() -> None:
    host = load_plugins()
    standard = load_suite("gf/standard@1", host)
    challenge = make_challenge(standard, 2**53 - 1, 3, host)
    validate(challenge, "suite", source="challenge")
    val = [episode for episode in standard.episodes if episode.split == "val"]
    episodes = challenge["episodes"]
    assert Counter(episode["cluster"] for episode in episodes) == dict.fromkeys({e.cluster for e in val}, 3)
    assert Counter(episode["scene"]["target"] for episode in episodes) == {0: 100, 1: 100, 2: 100}
    shown = {frozenset(str(episode.factors["combination"]).split("+")) for episode in val}
    drawn = {frozenset(episode["factors"]["combination"].split("+")) for episode in episodes}
    assert len(drawn) == 300
    assert not shown & drawn
    keys = ("env", "control_hz", "decks", "metrics")
    assert {key: challenge[key] for key in keys} == {key: standard.document[key] for key in keys}
    assert {episode["horizon"] for episode in episodes} == {val[0].horizon}


def test_a_seed_gives_one_challenge_and_another_seed_another() -> None:
    host = load_plugins()
    standard = load_suite("gf/standard@1", host)
    one, again, other = (make_challenge(standard, seed, 1, host) for seed in (5, 5, 6))
    assert content_hash(one) == content_hash(again)
    layouts = [[episode["scene"]["cube"] for episode in challenge["episodes"]] for challenge in (one, other)]
    assert layouts[0] != layouts[1]
