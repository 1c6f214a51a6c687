"""The Chromium of this machine, for tests of sites."""

from __future__ import annotations

import shutil

import pytest

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"]
browser_needed = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
