"""Which suites there are and what is in each; :mod:`gf_envs.suites.generate` writes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from gf_envs.decks import EMOJI_NOTO, EMOJI_TWEMOJI, locked_sha256
from gf_envs.suites import robot_pretrain, shifts
from gf_envs.suites.combinations import Combination, draw_counterfactual_layers, draw_layers
from gf_envs.suites.controls import controls_episodes
from gf_envs.suites.design import Draws, K, draw_layouts
from gf_envs.suites.episodes import Group, JsonObject, ambiguous_pairs, group_episodes, split_items
from gf_envs.tabletop import geometry as g

ENV, TASKS_ENV = "gf/tabletop-v1", "gf/tabletop-tasks-v1"
CITATION, PRETRAIN_CITATION = "arXiv:2511.06619", "arXiv:2605.25802"
SEED, PRETRAIN_SEED = 251106619, 260525802
"""The arXiv number of the paper. Every draw comes from this, the suite's id and what is drawn."""

DEMO_LAYERS = 5
STANDARD_LAYERS = 4
SPARE_LAYER = 4
"""The demonstrations' layer whose combinations the id splits of paper, quick and smoke use; standard uses the others."""

ID, TRAIN, VAL, REST = "id", "train", "val", "rest"
SPLIT_TEXTS = {
    ID: "Train emojis in combinations that gf/demos@1 shows with each of their cards as the target, newly laid out. The factor "
    "demo names the demonstration with the same target; the combination doesn't tell which it is.",
    TRAIN: "Train emojis in combinations that don't occur in gf/demos@1.",
    VAL: "Emojis that occur in no demonstration.",
    REST: "Emojis that are in neither train nor val.",
    "demos": "Train emojis: what demonstrations are recorded from.",
    "blank": "The standard val episodes with an empty instruction.",
    "nonsense": "The standard val episodes with an invented word instead of the label.",
    "absent": "The standard val scenes with the label of a val emoji that isn't on the table; no card is right.",
    "counterfactual": "Two layouts per target of the standard val scenes, each card instructed in turn.",
    **robot_pretrain.SPLIT_TEXTS,
    **shifts.SPLIT_TEXTS,
}

METRICS: list[JsonObject] = [
    {"name": "success", "metric": "success", "description": "The cube ends where the episode's success rule wants it."},
    {"name": "execution", "metric": "executed", "description": "The cube ends on any card."},
    {
        "name": "recognition",
        "metric": "recognized",
        "given": "executed",
        "chance": 1 / K,
        "description": "The first card that the cube was placed on is the target.",
    },
    {
        "name": "intent",
        "metric": "intent_correct",
        "chance": 1 / K,
        "description": "The card nearest to the carried cube at its release, else at its closest approach, is the target.",
    },
]


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite before it is written.

    Attributes:
        summary: one line, shown in listings.
        description: what it is for.
        splits: names of its splits.
        episodes: makes its episodes.
        ranked: whether results on it may enter a ranking.
        env: id of its environment.
        decks: ids of the decks that its scenes refer to.
        metrics: the rates that reports show.
        seed: what its draws come from, beside its id and what is drawn.
        citation: the paper that it follows.
    """

    summary: str
    description: str
    splits: tuple[str, ...]
    episodes: Callable[[], list[JsonObject]]
    ranked: bool = False
    env: str = ENV
    decks: tuple[str, ...] = (EMOJI_NOTO,)
    metrics: Sequence[JsonObject] = field(default_factory=lambda: METRICS)
    seed: int = SEED
    citation: str = CITATION


def draws_for(*parts: object) -> Draws:
    """The draws of one purpose; another purpose doesn't change them."""
    return Draws(SEED, *parts)


def pretrain_draws_for(*parts: object) -> Draws:
    """The draws of one purpose of gf/robot-pretrain@1."""
    return Draws(PRETRAIN_SEED, ROBOT_PRETRAIN, *parts)


@cache
def demo_combinations() -> list[list[Combination]]:
    """The combinations of gf/demos@1: 5 layers of 100, each set of emojis with each of them as the target."""
    items = split_items(TRAIN)
    return draw_counterfactual_layers(draws_for(DEMOS, "combinations"), items, DEMO_LAYERS, ambiguous_pairs(items))


def demo_name(target: str, layer: int) -> str:
    """Id of the episode of gf/demos@1 with this target in this layer."""
    return f"demos-{target}-{layer}"


