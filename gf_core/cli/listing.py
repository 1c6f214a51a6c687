"""`gf list` and `gf show`: what plugins registered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from gf_core._discovery import LOCAL
from gf_core._problems import shorten
from gf_core.cli._common import json_option, make_host, plugin_option, print_json, print_table
from gf_core.plugins import PluginHost
from gf_core.registry import KINDS, SINGULAR, brought_by
from gf_core.specs import ActionSpec, DeckSpec, EnvSpec, PolicySpec, Spec, SuiteSpec, to_json

Facts = Iterator[tuple[str, str]]


@click.command("list")
@click.argument("kind", type=click.Choice(list(KINDS)), required=False)
@json_option
@plugin_option
def list_command(kind: str | None, as_json: bool, plugin_files: tuple[Path, ...]) -> None:
    """List what can be used, of one KIND or of all.

    \b
    Examples:
      gf list
      gf list policies
      gf list suites --json
    """
    host = make_host(plugin_files)
    kinds = list(KINDS) if kind is None else [kind]
    found = [(name, spec) for name in kinds for spec in host.registries[name].all()]
    if as_json:
        print_json("list", {"specs": [{"of": name, **to_json(spec)} for name, spec in found]})
        return
    if found:
        rows = [[spec.id, *([SINGULAR[name]] if kind is None else []), spec.summary, _notes(spec)] for name, spec in found]
        print_table(["id", *(["kind"] if kind is None else []), "summary", ""], rows)
    else:
        click.echo(f"No plugin brings {kind or 'anything'}.")
    _mention_failures(host)


@click.command("show")
@click.argument("id")
@json_option
@plugin_option
def show_command(id: str, as_json: bool, plugin_files: tuple[Path, ...]) -> None:
    """Show what is called ID: what it is, who brought it, and its settings.

    \b
    Examples:
      gf show gf/tabletop-v1
      gf show gf/expert-v1 --json
    """
    host = make_host(plugin_files)
    kind, spec = host.find(id)
    if as_json:
        print_json("spec", {"spec": {"of": kind, **to_json(spec)}})
        return
    click.echo(f"{spec.id} ({SINGULAR[kind]})\n{spec.summary}\n")
    facts = [
        (name, text) for name, text in (*_facts(spec), *(_suite_facts(spec, host) if isinstance(spec, SuiteSpec) else ())) if text
    ]
    width = max(len(name) for name, _ in facts)
    for name, text in facts:
        click.echo(f"{name.ljust(width)}  {text}")
    if spec.config_schema is not None and spec.config_schema.get("properties"):
        click.echo(f"\nSettings ({'--env-set' if isinstance(spec, EnvSpec) else '--set'} name=value)")
        print_table(
            ["name", "type", "default", "description"], [_setting(*item) for item in spec.config_schema["properties"].items()]
        )


def _notes(spec: Spec) -> str:
    notes = []
    if isinstance(spec, PolicySpec) and spec.privileged:
        notes.append("privileged")
    if isinstance(spec, SuiteSpec) and spec.ranked:
        notes.append("ranked")
    if spec.extra:
        notes.append(f"needs {spec.extra}")
    return ", ".join(notes)


def _mention_failures(host: PluginHost) -> None:
    broken = [status.name for status in host.plugins if status.state != "loaded"]
    if broken:
        click.echo(f"not loaded: {', '.join(broken)}; `gf plugins list` says why", err=True)


def _facts(spec: Spec) -> Facts:
    plugin = f", plugin {spec.provenance.plugin}" if spec.provenance else ""
    yield "from", f"{brought_by(spec)}{plugin}" if spec.provenance and spec.provenance.distribution != LOCAL else brought_by(spec)
    yield "entry point", spec.entry_point
    yield "needs", spec.extra
    yield "licence", spec.license
    yield "citation", spec.citation
    if isinstance(spec, PolicySpec):
        yield from _policy_facts(spec)
    if isinstance(spec, EnvSpec):
        yield from _env_facts(spec)
    if isinstance(spec, SuiteSpec | DeckSpec):
        yield "sha256", spec.sha256


def _suite_facts(spec: SuiteSpec, host: PluginHost) -> Facts:
    from gf_core.evaluation.suites import load_suite

    suite = load_suite(spec.id, host)
    episodes = Counter(episode.split for episode in suite.episodes)
    yield "ranked", "yes" if spec.ranked else "no"
    yield "environment", f"{suite.env} at {suite.control_hz:g} Hz"
    yield "decks", ", ".join(suite.decks)
    yield "metrics", ", ".join(metric.name for metric in suite.metrics)
    yield "episodes", f"{len(suite.episodes)}; the first is {suite.episodes[0].id}"
    for name, text in suite.splits.items():
        yield f"split {name}", f"{episodes[name]}: {text}"


def _policy_facts(spec: PolicySpec) -> Facts:
    observes = spec.observes
    yield "privileged", "yes: sees the simulator's state, never ranked" if spec.privileged else "no"
    if spec.interface:
        yield "observes", "depends on its settings"
        return
    height, width = observes.size
    history = ", ".join(map(str, observes.history))
    cameras = f"cameras {', '.join(observes.cameras)} at {height}×{width}, steps {history}" if observes.cameras else ""
    yield "observes", "; ".join(filter(None, [cameras, "proprio" if observes.proprio else ""])) or "nothing"
    yield "action", _action(spec.action) if spec.action else "adapts to the environment's"
    yield "batch", f"at most {spec.max_batch}" if spec.max_batch else ""


def _env_facts(spec: EnvSpec) -> Facts:
    yield "cameras", ", ".join(spec.cameras)
    yield "control rate", ", ".join(f"{hz:g}" for hz in spec.control_hz) + " Hz"
    yield "action", _action(spec.action)
    yield "proprio", _elements(spec.proprio.names, spec.proprio.unit)
    yield "metrics", ", ".join(metric.name for metric in spec.metrics)
    yield "replayable", "yes" if spec.replayable else "no"
    if spec.real:
        yield "real", "yes"


def _action(action: ActionSpec) -> str:
    rate = f" at {action.hz:g} Hz" if action.hz else ""
    frame = f" in the frame {action.field.frame!r}" if action.field.frame else ""
    return f"{action.representation} of {action.reference}{rate}{frame}: {_elements(action.field.names, action.field.unit)}"


def _elements(names: Sequence[str], units: Sequence[str]) -> str:
    every = [*units] * len(names) if len(units) == 1 else [*units]
    return ", ".join(f"{name} [{unit}]" for name, unit in zip(names, every, strict=False))


def _setting(name: str, schema: Any) -> list[str]:
    if not isinstance(schema, Mapping):  # true and false are schemas too
        return [name, "anything" if schema else "nothing", "", ""]
    default = shorten(json.dumps(schema["default"], ensure_ascii=False)) if "default" in schema else ""
    return [name, _type(schema), default, str(schema.get("description", ""))]


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    kind = schema.get("type", "anything")
    text = " | ".join(kind) if isinstance(kind, list) else str(kind)
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None and high is None:
        return text
    return f"{text} {'' if low is None else f'{low:g}'}..{'' if high is None else f'{high:g}'}"
