"""What is found out before the first step."""

from __future__ import annotations

import dataclasses
import json
import sys

import pytest

from gf_core.canonical import content_hash
from gf_core.errors import GrinningFaceError, MismatchError, PluginError, SchemaError, UnknownIdError
from gf_core.evaluation import Request, load_suite, make_plan
from gf_core.evaluation.matching import check_actions
from gf_core.specs import SuiteSpec

from .conftest import suite_document

A64, B64 = "a" * 64, "b" * 64


@pytest.fixture
def plan(host, write_suite):
    def make(policy: str = "local/reacher-v1", suite: str | None = None, **request):
        return make_plan(Request(suite=suite or write_suite(3), policy=policy, **request), host)

    return make


@pytest.mark.parametrize(
    ("policy", "request_", "error", "words"),
    [
        ("local/reachr-v1", {}, UnknownIdError, "did you mean 'local/reacher-v1'"),
        (
            "local/joints-v1",
            {},
            MismatchError,
            "action.representation: local/joints-v1 emits 'joint_delta' and local/reach-v1 takes",
        ),
        ("local/looker-v1", {"policy_config": {"camera": "topp"}}, MismatchError, "observes 'topp' and .* did you mean 'top'"),
        ("local/looker-v1", {"policy_config": {"history": [0, -1]}}, MismatchError, "observes.history"),
        ("local/looker-v1", {"policy_config": {"history": [0, 1]}}, MismatchError, "observes.history"),
        ("local/seer-v1", {}, MismatchError, "local/seer-v1 reads 'future' of .* local/reach-v1 gives it goal"),
        ("local/blind-seer-v1", {}, MismatchError, "reads 'goal' of .* gives it nothing"),
        ("local/reacher-v1", {"policy_config": ("chunk=many",)}, SchemaError, "--set chunk: "),
        ("local/reacher-v1", {"policy_config": ("chonk=3",)}, SchemaError, "did you mean 'chunk'"),
        ("local/reacher-v1", {"env_config": ("drift=x",)}, SchemaError, "--env-set drift: "),
        ("local/peeker-v1", {"policy_config": ("a=1",)}, SchemaError, "no settings"),
        ("local/reacher-v1", {"control_hz": 7.0}, MismatchError, "--hz wants 7 Hz and local/reach-v1 offers 20, 10"),
        ("local/reacher-v1", {"episodes": ("e01",)}, GrinningFaceError, "no episode 'e01'; did you mean 'e001'"),
    ],
)
def test_mistakes_are_explained(plan, policy, request_, error, words):
    with pytest.raises(error, match=words):
        plan(policy, **request_)


def test_rate_is_compared_where_the_environment_is_made(play, write_suite):
    with pytest.raises(MismatchError, match=r"action\.hz: local/slow-v1 emits 5.0 and local/reach-v1 takes 20.0"):
        play(write_suite(1), "local/slow-v1")


@pytest.mark.parametrize(
    ("suite", "error", "words"),
    [
        ({"env": {"id": "local/raech-v1", "config": {}}}, UnknownIdError, "did you mean 'local/reach-v1'"),
        ({"env": {"id": "local/reach-v1", "config": {"drft": 1}}}, SchemaError, "did you mean 'drift'"),
        ({"control_hz": 15}, MismatchError, r"local/reach@1 wants 15 Hz and local/reach-v1 offers 20, 10"),
        ({"decks": {"local/suit@1": A64}}, UnknownIdError, "it needs the deck 'local/suit@1'.*did you mean 'local/suits@1'"),
        ({"decks": {"local/suits@1": B64}}, MismatchError, "made with the deck 'local/suits@1' of content bbbbbbbbbbbb…"),
        ({"metrics": [{"name": "x", "metric": "neer", "description": "x"}]}, SchemaError, "did you mean 'near'"),
        ({"metrics": []}, SchemaError, "#/metrics"),
    ],
)
def test_suites_that_do_not_fit(plan, write_suite, suite, error, words):
    with pytest.raises(error, match=words):
        plan(suite=write_suite(3, **suite))