def demonstrated(layers: Iterable[int]) -> tuple[list[list[Combination]], list[list[str]]]:
    """Layers of the demonstrations' combinations, and the ids of the demonstrations that show them with the same target.

    The one set that isn't shown with each of its emojis as target would tell the target: the demonstrations' next layer stands
    in for it, where the same targets have complete sets.
    """
    demos = demo_combinations()
    shown = Counter(frozenset(combination) for layer in demos for combination in layer)
    chosen, names = [], []
    for layer in layers:
        following = (layer + 1) % DEMO_LAYERS
        sources = [layer if shown[frozenset(combination)] == K else following for combination in demos[layer]]
        chosen.append([demos[source][index] for index, source in enumerate(sources)])
        names.append([demo_name(c[0], source) for c, source in zip(demos[layer], sources, strict=True)])
    return chosen, names


def combinations(suite: str, split: str, layers: int, first_demo_layer: int) -> tuple[list[list[Combination]], list[list[str]]]:
    """``layers`` layers of combinations of a split, and for those from demonstrations the ids of these."""
    if split == ID:
        return demonstrated(range(first_demo_layer, first_demo_layer + layers))
    items = split_items(split)
    avoid = [combination for layer in demo_combinations() for combination in layer] if split == TRAIN else []
    return draw_layers(draws_for(suite, split, "combinations"), items, layers, avoid, ambiguous_pairs(items)), []


def demos() -> list[JsonObject]:
    """100 targets × 5 layouts."""
    layouts = draw_layouts(draws_for(DEMOS, "layouts"), len(split_items(TRAIN)), DEMO_LAYERS)
    group = Group(split="demos", combinations=demo_combinations(), layouts=layouts)
    return group_episodes(draws_for(DEMOS, "distractors"), group)


def dev() -> list[JsonObject]:
    """128 targets × 3 layouts: each target once at each position."""
    new, _ = combinations(DEV, REST, K, 0)
    layouts = draw_layouts(draws_for(DEV, "layouts"), len(split_items(REST)), K)
    return group_episodes(draws_for(DEV, "distractors"), Group(split=REST, combinations=new, layouts=layouts))


def standard() -> list[JsonObject]:
    """3 splits × 100 targets × 4 layouts; the n-th target of every split has the same layouts."""
    layouts = draw_layouts(draws_for(STANDARD, "layouts"), len(split_items(VAL)), STANDARD_LAYERS)
    episodes = []
    for split in (ID, TRAIN, VAL):
        chosen, sources = combinations(STANDARD, split, STANDARD_LAYERS, 0)
        group = Group(split=split, combinations=chosen, layouts=layouts, sources=sources)
        episodes += group_episodes(draws_for(STANDARD, split, "distractors"), group)
    return episodes


def controls() -> list[JsonObject]:
    """The standard suite's val scenes under other instructions."""
    return controls_episodes([e for e in standard() if e["split"] == VAL], draws_for(CONTROLS))


def shifted() -> list[JsonObject]:
    """The standard suite's val scenes with one factor changed."""
    draws = {split: draws_for(SHIFTS, split) for split in (shifts.PARAPHRASE, shifts.SIMILAR)}
    return shifts.shifts_episodes([e for e in standard() if e["split"] == VAL], draws)


def one_layout(suite: str, targets: int, success_rule: str = "card") -> list[JsonObject]:
    """``targets`` targets of each of id, train and val with one layout each; positions are balanced over the three together."""
    episodes = []
    for shift, split in enumerate((ID, TRAIN, VAL)):
        # n targets leave n mod K positions with one more; the next split's begin where this one's end
        layouts = draw_layouts(draws_for(suite, split, "layouts"), targets, 1, shift * targets)
        (layer,), sources = combinations(suite, split, 1, SPARE_LAYER)
        chosen = sorted(draws_for(suite, split, "targets").permutation(range(len(layer)))[:targets])
        group = Group(
            split=split,
            combinations=[[layer[index] for index in chosen]],
            layouts=layouts,
            sources=[[row[index] for index in chosen] for row in sources],
            success_rule="paper" if success_rule == "paper" else "card",
        )
        episodes += group_episodes(draws_for(suite, split, "distractors"), group)
    return episodes


DEMOS, SMOKE, QUICK, DEV = "gf/demos@1", "gf/smoke@1", "gf/quick@1", "gf/dev@1"
PAPER, STANDARD, CONTROLS = "gf/paper@1", "gf/standard@1", "gf/controls@1"
SHIFTS, ROBOT_PRETRAIN = "gf/shifts@1", "gf/robot-pretrain@1"

