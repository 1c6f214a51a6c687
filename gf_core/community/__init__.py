"""Plugins that others publish: indexes of them, and installing them by pip."""
