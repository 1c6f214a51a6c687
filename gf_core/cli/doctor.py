"""`gf doctor`: what this machine lacks, and how to get it."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import click

from gf_core import __version__
from gf_core._discovery import LOCAL, normalised, stdout_to_stderr
from gf_core._loader import OWN_DISTRIBUTION
from gf_core.cli._common import json_option, make_host, plugin_option, print_json
from gf_core.contracts import Finding
from gf_core.plugins import PluginHost, PluginStatus
from gf_core.registry import load_object, one_line
from gf_core.specs import Spec, to_json


@click.command("doctor")
@json_option
@plugin_option
def command(as_json: bool, plugin_files: tuple[Path, ...]) -> int:
    """Say what this machine lacks and how to get it. Exits with 2 if something that is needed is missing.

    \b
    Example:
      gf doctor
    """
    host = make_host(plugin_files, strict=False)
    findings = [*_machine(), *_plugins(host), *_specs(host)]
    ok = all(finding.ok or not finding.required for finding in findings)
    if as_json:
        print_json("doctor", {"ok": ok, "findings": to_json(findings)})
    else:
        for finding in findings:
            click.echo(_line(finding))
        click.echo("Everything that is needed is here." if ok else "Something that is needed is missing.")
    return 0 if ok else 2


def _machine() -> Iterator[Finding]:
    yield Finding(name="grinningface", ok=True, detail=__version__)
    yield Finding(name="Python", ok=True, detail=f"{platform.python_implementation()} {platform.python_version()}")
    yield Finding(name="platform", ok=True, detail=platform.platform())


def _plugins(host: PluginHost) -> Iterator[Finding]:
    for status in host.plugins:
        broken = status.state in ("failed", "incompatible")
        yield Finding(
            name=f"plugin {status.name} ({status.distribution} {status.version})".replace(" )", ")"),
            ok=not broken,
            detail=f"{status.state}: {status.reason}" if status.reason else status.state,
            fix=_mend(status) if broken else "",
            required=normalised(status.distribution) == OWN_DISTRIBUTION,
        )
        for warning in status.warnings:
            yield Finding(name=f"plugin {status.name}", ok=False, detail=warning, required=False)
    for warning in host.warnings:
        yield Finding(name="environment", ok=False, detail=warning, required=False)


def _mend(status: PluginStatus) -> str:
    if status.distribution == LOCAL:
        return f"correct {status.source}"
    return f"reinstall or update {status.distribution}, or set GF_DISABLE_PLUGINS={status.name}"


def _specs(host: PluginHost) -> Iterator[Finding]:
    """What every spec's own doctor says; one that several specs share is asked once."""
    doctors: dict[str, Spec] = {}
    for registry in host.registries.values():
        for spec in registry:
            if spec.doctor:
                doctors.setdefault(spec.doctor, spec)
    for reference, spec in doctors.items():
        try:
            with stdout_to_stderr():
                findings = list(load_object(spec, reference)())
            if not all(isinstance(finding, Finding) for finding in findings):
                raise TypeError(f"{reference} doesn't return findings")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # recorded as a finding
            findings = [Finding(name=f"doctor of {spec.id}", ok=False, detail=one_line(error), fix="report it to its author")]
        yield from findings


def _line(finding: Finding) -> str:
    mark = "ok  " if finding.ok else "FAIL" if finding.required else "warn"
    return f"{mark}  {finding.name}: {finding.detail}" + (f"\n      fix: {finding.fix}" if finding.fix and not finding.ok else "")
