"""What authors of plugins test with."""

from gf_core.testing.kit import KitFinding, PluginKit, check_plugin

__all__ = ["KitFinding", "PluginKit", "check_plugin"]