SUITES: Mapping[str, Suite] = {
    DEMOS: Suite(
        summary="500 scenes with train emojis that demonstrations are recorded from",
        description="Each train emoji is the target of five scenes. 166 combinations of emojis are shown three times, each time "
        "newly laid out and with another card as the target, so that the emojis on the table don't tell the target. One more is "
        "shown twice, and no other suite uses it. Every id split draws its combinations from the 166.",
        splits=("demos",),
        episodes=demos,
    ),
    SMOKE: Suite(
        summary="12 episodes that show whether everything works",
        description="Four episodes of each split; too few to say anything about a policy.",
        splits=(ID, TRAIN, VAL),
        episodes=lambda: one_layout(SMOKE, 4),
    ),
    QUICK: Suite(
        summary="60 episodes for a first look",
        description="Twenty episodes of each split, each with another target.",
        splits=(ID, TRAIN, VAL),
        episodes=lambda: one_layout(QUICK, 20),
    ),
    DEV: Suite(
        summary="384 episodes with emojis that no other suite uses, for sweeps and early stopping",
        description="128 targets, each once at each position. The only suite to choose hyperparameters or checkpoints by.",
        splits=(REST,),
        episodes=dev,
    ),
    PAPER: Suite(
        summary="3 × 100 episodes scored by the published success rule",
        description="Each emoji is the target once, as in the released evaluation; success and ending follow its rule. "
        "Comparable in protocol to arXiv:2511.06619, not in numbers: simulator, artwork and renderer differ. Compare "
        "recognition: success by this rule is far above 1/3 without reading. Its radius reaches neighbouring cards, so a policy "
        "that only sees the layout succeeds in more than half of the episodes with one placement, and one that tours in more.",
        splits=(ID, TRAIN, VAL),
        episodes=lambda: one_layout(PAPER, 100, "paper"),
    ),
    STANDARD: Suite(
        summary="3 × 400 paired episodes: what ranks",
        description="100 targets × 4 layouts in each split. The n-th target of every split meets the same layouts, so that the "
        "splits differ in nothing but the emojis.",
        splits=(ID, TRAIN, VAL),
        episodes=standard,
        ranked=True,
    ),
    CONTROLS: Suite(
        summary="Standard val scenes with blank, nonsense, absent and counterfactual instructions",
        description="Whether the instruction is read: recognition must fall to chance without one, and the choice must follow it "
        "where it changes. Without this suite there is no claim that language is read.",
        splits=("blank", "nonsense", "absent", "counterfactual"),
        episodes=controls,
    ),
    SHIFTS: Suite(
        summary="Standard val scenes with other sentences, synonyms, a second artwork and similar distractors",
        description="What is left where recognition of the standard val scenes saturates: the same 100 targets × 4 layouts, one "
        "factor changed in each split. In hard the last three are changed together. Compare splits with gf/standard@1's val "
        "episode by episode; the factor scene names it.",
        splits=tuple(shifts.SPLIT_TEXTS),
        episodes=shifted,
        decks=(EMOJI_NOTO, EMOJI_TWEMOJI),
    ),
    ROBOT_PRETRAIN: Suite(
        summary="504 scenes without emojis to pretrain on: reach, push, pick and place from other cameras and base poses",
        description="Robot data that doesn't show what the benchmark asks for: colours, shapes and digits instead of emojis, "
        "four tasks, and in every episode another camera, base pose, light, table and block. Each of 14 sets of three cards of "
        "each deck is shown with each card as the target, newly laid out, in each of reach, push and place.",
        splits=tuple(robot_pretrain.SPLIT_TEXTS),
        episodes=lambda: robot_pretrain.episodes(pretrain_draws_for),
        env=TASKS_ENV,
        decks=robot_pretrain.DECKS,
        metrics=robot_pretrain.METRICS,
        seed=PRETRAIN_SEED,
        citation=PRETRAIN_CITATION,
    ),
}
"""Id to suite, in the order in which a newcomer meets them."""


def document(suite_id: str) -> JsonObject:
    """The suite as JSON (schema ``suite-1``)."""
    suite = SUITES[suite_id]
    return {
        "schema_version": "1.0",
        "kind": "suite",
        "id": suite_id,
        "summary": suite.summary,
        "license": "Apache-2.0",
        "description": suite.description,
        "env": {"id": suite.env, "config": {}},
        "control_hz": g.CONTROL_HZ,
        "decks": {deck: locked_sha256(deck) for deck in suite.decks},
        "splits": {split: {"description": SPLIT_TEXTS[split]} for split in suite.splits},
        "metrics": list(suite.metrics),
        "generator": {"script": "gf_envs.suites.generate", "seed": suite.seed},
        "episodes": suite.episodes(),
    }
