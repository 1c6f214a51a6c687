"""The demonstrator errs on purpose, says where, and recovers; without errors it is the expert."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gf_core.errors import MismatchError
from gf_core.evaluation import Request, Resources, run_suite
from gf_core.plugins import PluginHost, load_plugins
from gf_core.runs import read_run
from gf_core.training.demos.filming import Cameras
from gf_core.training.lerobot import RobotDataset
from gf_core.training.samples import Wanted

from .recorded import plugins, record_few

TINY = Cameras(names=("third",), size=(16, 16), format="png")

OWN = """
from dataclasses import replace

from gf_core.hookspecs import hookimpl
from gf_core.specs import Observes
from gf_policies.demonstrator import make_demonstrator
from gf_policies.plugin import POLICIES

gf_api_version = 1


@hookimpl
def gf_register_policies(register):
    spec = next(spec for spec in POLICIES if spec.id == "gf/demonstrator-v1")
    told = replace(spec, id="local/told-v1", entry_point=f"{__name__}:told", observes=Observes(proprio=True))
    register(told)
    register(replace(told, id="local/untold-v1", entry_point=f"{__name__}:untold", observes=Observes(proprio=False)))
    register(replace(told, id="local/looking-v1", observes=Observes(cameras=("third",))))
    register(replace(told, id="local/outside-v1", privileged=False, reads=()))


def told(config, context):
    return _checked(make_demonstrator(config, context), proprio=True)


def untold(config, context):
    return _checked(make_demonstrator(config, context), proprio=False)


def _checked(demonstrator, proprio):
    act = demonstrator.act

    def check_and_act(observation):
        assert (observation.proprio is not None) == proprio
        assert not proprio or len(observation.proprio) == len(observation.slots)
        return act(observation)

    demonstrator.act = check_and_act
    return demonstrator
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> PluginHost:
    """The plugins with demonstrators that observe something else than the shipped one."""
    file = tmp_path_factory.mktemp("own") / "own_demonstrators.py"
    file.write_text(OWN)
    return load_plugins([file])


def test_without_errors_it_is_the_expert_bit_for_bit(demos: Path, tmp_path: Path) -> None:
    request = Request(suite="gf/smoke@1", policy="gf/demonstrator-v1", limit=3)
    run = run_suite(request, host=plugins(), out=tmp_path / "run", resources=Resources(in_process=True)).run
    expert = read_run(demos / ".run")
    assert [row["trajectory_sha256"] for row in run.records] == [row["trajectory_sha256"] for row in expert.records]


@pytest.fixture(scope="module")
def erring(tmp_path_factory: pytest.TempPathFactory) -> RobotDataset:
    out = tmp_path_factory.mktemp("erring") / "demos"
    settings = ("retries=1", "perturb=1")
    found = record_few(
        out, cameras=TINY, policy="gf/demonstrator-v1", policy_config=settings, limit=4, env_config=("render=fast",)
    )
    assert found.episodes == 4
    return RobotDataset(out)


def test_errors_come_first_and_are_marked(erring: RobotDataset) -> None:
    for owner, episode in enumerate(erring.episodes):
        actions, imitate = erring.chunk(owner, 0, episode.length)
        begins = int(np.argmax(imitate))
        assert 20 < begins < episode.length - 40
        assert not imitate[:begins].any()
        assert imitate[begins:].all()
        closed = actions[:, 6] == 0
        assert closed[:begins].any(), "it closes beside the cube"
        assert not closed[begins : begins + 3].any(), "and opens again first thing"
        assert closed[begins:].any(), "and grips in the end"
    assert len({erring.chunk(owner, 0, 1)[0].tobytes() for owner in range(4)}) == 4, "random starts differ"


def test_an_unnoticed_miss_goes_on_with_an_empty_gripper_and_is_not_to_be_imitated(erring: RobotDataset, tmp_path: Path) -> None:
    out = tmp_path / "demos"
    settings = ("retries=1", "perturb=1", "unnoticed=1")
    record_few(out, cameras=TINY, policy="gf/demonstrator-v1", policy_config=settings, limit=4, env_config=("render=fast",))
    later = RobotDataset(out)
    for owner, episode in enumerate(later.episodes):
        before, noticed = erring.chunk(owner, 0, erring.episodes[owner].length)
        actions, imitate = later.chunk(owner, 0, episode.length)
        first, begins = int(np.argmax(noticed)), int(np.argmax(imitate))
        assert np.array_equal(actions[:first], before[:first]), "the same miss"
        assert first < begins <= first + 45
        assert imitate[begins:].all()
        assert np.linalg.norm(actions[first:begins, :3], axis=1).max() > 0.01, "it goes on"
        assert (actions[first : first + 1, 6] == 0).all(), "with a closed gripper"
        opens = begins + int(np.argmax(actions[begins:, 6] == 1))
        down = begins + int(np.argmax(actions[begins:, 2] < -0.005))
        assert opens == begins or down - 3 <= opens <= down, "and opens above the cube"
        assert (actions[opens:down, 6] == 1).all()
    assert len({int(np.argmax(later.chunk(o, 0, e.length)[1])) for o, e in enumerate(later.episodes)}) > 1


def test_marked_frames_are_no_samples_but_can_be_read(erring: RobotDataset) -> None:
    owners = [erring.locate(index) for index in range(len(erring))]
    assert len(erring) == sum(int(erring.chunk(o, 0, e.length)[1].sum()) for o, e in enumerate(erring.episodes))
    assert all(erring.chunk(owner, frame, 1)[1][0] for owner, frame in owners)
    sample = erring.at(0, 0, Wanted(horizon=4))
    assert sample.action_mask is not None
    assert not sample.action_mask.any()
    assert erring.conventions is not None
    assert erring.conventions.action_statistics.count == len(erring)
    assert erring.conventions.proprio_statistics.count == sum(episode.length for episode in erring.episodes)


def test_what_goes_wrong_depends_on_the_seed_alone(erring: RobotDataset, tmp_path: Path) -> None:
    settings = ("retries=1", "perturb=1")
    for seed, same in ((0, True), (1, False)):
        request = Request(
            suite="gf/smoke@1", policy="gf/demonstrator-v1", policy_config=settings, policy_seed=seed, episodes=("id-u1f4aa-0",)
        )
        run = run_suite(request, host=plugins(), out=tmp_path / str(seed), resources=Resources(in_process=True)).run
        actions = run.trajectory("id-u1f4aa-0").actions
        assert np.array_equal(actions, erring.chunk(1, 0, erring.episodes[1].length)[0]) is same


@pytest.mark.parametrize("policy", ["local/told-v1", "local/untold-v1"])
def test_a_demonstrator_is_told_the_state_as_in_the_run(policy: str, own: PluginHost, tmp_path: Path) -> None:
    asked = {"policy": policy, "policy_config": ("retries=1",), "limit": 1, "env_config": ("render=fast",)}
    found = record_few(tmp_path / "out", cameras=TINY, host=own, **asked)
    assert len(RobotDataset(tmp_path / "out")) < found.frames


@pytest.mark.parametrize(
    ("policy", "why"), [("local/looking-v1", "it looks through cameras"), ("local/outside-v1", "it isn't privileged")]
)
def test_a_demonstrator_that_cannot_be_asked_is_refused_before_the_run(
    policy: str, why: str, own: PluginHost, tmp_path: Path
) -> None:
    with pytest.raises(MismatchError, match=f"{policy}: it knows which of its actions aren't to be imitated.*: {why}"):
        record_few(tmp_path / "out", cameras=TINY, host=own, policy=policy, limit=1)
    assert not (tmp_path / "out").exists()
