"""What makes a spec invalid, and that the message says which field."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gf_core._spec_checks import CODE_ID, DATA_ID, problems
from gf_core.specs import ActionSpec, DeckSpec, EnvSpec, FieldSpec, MetricSpec, Observes, PolicySpec, SuiteSpec, to_json

FIELD = FieldSpec(name="action", shape=(2,), names=("dx", "dy"), unit=("m",), low=(-0.1,), high=(0.1, 0.2))
ACTION = ActionSpec(field=FIELD, hz=20.0, representation="ee_delta", reference="measured", rotation="none")
POLICY = PolicySpec(id="a/b-v1", summary="s", entry_point="m.n:o.p", action=ACTION)
ENV = EnvSpec(
    id="a/b-v1",
    summary="s",
    entry_point="m:o",
    action=ACTION,
    control_hz=(20, 5.0),
    controls=FIELD,
    cameras=("front",),
    proprio=FIELD,
    metrics=(MetricSpec(name="m", kind="bool", description="d"),),
)
SUITE = SuiteSpec(id="a/b@1", summary="s", entry_point="p.q:suites/a-1.json", sha256="0" * 64)
DECK = DeckSpec(id="a/b@1", summary="s", entry_point="m:o")


def changed(path: str, value: object) -> ActionSpec:
    """ACTION with one field of it, or of its FieldSpec, changed."""
    if path.startswith("field."):
        return dataclasses.replace(ACTION, field=dataclasses.replace(FIELD, **{path.removeprefix("field."): value}))
    return dataclasses.replace(ACTION, **{path: value})


@pytest.mark.parametrize(("kind", "spec"), [("policies", POLICY), ("envs", ENV), ("suites", SUITE), ("decks", DECK)])
def test_valid_specs_have_no_problems_and_are_json(kind, spec):
    assert problems(kind, spec) == []
    assert json.loads(json.dumps(to_json(spec)))["id"] == spec.id


@pytest.mark.parametrize(
    ("kind", "spec", "field", "value", "part"),
    [
        ("policies", POLICY, "id", "a/b@1", "namespace/name-vN"),
        ("policies", POLICY, "id", "a/" + "b" * 99 + "-v1", "100 characters"),
        ("policies", POLICY, "id", 3, "id is 3, which is not a str"),
        ("policies", POLICY, "summary", "", "summary"),
        ("policies", POLICY, "summary", "two\nlines", "summary"),
        ("policies", POLICY, "summary", "\x1b[31mred", "summary"),
        ("policies", POLICY, "entry_point", "no_colon", "module:attr"),
        ("policies", POLICY, "entry_point", "os:system('x')", "module:attr"),
        ("policies", POLICY, "doctor", "x", "doctor"),
        ("policies", POLICY, "interface", "x", "interface"),
        ("policies", POLICY, "privileged", 1, "privileged is 1, which is not a bool"),
        ("policies", POLICY, "max_batch", True, "max_batch is True, which is not a int"),
        ("policies", POLICY, "max_batch", -1, "max_batch"),
        ("policies", POLICY, "observes", Observes(cameras=["front"]), "observes.cameras is ['front'], which is not a tuple"),
        ("policies", POLICY, "observes", Observes(size=(224,)), "observes.size has 1 elements, not 2"),
        ("policies", POLICY, "observes", Observes(history=(1,)), "observes.history"),
        ("policies", POLICY, "action", "ee_delta", "action is 'ee_delta', which is not a ActionSpec"),
        ("policies", POLICY, "action", changed("representation", "ee_dleta"), "did you mean 'ee_delta'"),
        ("policies", POLICY, "action", changed("field.dtype", "float23"), "action.field.dtype"),
        ("policies", POLICY, "action", changed("field.names", ("x", "y", "z")), "action.field.names has 3 elements"),
        ("policies", POLICY, "action", changed("field.shape", (0,)), "action.field.shape"),
        ("policies", POLICY, "action", changed("field.low", (1.0, 2.0, 3.0)), "action.field.low has 3 elements"),
        ("policies", POLICY, "action", changed("field.low", (0.2,)), "action.field.low is (0.2,), which isn't at most"),
        ("policies", POLICY, "action", changed("field.high", (float("nan"),)), "action.field.high, (nan,)"),
        ("policies", POLICY, "config_schema", {"type": "array"}, "config_schema#/type"),
        ("policies", POLICY, "config_schema", {"type": "object", "default": {1, 2}}, "config_schema"),
        ("policies", POLICY, "config_schema", {"$schema": "http://json-schema.org/draft-07/schema#"}, "config_schema"),
        ("envs", ENV, "control_hz", (), "control_hz"),
        ("envs", ENV, "control_hz", (20.0, 0.0), "control_hz"),
        ("envs", ENV, "control_hz", (10.0,), "action.hz is 20, which control_hz doesn't offer"),
        ("envs", ENV, "cameras", ("a", "a"), "cameras repeats a name"),
        ("envs", ENV, "metrics", (MetricSpec(name="m", kind="complex", description="d"),), "metrics[0].kind is 'complex'"),
        ("envs", ENV, "scene_schema", {"type": "objekt"}, "scene_schema"),
        ("suites", SUITE, "id", "a/b-v1", "namespace/name@N"),
        ("suites", SUITE, "sha256", "", "sha256"),
        ("suites", SUITE, "entry_point", "p:../../etc/passwd.json", "package:path/inside/package.json"),
        ("suites", SUITE, "entry_point", "p:/etc/passwd.json", "package:path/inside/package.json"),
        ("suites", SUITE, "entry_point", "p:a/../b.json", "package:path/inside/package.json"),
        ("decks", DECK, "sha256", "abc", "sha256"),
    ],
)
def test_what_is_wrong_is_named(kind, spec, field, value, part):
    found = problems(kind, dataclasses.replace(spec, **{field: value}))
    assert len(found) == 1
    assert part in found[0]
    assert found[0].isprintable()


def test_a_subclass_is_not_the_class():
    class MySpec(PolicySpec):
        pass

    (problem,) = problems("policies", MySpec(id="a/b-v1", summary="s", entry_point="m:o"))
    assert "takes a PolicySpec" in problem


names = st.lists(st.text("abz019", min_size=1, max_size=5), min_size=1, max_size=4).map("-".join)


@given(names, names, st.integers(0, 10**6))
def test_ids_of_code_and_data_exclude_each_other(namespace: str, name: str, version: int):
    code, data = f"{namespace}/{name}-v{version}", f"{namespace}/{name}@{version}"
    assert CODE_ID.fullmatch(code)
    assert DATA_ID.fullmatch(data)
    assert not DATA_ID.fullmatch(code)
    assert not CODE_ID.fullmatch(data)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda s: st.lists(s) | st.tuples(s, s)))
def test_no_value_of_a_field_breaks_the_check(value: Any):
    for field in ("id", "summary", "entry_point", "config_schema", "observes", "action", "max_batch"):
        found = problems("policies", dataclasses.replace(POLICY, **{field: value}))
        assert all(problem.isprintable() for problem in found)
