"""The conformance kit: what every plugin has to do, tried out on what one registers. `gf plugins check` runs it.

In a test::

    from gf_core.testing import PluginKit

    class TestMine(PluginKit):
        plugin = "acme-vla"
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import SkipTest

import numpy as np

from gf_core._loader import NO_HOOK
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.environment import load_deck
from gf_core.evaluation.matching import check_scenes
from gf_core.evaluation.returned import described
from gf_core.evaluation.suites import Suite, load_suite
from gf_core.registry import load_object
from gf_core.schemas import apply_settings
from gf_core.specs import BackboneSpec, EnvSpec, HeadSpec, PolicySpec, Spec, TechniqueSpec
from gf_core.testing.env_checks import check_env
from gf_core.testing.findings import CHECKS, KitFinding, skipped, tried
from gf_core.testing.policy_checks import check_policy

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost, PluginStatus

SUITE = "gf/smoke@1"
"""What policies are tried on, unless told otherwise."""


def check_plugin(
    name: str,
    host: PluginHost,
    *,
    suite: str = SUITE,
    settings: Mapping[str, Sequence[str]] | None = None,
) -> list[KitFinding]:
    """Hold a plugin, or every plugin of a distribution, against the kit.

    Args:
        name: of the plugin, or of its distribution.
        host: the plugins.
        suite: what policies are tried on: its first episodes. Those that don't fit it are tried on suites of the plugin.
        settings: id to ``KEY=VALUE`` texts, for what has settings without defaults.

    Returns:
        Every check that concerns what it brings.

    Raises:
        GrinningFaceError: there is no such plugin or suite.
    """
    given = settings or {}
    brought = [spec_id for status in host.named(name) for spec_id in status.ids if spec_id in host.suites]
    suites = [load_suite(suite, host)]
    for one in brought:
        with contextlib.suppress(GrinningFaceError):  # GF541 tells
            suites.append(load_suite(one, host))
    findings: list[KitFinding] = []
    for status in host.named(name):
        findings += _loading(status)
        for spec_id in status.ids:
            kind, spec = host.find(spec_id)
            findings += _imports(spec)
            found = list(_settings(spec, given.get(spec_id, ())))
            findings += found
            if all(one.outcome == "pass" for one in found):
                findings += _behaviour(kind, spec, host, suites, given.get(spec_id, ()))
    return findings


def _behaviour(kind: str, spec: Spec, host: PluginHost, suites: Sequence[Suite], settings: Sequence[str]) -> list[KitFinding]:
    if isinstance(spec, PolicySpec):
        return check_policy(spec, host, suites, settings=settings)
    if isinstance(spec, EnvSpec):
        return check_env(spec, host, suites)
    if isinstance(spec, TechniqueSpec | HeadSpec | BackboneSpec):
        return _training_part(spec, host, settings)
    if kind == "decks":
        return [tried("GF531", spec.id, lambda: _deck(spec, host))]
    if kind == "suites":
        return [tried("GF541", spec.id, lambda: _suite(spec, host))]
    return []


def _training_part(spec: TechniqueSpec | HeadSpec | BackboneSpec, host: PluginHost, settings: Sequence[str]) -> list[KitFinding]:
    """Tried on a small policy, whose tensors are so small that a second thread only gets in the way."""
    try:
        import torch

        from gf_core.testing.backbone_checks import check_backbone
        from gf_core.testing.head_checks import check_head
        from gf_core.testing.technique_checks import check_technique
    except ImportError as error:
        code = {"TechniqueSpec": "GF551", "HeadSpec": "GF561", "BackboneSpec": "GF571"}[type(spec).__name__]
        return skipped([code], spec.id, f"trying it needs grinningface[train] ({error})")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if isinstance(spec, TechniqueSpec):
            return check_technique(spec, host, settings=settings)
        if isinstance(spec, HeadSpec):
            return check_head(spec, host, settings=settings)
        return check_backbone(spec, host, settings=settings)
    finally:
        torch.set_num_threads(threads)


def _loading(status: PluginStatus) -> Iterator[KitFinding]:
    reason = "" if status.state == "loaded" else f"{status.state}: {status.reason}"
    if NO_HOOK in status.warnings:
        reason = f"{NO_HOOK}; does {status.source!r} name the module that has them?"
    yield KitFinding(code="GF501", subject=status.name, outcome="fail" if reason else "pass", detail=reason)
    slow = "; ".join(warning for warning in status.warnings if warning.startswith("loading it"))
    yield KitFinding(code="GF502", subject=status.name, outcome="fail" if slow else "pass", detail=slow)


def _imports(spec: Spec) -> Iterator[KitFinding]:
    names = [spec.entry_point] if ":" in spec.entry_point and "/" not in spec.entry_point else []  # a suite's is a file
    names += [getattr(spec, name) for name in ("interface", "doctor", "scene_check", "challenge") if getattr(spec, name, "")]

    def load() -> None:
        for name in names:
            load_object(spec, name)

    yield tried("GF503", spec.id, load)


def _settings(spec: Spec, given: Sequence[str]) -> Iterator[KitFinding]:
    if spec.config_schema is None:
        return

    def apply() -> None:
        apply_settings(tuple(given), spec.config_schema, source="settings")

    finding = tried("GF504", spec.id, apply)
    if finding.outcome == "fail" and not given and spec.config_schema.get("required"):
        needed = ", ".join(spec.config_schema["required"])
        finding = dataclasses.replace(finding, outcome="skip", detail=f"it needs settings: {needed} (--set {spec.id}:KEY=VALUE)")
    yield finding


def _deck(spec: Spec, host: PluginHost) -> str | None:
    deck = load_deck(spec.id, host)
    digest = getattr(spec, "sha256", "")
    if not digest:
        return "its spec has no sha256, so nobody can tell whether it has changed"
    if deck.sha256 != digest:
        return f"its content has the hash {deck.sha256[:12]}…, and its spec says {digest[:12]}…"
    if deck.id != spec.id:
        return f"it calls itself {deck.id!r}"
    for name, item in deck.items.items():
        if name != item.id or not item.label.strip() or not item.split.strip():
            return f"the item {name!r} lacks its id, a label or a split"
        image = deck.image(name)
        if image.ndim != 3 or image.shape[2] != 4 or image.dtype != np.uint8:
            return f"the picture of {name!r} is {described(image)}, not uint8 (H, W, 4)"
    return None if deck.items else "it has no item"


def _suite(spec: Spec, host: PluginHost) -> str | None:
    suite = load_suite(spec.id, host)
    check_scenes(host.envs.get(suite.env), suite.episodes, source=suite.source)
    for deck, digest in suite.decks.items():
        known = host.decks.get(deck).sha256
        if known and known != digest:
            return f"it was made with {deck} of content {digest[:12]}…, and the installed one is {known[:12]}…"
    return None


class PluginKit:
    """The kit as a test: derive from it in a class that pytest collects, and name the plugin.

    Attributes:
        plugin: its name, or that of its distribution.
        files: plugin files to load.
        suite: what policies are tried on.
        settings: id to ``KEY=VALUE`` texts.
    """

    plugin: str = ""
    files: Sequence[Path] = ()
    suite: str = SUITE
    settings: Mapping[str, Sequence[str]] = {}

    def test_the_kit(self) -> None:
        """Every check passes. Skipped, with the reasons, if nothing that it brings could be tried."""
        from gf_core.plugins import load_plugins

        found = check_plugin(self.plugin, load_plugins(self.files), suite=self.suite, settings=self.settings)
        wrong = [f"{one.code} {one.subject}: {one.detail}" for one in found if one.outcome == "fail"]
        assert not wrong, "\n".join(wrong)
        untried = dict.fromkeys(one.detail for one in found if one.outcome == "skip")
        if untried and all(one.outcome == "skip" for one in found if one.code > "GF504"):
            raise SkipTest("; ".join(untried))


__all__ = ["CHECKS", "KitFinding", "PluginKit", "check_env", "check_plugin", "check_policy"]
