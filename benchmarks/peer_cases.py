"""One measurement in a process of its own: python benchmarks/peer_cases.py SIMULATOR IMAGE SLOTS prints a line of JSON.

`peers.py` starts this file with the interpreter of each simulator's own virtual environment, so nothing but the standard
library is imported at
the top. Everybody gets random actions, one control step at a time, and one 224 px RGB image per step or none.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable

SIZE = 224
WARM_UP = 5  # steps before the clock starts: numba and shaders compile in them
MINIMUM = 3.0  # seconds of measuring
Step = Callable[[int], None]


def ours(image: str, slots: int) -> Step:
    """gf/tabletop-v1 at 20 Hz. `image` is a preset, `defaults` (MuJoCo's quality settings) or `none`."""
    import numpy as np

    from gf_core.contracts import EnvContext
    from gf_core.evaluation.suites import load_suite
    from gf_core.plugins import load_plugins
    from gf_core.specs import Observes
    from gf_envs.tabletop.presets import PRESETS, Preset

    PRESETS["defaults"] = Preset(supersample=1, samples=4, shadow=4096)  # MuJoCo's own, for the comparison at equal quality
    host = load_plugins()
    suite = load_suite("gf/quick@1", host)
    deck = host.decks.load("gf/emoji-noto@1")
    context = EnvContext(slots=slots, threads=0, control_hz=20.0, load_deck=lambda _: deck({}))
    env = host.envs.load("gf/tabletop-v1")({"render": "fast" if image == "none" else image}, context)
    every = np.arange(slots, dtype=np.int32)
    wanted = Observes(cameras=() if image == "none" else ("third",), size=(SIZE, SIZE))
    env.reset(every, suite.episodes[:slots])
    rng = np.random.default_rng(0)

    def step(_: int) -> None:
        env.step(every, rng.uniform(-0.02, 0.02, (slots, 7)).astype(np.float32))
        env.observe(every, wanted)

    return step


def robosuite(image: str, slots: int) -> Step:
    """robosuite's Lift with a Panda at 20 Hz; `plain` takes shadows and multisampling away, `defaults` leaves them."""
    import numpy as np
    import robosuite as suite

    drawn = image != "none"
    camera = {"camera_names": "agentview", "camera_heights": SIZE, "camera_widths": SIZE} if drawn else {}
    env = suite.make(
        "Lift",
        robots="Panda",
        has_renderer=False,
        has_offscreen_renderer=drawn,
        use_camera_obs=drawn,
        control_freq=20,
        horizon=10**9,
        ignore_done=True,
        **camera,
    )
    if image == "plain":
        quality = '<visual><quality shadowsize="0" offsamples="0"/></visual>'
        env.set_xml_processor(lambda xml: xml.replace("</mujoco>", quality + "</mujoco>"))
    env.reset()
    low, high = env.action_spec
    rng = np.random.default_rng(0)

    def step(_: int) -> None:
        observation = env.step(rng.uniform(low, high))[0]
        if drawn and observation["agentview_image"].shape != (SIZE, SIZE, 3):
            raise RuntimeError("no image came")

    return step


def gymnasium_robotics(image: str, slots: int) -> Step:
    """FetchPickAndPlace at 25 Hz; `plain` and `defaults` as for robosuite."""
    import gymnasium
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    env = gymnasium.make("FetchPickAndPlace-v4", render_mode="rgb_array", width=SIZE, height=SIZE, max_episode_steps=10**9)
    env.reset(seed=0)
    if image == "plain":  # the OpenGL context is made at the first render, with what the model says then
        env.unwrapped.model.vis.quality.shadowsize = 0
        env.unwrapped.model.vis.quality.offsamples = 0
    env.action_space.seed(0)

    def step(_: int) -> None:
        env.step(env.action_space.sample())
        if image != "none" and env.render().shape != (SIZE, SIZE, 3):
            raise RuntimeError("no image came")

    return step


def maniskill(image: str, slots: int) -> Step:
    """ManiSkill's PickCube with a Panda at 20 Hz on the CPU, drawn by Vulkan's software driver with its default shader."""
    import gymnasium
    import mani_skill.envs  # noqa: F401 - registers the environments

    drawn = image != "none"
    env = gymnasium.make(
        "PickCube-v1",
        num_envs=1,
        obs_mode="rgb" if drawn else "state",
        sensor_configs={"width": SIZE, "height": SIZE} if drawn else {},
        sim_backend="cpu",
        render_backend="cpu" if drawn else "none",
        max_episode_steps=10**9,
    )
    env.reset(seed=0)
    env.action_space.seed(0)

    def step(_: int) -> None:
        observation = env.step(env.action_space.sample())[0]
        if drawn and tuple(observation["sensor_data"]["base_camera"]["rgb"].shape) != (1, SIZE, SIZE, 3):
            raise RuntimeError("no image came")

    return step


SIMULATORS = {"grinningface": ours, "robosuite": robosuite, "gymnasium-robotics": gymnasium_robotics, "maniskill": maniskill}


def measure(simulator: str, image: str, slots: int) -> dict[str, float]:
    """Cold start [s] to the first step's observation, CPU and wall time per step of one robot [ms], peak memory [MB]."""
    began = time.perf_counter()
    step = SIMULATORS[simulator](image, slots)
    step(0)
    cold = time.perf_counter() - began
    for number in range(WARM_UP):
        step(number)
    steps, cpu, wall = 0, time.process_time(), time.perf_counter()
    while time.perf_counter() - wall < MINIMUM:
        step(steps)
        steps += 1
    return {
        "cold_start_s": cold,
        "cpu_ms_per_step": (time.process_time() - cpu) / (steps * slots) * 1e3,
        "wall_ms_per_step": (time.perf_counter() - wall) / (steps * slots) * 1e3,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    print("\n" + json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
