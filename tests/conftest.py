"""For every test."""

from __future__ import annotations

import os

# Tests run side by side, each with small matrices: threads of one would only wait for those of the others. Set before torch is
# imported, and for the commands that tests run.
os.environ.setdefault("OMP_NUM_THREADS", "1")
