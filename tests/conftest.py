"""For every test."""

from __future__ import annotations

import os
import signal

# Tests run side by side, each with small matrices: threads of one would only wait for those of the others. Set before torch is
# imported, and for the commands that tests run.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what runs in its background with interrupts ignored, which processes inherit: tests that interrupt would wait
# for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from hypothesis import settings

# How long an example takes says more about what else runs on the machine than about the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
