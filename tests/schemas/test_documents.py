"""Kinds, versions, migrations, rules, and the schemas themselves."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest

from gf_core import contracts, plugins, registry, schemas, specs
from gf_core.errors import SchemaError

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
ALL = [(kind, major) for kind, majors in schemas.kinds().items() for major in majors]
ANNOTATIONS = {"$ref", "description", "examples", "title"}


def suite() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((GOLDEN / "suite-1" / "valid-minimal.json").read_text(encoding="utf-8"))
    return document


def message(document: object, kind: str = "suite", **more: Any) -> str:
    with pytest.raises(SchemaError) as caught:
        schemas.validate(document, kind, source="s", **more)
    return str(caught.value)


def nodes(node: object, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from nodes(value, f"{path}/{key}")
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from nodes(item, f"{path}/{index}")


@pytest.mark.parametrize(("kind", "major"), ALL)
def test_schemas_are_valid_and_say_who_they_are(kind: str, major: int) -> None:
    schema = schemas.load_schema(kind, major)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:grinningface:schema:{kind}:{major}"
    assert schema["x-version"].split(".")[0] == str(major)


@pytest.mark.parametrize(("kind", "major"), ALL)
def test_references_are_packaged_and_have_only_annotations_beside_them(kind: str, major: int) -> None:
    known = {f"urn:grinningface:schema:{k}:{m}": schemas.load_schema(k, m) for k, m in ALL}
    schema = schemas.load_schema(kind, major)
    for path, node in nodes(schema):
        if "$ref" in node:
            uri, _, name = node["$ref"].partition("#/$defs/")
            assert name in (known[uri] if uri else schema)["$defs"], path
            assert set(node) <= ANNOTATIONS, path


@pytest.mark.parametrize(("kind", "major"), ALL)
def test_every_property_is_described(kind: str, major: int) -> None:
    schema = schemas.load_schema(kind, major)
    described = set()
    for path, node in nodes(schema):
        for name, sub in node.get("properties", {}).items() if not path.endswith("/properties") else ():
            if not isinstance(sub, dict) or (path.startswith("/oneOf/") and name in described) or "/if" in path:
                continue  # said where the property was described: at the root, or in the definition of a condition
            target = schema["$defs"][sub["$ref"].rpartition("/")[2]] if sub.get("$ref", "").startswith("#") else {}
            text = sub.get("description", target.get("description", ""))
            assert len(text) >= 8, f"{path}/properties/{name}"
            if not path:
                described.add(name)


@pytest.mark.parametrize(("kind", "major"), ALL)
def test_every_older_major_has_a_migration(kind: str, major: int) -> None:
    assert major == schemas.kinds()[kind][-1] or (kind, major) in schemas.MIGRATIONS


def test_the_reference_is_up_to_date() -> None:
    written = (ROOT / "docs" / "schemas.md").read_text(encoding="utf-8")
    assert written == schemas.describe_all(), "run: python -m gf_core.schemas --write docs/schemas.md"


def test_the_reference_names_every_field_and_rule() -> None:
    text = schemas.describe_all()
    assert all(f"## {kind} " in text for kind in schemas.kinds())
    assert all(f"| {code} |" in text for code in schemas.RULES)
    suite_text = schemas.describe("suite")
    for field in (
        "schema_version",
        "env.config",
        "splits.*.description",
        "episodes[].instruction[].from_step",
        "metrics[].given",
    ):
        assert f"| `{field}` |" in suite_text


def test_the_reference_is_written_by_a_command(tmp_path: Path) -> None:
    page = tmp_path / "schemas.md"
    command = [sys.executable, "-m", "gf_core.schemas", "--write", str(page)]
    subprocess.run(command, check=True, timeout=60)
    assert page.read_text(encoding="utf-8") == schemas.describe_all()


def test_importing_schemas_imports_no_validator() -> None:
    code = "import sys, gf_core.schemas; assert not {'jsonschema', 'referencing', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_unknown_kinds_and_versions() -> None:
    assert message({}, "suit") == "there is no kind of document 'suit'; did you mean 'suite'?"
    with pytest.raises(SchemaError, match="there is no version 9 of suite; known are 1"):
        schemas.load_schema("suite", 9)
    assert message(7) == "s#: expected an object, found 7; a suite document is an object"
    assert message({**suite(), "schema_version": "01.0"}).startswith("s#/schema_version: '01.0' isn't a version")


def test_find_problems_tells_the_place_and_the_code_of_each() -> None:
    document = suite()
    document["episodes"][1]["id"] = document["episodes"][0]["id"]
    assert schemas.find_problems(suite(), "suite") == []
    (problem,) = schemas.find_problems(document, "suite")
    assert (problem.path, problem.code) == (("episodes", 1, "id"), "GF101")


def test_indices_are_sorted_as_numbers_and_lists_of_problems_end() -> None:
    document = suite()
    document["episodes"] = [{**document["episodes"][0], "id": f"e{i}", "seed": None} for i in range(12)]
    lines = message(document).splitlines()
    assert [line.split(":")[0] for line in lines] == [f"s#/episodes/{i}/seed" for i in range(12)]
    document["episodes"] = [{**document["episodes"][0], "id": f"e{i}"} for i in range(3000)]
    lines = message(document).splitlines()
    assert len(lines) == schemas.MAX_PROBLEMS + 1
    assert lines[-1] == "s: these are the first 1000 problems; there may be more"


def test_long_keys_and_many_names_are_not_compared() -> None:
    key = "summary" * (1 << 20)  # finding what is close to this would take gigabytes
    assert message({**suite(), key: 1}).startswith(
        f"s#/{key[:53]}…{key[-20:]}: unknown key; known here: schema_version, kind, id"
    )
    document = suite()
    document["splits"] = {f"s{i}": {"description": "One of many."} for i in range(5000)}
    document["episodes"] = [{**document["episodes"][0], "id": f"e{i}", "split": f"t{i}"} for i in range(5000)]
    first = message(document).splitlines()[0]
    assert first.startswith("[GF102] s#/episodes/0/split: the split 't0' isn't declared in splits; declared are s0, s1, ")
    assert first.endswith(", s19, and 4,980 more")


def test_a_newer_minor_may_have_more_fields_but_no_wrong_ones() -> None:
    document = {**suite(), "schema_version": "1.9", "novelty": 1}
    schemas.validate(document, "suite", source="s")
    document["control_hz"] = "20"
    assert message(document) == "s#/control_hz: expected a number, found '20'; remove the quotes"


def test_load_document(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(suite()), encoding="utf-8")
    assert schemas.load_document(file, "suite") == suite()
    file.write_text(json.dumps({**suite(), "license": 1}), encoding="utf-8")
    with pytest.raises(SchemaError) as caught:
        schemas.load_document(file, "suite")
    assert str(caught.value).startswith(f"{file}#/license: expected a string, found 1")


def test_migrations_lead_step_by_step_to_the_newest_major(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for major in (1, 2, 3):
        properties = {"schema_version": {"type": "string"}, "kind": {"const": "toy"}, f"v{major}": {"type": "integer"}}
        schema = {"required": [*properties], "properties": properties, "additionalProperties": False, "x-version": f"{major}.0"}
        (tmp_path / f"toy-{major}.schema.json").write_text(json.dumps(schema), encoding="utf-8")

    def step(major: int, add: int) -> Any:
        def migrate(document: dict[str, Any]) -> dict[str, Any]:
            return {"schema_version": f"{major + 1}.0", "kind": "toy", f"v{major + 1}": document.pop(f"v{major}") + add}

        return migrate

    monkeypatch.setattr(schemas, "_folder", lambda: tmp_path)
    monkeypatch.setattr(schemas, "MIGRATIONS", {("toy", 1): step(1, 10), ("toy", 2): step(2, 100)})
    for cached in (schemas.kinds, schemas._schema, schemas._validator):
        cached.cache_clear()
    try:
        old = {"schema_version": "1.0", "kind": "toy", "v1": 1}
        kept = copy.deepcopy(old)
        schemas.validate(old, "toy", source="s")
        assert schemas.migrate(old, "toy", source="s") == {"schema_version": "3.0", "kind": "toy", "v3": 111}
        assert old == kept
        assert schemas.migrate({**old, "schema_version": "3.0"}, "toy", source="s")["v1"] == 1
        monkeypatch.setattr(schemas, "MIGRATIONS", {("toy", 1): step(1, 10), ("toy", 2): lambda document: document})
        with pytest.raises(SchemaError, match=r"s \(migrated to toy 3\)#.*'v3' is missing"):
            schemas.migrate(old, "toy", source="s")
        text = message({**old, "schema_version": "4.1"}, "toy")
        assert "toy documents of version 4.1 aren't known; known are 1.x, 2.x, 3.x; a newer GrinningFace may" in text
    finally:
        for cached in (schemas.kinds, schemas._schema, schemas._validator):
            cached.cache_clear()


def test_rules_have_stable_codes_and_known_kinds() -> None:
    assert list(schemas.RULES) == sorted(schemas.RULES)
    for code, rule in schemas.RULES.items():
        assert code == rule.code
        assert rule.kind in schemas.kinds()
        assert code[:3] == {"suite": "GF1", "deck": "GF2"}[rule.kind]


def test_every_rule_is_broken_by_a_golden_document() -> None:
    shown = "".join(p.read_text(encoding="utf-8") for p in GOLDEN.glob("*/invalid-*.txt"))
    assert [code for code, rule in schemas.RULES.items() if rule.check and f"[{code}]" not in shown] == []


def test_metrics_that_the_environment_does_not_report() -> None:
    document = suite()
    schemas.check_suite_metrics(document, ["executed", "success_on_card"], "s")
    with pytest.raises(SchemaError) as caught:
        schemas.check_suite_metrics(document, ["executes"], "s")
    assert str(caught.value).splitlines() == [
        "[GF107] s#/metrics/1/metric: the environment gf/tabletop-v1 reports no 'executed'; did you mean 'executes'?",
        "[GF107] s#/metrics/2/given: the environment gf/tabletop-v1 reports no 'executed'; did you mean 'executes'?",
        "[GF107] s#/metrics/2/metric: the environment gf/tabletop-v1 reports no 'success_on_card'; did you mean 'success'?",
    ]


def fields(of: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(of)}


def test_the_spec_schema_says_what_the_specs_say() -> None:
    defs = schemas.load_schema("spec")["$defs"]
    spec = defs["spec"]
    for kind, of in registry.KINDS.items():
        own = {
            name for rule in spec["allOf"] if rule["if"]["properties"]["of"]["const"] == kind for name in rule["then"]["required"]
        }
        assert {"of", *fields(of)} == {*spec["required"], *own}, kind
    pairs = {
        "field": specs.FieldSpec,
        "action": specs.ActionSpec,
        "observes": specs.Observes,
        "metric": specs.MetricSpec,
        "provenance": specs.Provenance,
    }
    for name, of in pairs.items():
        assert set(defs[name]["properties"]) == set(defs[name]["required"]) == fields(of), name
    action = defs["action"]["properties"]
    assert tuple(action["representation"]["enum"]) == get_args(specs.Representation)
    assert tuple(action["reference"]["enum"]) == get_args(specs.Reference)
    assert tuple(action["rotation"]["enum"]) == get_args(specs.Rotation)
    assert spec["properties"]["of"]["enum"] == list(registry.KINDS)


def test_the_schemas_of_listings_say_what_is_listed() -> None:
    plugin = schemas.load_schema("plugins")["properties"]["plugins"]["items"]
    assert set(plugin["properties"]) == set(plugin["required"]) == fields(plugins.PluginStatus)
    assert tuple(plugin["properties"]["state"]["enum"]) == get_args(plugins.State)
    finding = schemas.load_schema("doctor")["properties"]["findings"]["items"]
    assert set(finding["properties"]) == set(finding["required"]) == fields(contracts.Finding)


def test_every_document_that_a_command_prints_has_a_schema() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "gf_core" / "cli").glob("*.py")]
    printed = {kind for text in sources for kind in re.findall(r'print_json\(\s*"([a-z_]+)"', text)}
    assert len(printed) >= 5
    assert printed <= set(schemas.kinds())


def test_what_the_commands_print_is_valid() -> None:
    from click.testing import CliRunner

    from gf_core.cli.listing import list_command as listing
    from gf_core.cli.plugins import list_command as plugin_listing

    for command, kind in ((listing, "list"), (plugin_listing, "plugins")):
        printed = CliRunner().invoke(command, ["--json"])
        assert printed.exit_code == 0, printed.output
        schemas.validate(schemas.parse_json(printed.stdout.encode(), source=kind), kind, source=kind)
    for spec in json.loads(CliRunner().invoke(listing, ["--json"]).stdout)["specs"]:
        schemas.validate({"schema_version": "1.0", "kind": "spec", "spec": spec}, "spec", source=spec["id"])


def test_what_a_report_says_is_valid() -> None:
    from gf_core.reporting.document import to_document
    from gf_core.reporting.model import RunReport
    from gf_core.summary import MetricDecl, summarize, tally

    def row(cluster: int, executed: bool, success: bool) -> dict[str, object]:
        metrics = {"executed": executed, "slip": 0.0001}
        ending = {"ending": "success" if success else "horizon", "steps": 100, "clipped_steps": 0, "metrics": metrics}
        return {"split": "val", "cluster": f"c{cluster}", "success": success, **ending}

    rows = [row(i, i % 3 > 0, i % 3 > 1) for i in range(9)]
    given = MetricDecl(name="recognition", metric="success", given="executed", chance=1 / 3)
    reports = [
        RunReport(
            path="runs/a", suite="gf/quick@1", suite_sha256="0" * 64, split_notes={}, policy="gf/null-v1", settings={"a": 1},
            privileged=False, marks=("privileged",), recorded=9, planned=9, complete=True, valid=True,
            splits=tuple(summarize(rows, [given])), tally=tally(rows),
        )
    ]  # fmt: skip
    document = json.loads(json.dumps({"schema_version": "1.0", "kind": "report", **to_document(reports)}))
    schemas.validate(document, "report", source="report")
    assert document["runs"][0]["splits"][0]["overall"] is not None
