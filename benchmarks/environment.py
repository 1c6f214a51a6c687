"""What gf/tabletop-v1 costs: CPU per step with and without an image, cold start, memory.

Every figure is measured in a process of its own, several times, presets and slot counts interleaved; medians are printed.

    python benchmarks/environment.py [--repeats 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

CASES = [(1, ""), (16, ""), (1, "fast"), (16, "fast"), (16, "scored"), (16, "pretty")]
STEPS = 60


def measure(slots: int, preset: str) -> dict[str, float]:
    """One process: cold start [s], CPU and wall time per step of one slot [ms], peak memory [MB]."""
    import resource

    began = time.perf_counter()
    import numpy as np

    from gf_core.contracts import EnvContext
    from gf_core.evaluation.suites import load_suite
    from gf_core.plugins import load_plugins
    from gf_core.specs import Observes

    host = load_plugins()
    suite = load_suite("gf/quick@1", host)
    deck = host.decks.load("gf/emoji-noto@1")
    context = EnvContext(slots=slots, threads=0, control_hz=20.0, load_deck=lambda _: deck({}))
    env = host.envs.load("gf/tabletop-v1")({"render": preset or "fast"}, context)
    every = np.arange(slots, dtype=np.int32)
    wanted = Observes(cameras=("third",) if preset else (), size=(224, 224))
    env.reset(every, suite.episodes[:slots])
    env.observe(every, wanted)
    cold = time.perf_counter() - began
    rng = np.random.default_rng(0)
    actions = rng.uniform(-0.02, 0.02, (STEPS, slots, 7)).astype(np.float32)
    cpu, wall = time.process_time(), time.perf_counter()
    for step in range(STEPS):
        env.step(every, actions[step])
        env.observe(every, wanted)
    steps = STEPS * slots
    result = {
        "cold_start_s": cold,
        "cpu_ms_per_step": (time.process_time() - cpu) / steps * 1e3,
        "wall_ms_per_step": (time.perf_counter() - wall) / steps * 1e3,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    env.close()
    return result


def main() -> None:
    """Print the table of medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="processes per case")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(int(arguments.case[0]), arguments.case[1])))
        return
    samples: dict[tuple[int, str], list[dict[str, float]]] = {case: [] for case in CASES}
    for _ in range(arguments.repeats):
        for slots, preset in CASES:
            command = [sys.executable, __file__, "--case", str(slots), preset]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            samples[slots, preset].append(json.loads(output))
    print(f"{platform.machine()}, Python {platform.python_version()}, medians of {arguments.repeats} processes")
    print(f"{'slots':>5} {'image':8} {'CPU ms/step':>12} {'wall ms/step':>13} {'cold start s':>13} {'peak MB':>8}")
    table = []
    for (slots, preset), runs in samples.items():
        median = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        table.append({"slots": slots, "image": preset or None, **median})
        print(
            f"{slots:5d} {preset or '-':8} {median['cpu_ms_per_step']:12.2f} {median['wall_ms_per_step']:13.2f} "
            f"{median['cold_start_s']:13.2f} {median['peak_memory_mb']:8.0f}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
