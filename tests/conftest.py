"""For every test."""

from __future__ import annotations

import os

# Tests run side by side, each with small matrices: threads of one would only wait for those of the others. Set before torch is
# imported, and for the commands that tests run.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

# How long an example takes says more about what else runs on the machine than about the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
