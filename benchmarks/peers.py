"""GrinningFace beside robosuite, gymnasium-robotics and ManiSkill: CPU per step, cold start, memory, and what a whole
evaluation costs.

Every figure comes from a process of its own (`peer_cases.py`). A round measures every case once, in turn, so that whatever
else the machine does
meets all of them alike; the tables show the medians over the rounds, and ratios are medians of the ratios within a round.

    python benchmarks/peers.py --install                    # a virtual environment for each peer under --venvs, once
    python benchmarks/peers.py --rounds 5 --markdown peers.md --json peers.json
    python benchmarks/peers.py --only grinningface          # no peers, no installation

ManiSkill draws with Vulkan. Without a GPU it needs Mesa's software driver, 24.3 or newer; where the system's is older,
unpack newer packages
(Debian 12: mesa-vulkan-drivers from bookworm-backports) into a folder and name it with --lavapipe. That folder reaches
ManiSkill's process only.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
STEPS_PER_EPISODE = 200  # the horizon of the suites at 20 Hz


@dataclass(frozen=True)
class Peer:
    """A simulator in an environment of its own: what pip installs there, in this order."""

    name: str
    requirements: tuple[tuple[str, ...], ...]


# MuJoCo 3.3: neither of the first two runs with MuJoCo 4 (both assert on its joint types). torch first: the CPU build.
PEERS = (
    Peer("robosuite", (("robosuite==1.5.2", "mujoco==3.3.7"),)),
    Peer("gymnasium-robotics", (("gymnasium-robotics==1.4.2", "mujoco==3.3.7"),)),
    Peer("maniskill", (("torch==2.13.0",), ("mani-skill==3.0.1", "setuptools<81"))),
)
Case = tuple[str, str, int]  # simulator, image, slots
OURS: tuple[Case, ...] = (
    *(("grinningface", image, slots) for image in ("none", "fast", "scored") for slots in (1, 16)),
    ("grinningface", "pretty", 16),
    ("grinningface", "defaults", 16),
)
THEIRS: tuple[Case, ...] = (
    *(("robosuite", image, 1) for image in ("none", "plain", "defaults")),
    *(("gymnasium-robotics", image, 1) for image in ("none", "plain", "defaults")),
    *(("maniskill", image, 1) for image in ("none", "defaults")),
)
Figures = dict[Case, list[dict[str, float]]]
# (what is compared, our case, a peer's case, the least ratio that the project set itself)
GATES: tuple[tuple[str, Case, Case, float | None], ...] = (
    ("physics alone", ("grinningface", "none", 16), ("robosuite", "none", 1), 12),
    ("physics alone", ("grinningface", "none", 16), ("gymnasium-robotics", "none", 1), None),
    ("physics alone", ("grinningface", "none", 16), ("maniskill", "none", 1), None),
    ("`fast` and their defaults", ("grinningface", "fast", 16), ("robosuite", "defaults", 1), 30),
    ("`fast` and their defaults", ("grinningface", "fast", 16), ("gymnasium-robotics", "defaults", 1), 7),
    ("`fast` and their defaults", ("grinningface", "fast", 16), ("maniskill", "defaults", 1), 30),
    ("`scored` and their defaults", ("grinningface", "scored", 16), ("robosuite", "defaults", 1), 5),
    ("`scored` and their defaults", ("grinningface", "scored", 16), ("gymnasium-robotics", "defaults", 1), None),
    ("`scored` and their defaults", ("grinningface", "scored", 16), ("maniskill", "defaults", 1), None),
    ("**equal quality**: both without shadows and samples", ("grinningface", "fast", 16), ("robosuite", "plain", 1), None),
    (
        "**equal quality**: both without shadows and samples",
        ("grinningface", "fast", 16),
        ("gymnasium-robotics", "plain", 1),
        None,
    ),
    ("**equal quality**: both at MuJoCo's defaults", ("grinningface", "defaults", 16), ("robosuite", "defaults", 1), None),
    (
        "**equal quality**: both at MuJoCo's defaults",
        ("grinningface", "defaults", 16),
        ("gymnasium-robotics", "defaults", 1),
        None,
    ),
    ("one robot, `fast` and their defaults", ("grinningface", "fast", 1), ("robosuite", "defaults", 1), None),
    ("one robot, `fast` and their defaults", ("grinningface", "fast", 1), ("gymnasium-robotics", "defaults", 1), None),
    ("one robot, `fast` and their defaults", ("grinningface", "fast", 1), ("maniskill", "defaults", 1), None),
)


def install(peer: Peer, venvs: Path) -> None:
    """Make the peer's virtual environment, unless it is there."""
    home = venvs / peer.name
    if (home / "installed").exists():
        return
    print(f"installing {peer.name} into {home} …", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
    for requirements in peer.requirements:
        subprocess.run([str(home / "bin/python"), "-m", "pip", "install", "-q", *requirements], check=True)
    (home / "installed").touch()


def surroundings(simulator: str, lavapipe: Path | None) -> dict[str, str]:
    """The environment variables of a simulator's process."""
    variables = dict(os.environ)
    if simulator == "maniskill" and lavapipe:
        driver = next(lavapipe.rglob("lvp_icd*.json"), None)
        library = next(lavapipe.rglob("libvulkan_lvp.so"), None)
        if driver is None or library is None:
            raise SystemExit(f"--lavapipe {lavapipe}: no lvp_icd*.json and libvulkan_lvp.so in it")
        variables |= {"VK_DRIVER_FILES": str(driver), "VK_ICD_FILENAMES": str(driver), "LD_LIBRARY_PATH": str(library.parent)}
    elif simulator != "grinningface":
        variables.setdefault("MUJOCO_GL", "egl")
    return variables


def measure(case: Case, venvs: Path, lavapipe: Path | None) -> dict[str, float]:
    """One case in a fresh process."""
    simulator = case[0]
    python = sys.executable if simulator == "grinningface" else str(venvs / simulator / "bin/python")
    command = [python, str(HERE / "peer_cases.py"), case[0], case[1], str(case[2])]
    done = subprocess.run(command, capture_output=True, text=True, env=surroundings(simulator, lavapipe), check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def gf(*arguments: str) -> float:
    """Wall time [s] of a gf command."""
    began = time.perf_counter()
    done = subprocess.run([str(Path(sys.executable).with_name("gf")), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"gf {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - began


def evaluations(rounds: int) -> list[dict[str, object]]:
    """Whole evaluations through the command line, start included: with a policy that looks, and verifying an expert's run."""
    looking = ["--policy", "local/looking-v1", "--plugin", str(HERE / "looking_policy.py")]
    rows: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        run = f"{folder}/expert"
        gf("run", "gf/standard@1", "--policy", "gf/expert-v1", "--slots", "64", "--out", run)
        for number in range(rounds):
            for chunk in (8, 1):
                seconds = gf("run", "gf/quick@1", *looking, "--set", f"chunk={chunk}", "--out", f"{folder}/{chunk}-{number}")
                often = f"one scored image per {chunk} steps" if chunk > 1 else "one scored image per step"
                what = f"`gf run gf/quick@1`, {often}, {STEPS_PER_EPISODE} steps an episode"
                rows.setdefault(what, []).append(60 * 60 / seconds)
            rows.setdefault("`gf replay` of an expert's `gf/standard@1`, 1,200 episodes verified", []).append(
                1200 * 60 / gf("replay", run)
            )
    return [{"what": what, "episodes_per_minute": statistics.median(values)} for what, values in rows.items()]


def median(figures: Figures, case: Case, field: str) -> float:
    """Median over the rounds."""
    return statistics.median(entry[field] for entry in figures[case])


def steps_table(figures: Figures) -> list[str]:
    """CPU, speed, cold start and memory of every case."""
    lines = [
        "| simulator | robots | image | CPU ms/step | steps/s | cold start s | peak MB |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    for case in figures:
        speed = 1e3 / median(figures, case, "wall_ms_per_step")
        lines.append(
            f"| {case[0]} | {case[2]} | {case[1]} | {median(figures, case, 'cpu_ms_per_step'):.2f} | {speed:.0f} | "
            f"{median(figures, case, 'cold_start_s'):.2f} | {median(figures, case, 'peak_memory_mb'):.0f} |"
        )
    return lines


def ratios(figures: Figures) -> list[dict[str, object]]:
    """How many times less CPU, and how many times more steps per second, ours needs; medians of the ratios within each
    round."""
    rows: list[dict[str, object]] = []
    for what, our, their, gate in GATES:
        if their not in figures:
            continue
        pairs = list(zip(figures[our], figures[their], strict=True))
        cpu = statistics.median(b["cpu_ms_per_step"] / a["cpu_ms_per_step"] for a, b in pairs)
        wall = statistics.median(b["wall_ms_per_step"] / a["wall_ms_per_step"] for a, b in pairs)
        rows.append({"what": what, "peer": their[0], "cpu_ratio": cpu, "speed_ratio": wall, "target": gate})
    return rows


def ratio_table(rows: list[dict[str, object]]) -> list[str]:
    """The ratios with their targets."""
    lines = ["| what is compared | peer | CPU, times less | steps/s, times more | target |", "|---|---|---:|---:|---:|"]
    for row in rows:
        target = f"≥ {row['target']}" if row["target"] else ""
        lines.append(f"| {row['what']} | {row['peer']} | {row['cpu_ratio']:.1f} | {row['speed_ratio']:.1f} | {target} |")
    return lines


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="times that every case is measured")
    parser.add_argument("--venvs", type=Path, default=Path(".peers"), help="where the peers' environments live")
    parser.add_argument("--install", action="store_true", help="make the peers' environments and stop (about 4 GB)")
    parser.add_argument("--only", action="append", choices=["grinningface", *(peer.name for peer in PEERS)], help="repeatable")
    parser.add_argument("--lavapipe", type=Path, help="a folder with a newer Mesa for ManiSkill's Vulkan")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file too")
    parser.add_argument("--json", type=Path, help="write every single figure to this file")
    arguments = parser.parse_args()
    chosen = arguments.only or ["grinningface", *(peer.name for peer in PEERS)]
    if arguments.install:
        for peer in PEERS:
            if peer.name in chosen:
                install(peer, arguments.venvs)
        return
    cases = [case for case in (*OURS, *THEIRS) if case[0] in chosen]
    figures: Figures = {case: [] for case in cases}
    for number in range(arguments.rounds):
        for case in cases:
            print(f"round {number + 1}/{arguments.rounds}: {' '.join(map(str, case))}", file=sys.stderr)
            figures[case].append(measure(case, arguments.venvs, arguments.lavapipe))
    compared = ratios(figures) if "grinningface" in chosen else []
    whole = evaluations(arguments.rounds) if "grinningface" in chosen else []
    date = datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d")
    text = [
        f"{date}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {arguments.rounds} rounds",
        "",
    ]
    text += [*steps_table(figures), "", *ratio_table(compared), "", "| evaluation | episodes per minute |", "|---|---:|"]
    text += [f"| {row['what']} | {row['episodes_per_minute']:.0f} |" for row in whole]
    print("\n".join(text))
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(text) + "\n", encoding="utf-8")
    if arguments.json:
        single = [{"simulator": c[0], "image": c[1], "slots": c[2], "rounds": values} for c, values in figures.items()]
        document = {"date": date, "rounds": arguments.rounds, "cases": single, "ratios": compared, "evaluations": whole}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