def test_every_mistake_in_the_scenes_is_named(plan, write_suite):
    suite = write_suite([{"scene": {"goal": [1]}}, {}, {"scene": {"start": "here", "gaol": 3}}])
    with pytest.raises(SchemaError) as caught:
        plan(suite=suite)
    lines = str(caught.value).splitlines()
    assert [line.split("#")[1].split(":")[0] for line in lines] == [
        "/episodes/0/scene/goal",
        "/episodes/2/scene/gaol",
        "/episodes/2/scene/start",
    ]


def test_a_decks_content_is_checked_when_it_is_loaded(play, write_suite):
    deck = {"env": {"id": "local/reach-v1", "config": {"deck": "local/unhashed@1"}}}
    assert play(write_suite(1, **deck, decks={"local/unhashed@1": A64}), out="good").run.complete
    with pytest.raises(MismatchError, match="of content bbbbbbbbbbbb…"):
        play(write_suite(1, **deck, decks={"local/unhashed@1": B64}), out="other")
    with pytest.raises(UnknownIdError, match="which the suite doesn't list"):
        play(write_suite(1, **deck), out="unlisted")


def test_the_default_directory_differs_for_every_configuration(plan):
    names = {
        plan().name,
        plan(policy_seed=1).name,
        plan(policy_config={"chunk": 2}).name,
        plan(limit=2).name,
        plan(control_hz=10.0).name,
    }
    assert len(names) == 5
    assert plan().name == plan(policy_config={"chunk": 1}).name
    assert plan().name.startswith("local.reach@1-local.reacher-v1-")


def test_bounds():
    action = sys.modules["reach"].ACTION
    here = dataclasses.replace(action, hz=20.0)

    def bounded(**sides):
        return dataclasses.replace(action, field=dataclasses.replace(action.field, **sides))

    check_actions(
        "p", bounded(low=(-0.05,) * 3, high=(0.05,) * 3), "e", dataclasses.replace(here, field=bounded(low=(-0.1,)).field)
    )
    check_actions("p", bounded(low=(), high=()), "e", here)
    with pytest.raises(
        MismatchError, match=r"action\.field\.high: p emits up to \[0.2, 0.1, 1.0\] and e takes \[0.1, 0.1, 1.0\]"
    ):
        check_actions("p", bounded(high=(0.2, 0.1, 1.0)), "e", here)
    with pytest.raises(MismatchError, match=r"action\.field\.unit"):
        check_actions("p", bounded(unit=("mm", "m", "1")), "e", here)
    with pytest.raises(MismatchError, match=r"action\.field\.shape"):
        check_actions("p", bounded(shape=(4,)), "e", here)


class FakeHost:
    """A registry with one suite in a package on disk."""

    def __init__(self, spec: SuiteSpec) -> None:
        self.suites = self
        self._spec = spec

    def get(self, id: str) -> SuiteSpec:
        return self._spec


@pytest.fixture
def package(tmp_path, monkeypatch):
    document = {**suite_document(2), "id": "acme/reach@1"}
    folder = tmp_path / "acme_suites"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "reach.json").write_text(json.dumps(document, indent=1))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield SuiteSpec(
        id="acme/reach@1", summary="s", entry_point="acme_suites:reach.json", sha256=content_hash(document), ranked=True
    )
    sys.modules.pop("acme_suites", None)


def test_a_packaged_suite(package):
    suite = load_suite("acme/reach@1", FakeHost(package))
    assert (suite.id, suite.ranked, len(suite.episodes)) == ("acme/reach@1", True, 2)


def test_a_packaged_suite_that_was_changed_is_refused(package):
    with pytest.raises(PluginError, match="was registered"):
        load_suite("acme/reach@1", FakeHost(dataclasses.replace(package, sha256=A64)))
    with pytest.raises(PluginError, match="calls itself 'acme/reach@1'"):
        load_suite("acme/other@1", FakeHost(dataclasses.replace(package, id="acme/other@1")))


def test_a_suites_file_is_local_whatever_it_calls_itself(host, tmp_path):
    path = tmp_path / "quick.json"
    path.write_text(json.dumps({**suite_document(1), "id": "gf/standard@1"}))
    suite = load_suite(str(path), host)
    assert (suite.id, suite.ranked) == ("local/standard@1", False)
    with pytest.raises(GrinningFaceError, match="there is no such file"):
        load_suite(str(tmp_path / "none.json"), host)
