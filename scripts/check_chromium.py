"""Is there a Chromium for the tests of the site? Standard library only.

As root on Debian or Ubuntu a missing one is installed. Elsewhere those tests are skipped, and this says so; the exit code is 0.
"""

from __future__ import annotations

import os
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    """Look, install where that is ours to do, and say what is left to the user."""
    if any(map(shutil.which, NAMES)):
        return 0
    command = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("Chromium is missing; installing it", flush=True)
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run([*command, "-qq"], check=False, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    if not any(map(shutil.which, NAMES)):
        print("note: no Chromium here, so tests of the leaderboard's site in a browser are skipped; sudo " + " ".join(command))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
