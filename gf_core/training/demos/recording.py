"""Records demonstrations: plays a suite, keeps what succeeded, plays that once more before the cameras and writes it.

Whatever stops it, the same call goes on: the run resumes as every run does, and files of episodes that are there are kept. What
is written doesn't depend on how often it was stopped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core.canonical import derive_seed
from gf_core.contracts import BatchEnv, Episode, Policy, PolicyContext
from gf_core.errors import GrinningFaceError, MismatchError, did_you_mean
from gf_core.evaluation import Plan, Progress, Request, Resources, make_plan, run_suite
from gf_core.evaluation.environment import make_env, runtime
from gf_core.evaluation.policy_child import LoadPolicy
from gf_core.evaluation.policy_in_process import load_policy
from gf_core.evaluation.verification import how_to_drive
from gf_core.runs import Row, Run
from gf_core.specs import ActionSpec
from gf_core.training.demos.filming import Cameras, Demonstrator, Filming, Take
from gf_core.training.demos.folder import Folder, open_folder
from gf_core.training.demos.telling import tell
from gf_core.training.lerobot.writing import EPISODES_PER_FILE, Layout, Place, Recorded, finish, is_written, write_file

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

MakeProgress = Callable[[], Progress]


@dataclass(frozen=True, kw_only=True)
class Demos:
    """Recorded demonstrations.

    Attributes:
        path: the data set.
        document: its ``meta/grinningface.json``.
        episodes: how many are in it.
        frames: of all episodes.
        played: how many episodes were played; those that failed aren't in it.
        was_finished: whether it was complete before; nothing was done then.
    """

    path: Path
    document: dict[str, Any]
    episodes: int
    frames: int
    played: int
    was_finished: bool


def record(
    request: Request,
    cameras: Cameras,
    *,
    host: PluginHost,
    out: Path,
    resources: Resources | None = None,
    progress: MakeProgress,
) -> Demos:
    """Record demonstrations, or go on with a recording that was interrupted.

    Args:
        request: which suite, which policy.
        cameras: what is filmed.
        host: the plugins.
        out: the data set's directory; the run lies in its hidden folder ``.run``.
        resources: how to carry it out; changes no byte.
        progress: makes a display, for the run and for the filming.

    Raises:
        GrinningFaceError: the user's mistakes, a demonstrator that can't be asked, a directory of other content, a full disk, no
            success at all, an environment whose recordings can't be driven.
        KeyboardInterrupt: what is written is safe.
    """
    resources = resources or Resources()
    plan = make_plan(request, host)
    _check(plan, cameras)
    _check_demonstrator(plan, host)
    with open_folder(out, cameras) as folder:
        finished = folder.finished()
        run = run_suite(request, host=host, out=folder.run, resources=resources, progress=progress()).run
        kept = [row for row in run.records if row["success"]]
        if not kept:
            endings = ", ".join(sorted({row["ending"] for row in run.records}))
            raise GrinningFaceError(
                f"none of {len(run.records)} episodes succeeded ({endings})",
                where=f"{plan.policy.id} on {plan.suite.id}",
                hint=f"`gf report {folder.run}` shows how they ended",
            )
        if finished is None:
            recorder = _Recorder(plan, run, kept, cameras, folder, host, resources, progress())
            finished = recorder.record()
    return Demos(
        path=out,
        document=finished,
        episodes=len(kept),
        frames=sum(row["steps"] for row in kept),
        played=len(run.records),
        was_finished=folder.was_finished,
    )


def _check(plan: Plan, cameras: Cameras) -> None:
    env = plan.env
    if not env.replayable:
        raise MismatchError(f"recordings of {env.id} can't be driven again, so not filmed", where="replayable")
    if not cameras.names or len(set(cameras.names)) < len(cameras.names):
        raise GrinningFaceError("it names no camera, or one twice", where="--cameras", hint=f"there are {', '.join(env.cameras)}")
    for camera in cameras.names:
        if camera not in env.cameras:
            hint = did_you_mean(camera, env.cameras) or f"it has {', '.join(env.cameras) or 'none'}"
            raise GrinningFaceError(f"{env.id} has no camera {camera!r}", where="--cameras", hint=hint)


def _check_demonstrator(plan: Plan, host: PluginHost) -> None:
    """Whether a policy that knows which of its actions aren't to be imitated can be asked."""
    why = _unasked(plan)
    if not why or plan.policy.interface:  # a checkpoint or a server isn't loaded twice for this
        return
    with _loaded(plan, host, replace(plan.env.action, hz=plan.control_hz), slots=1) as policy:
        if isinstance(policy, Demonstrator):
            what = f"it knows which of its actions aren't to be imitated, and can't be asked while it is filmed: {why}"
            hint = "make it privileged and blind; or remove its `imitable`, and everything that it does is to be imitated"
            raise MismatchError(what, where=plan.policy.id, hint=hint)


def _unasked(plan: Plan) -> str:
    """Why a policy isn't asked while its episodes are filmed; empty if it is."""
    if not plan.policy.privileged:
        return "it isn't privileged"
    return "it looks through cameras" if plan.interface.observes.cameras else ""


@contextlib.contextmanager
def _loaded(plan: Plan, host: PluginHost, action: ActionSpec, slots: int) -> Iterator[Policy]:
    """The policy, in this process."""
    context = PolicyContext(env=replace(plan.env, action=action), action=action, slots=slots, plugin_files=host.files)
    request = LoadPolicy(spec=plan.policy, config=plan.policy_config, context=context, files=())
    with contextlib.closing(load_policy(request)) as policy:
        yield policy


class _Recorder:
    """Films and writes the episodes that are kept."""

    def __init__(
        self,
        plan: Plan,
        run: Run,
        kept: Sequence[Row],
        cameras: Cameras,
        folder: Folder,
        host: PluginHost,
        resources: Resources,
        progress: Progress,
    ) -> None:
        self._plan, self._run, self._kept, self._cameras, self._folder = plan, run, kept, cameras, folder
        self._host, self._resources, self._progress = host, resources, progress
        self._episodes = {episode.id: episode for episode in plan.episodes}
        self._firsts = [0, *accumulate(row["steps"] for row in kept)]
        instructions = [self._episode(row).instruction_at(step) for row in kept for step in range(row["steps"])]
        self._tasks = {text: number for number, text in enumerate(dict.fromkeys(instructions))}
        self._files = -(-len(kept) // EPISODES_PER_FILE)

    def record(self) -> dict[str, Any]:
        """Returns meta/grinningface.json."""
        root = self._folder.path
        todo = [file for file in range(self._files) if not is_written(root, file)]
        slots = min(self._resources.slots, sum(len(self._rows(file)) for file in todo) or 1)
        with contextlib.closing(self._make_env(slots)) as env:
            found = self._folder.drawn_by(runtime(env))
            layout = Layout(
                cameras=dict.fromkeys(self._cameras.names, self._cameras.size),
                action=env.action.field,
                state=env.spec.proprio,
                fps=self._plan.control_hz,
                robot=env.spec.id,
            )
            self._film(env, layout, todo, slots)
            finish(root, layout, self._tasks, self._files)
            spec = replace(self._plan.env, action=env.action)
        versions = self._folder.versions()
        document = tell(self._plan, spec, self._run, self._kept, self._cameras, found, versions)
        self._folder.finish(document)
        return document

    def _film(self, env: BatchEnv, layout: Layout, todo: Sequence[int], slots: int) -> None:
        earlier = [row for file in range(self._files) if file not in todo for row in self._rows(file)]
        title = f"filming {', '.join(self._cameras.names)} for {self._folder.path}"
        self._progress.started(len(self._kept), len(earlier), title)
        for row in earlier:
            self._progress.episode(row)
        complete = False
        try:
            if todo:
                self._write(env, layout, todo, slots)
            complete = True
        finally:
            self._progress.finished(complete)

    def _write(self, env: BatchEnv, layout: Layout, todo: Sequence[int], slots: int) -> None:
        with self._demonstrator(env, slots) as demonstrator:
            proprio, threads = self._plan.interface.observes.proprio, self._resources.threads
            filming = Filming(env, self._cameras, demonstrator, proprio=proprio, slots=slots, threads=threads)
            done: dict[int, dict[int, Recorded]] = {file: {} for file in todo}
            with contextlib.closing(filming.play(self._takes(todo))) as played:
                for take, recorded in played:
                    file = take.number // EPISODES_PER_FILE
                    done[file][take.number] = recorded
                    self._progress.episode(take.record)
                    if len(done[file]) == len(self._rows(file)):
                        first = file * EPISODES_PER_FILE
                        place = Place(file=file, episode=first, frame=self._firsts[first])
                        episodes = [done[file][number] for number in sorted(done[file])]
                        write_file(self._folder.path, layout, place, episodes, self._tasks)
                        del done[file]

    def _takes(self, files: Sequence[int]) -> Iterator[Take]:
        for file in files:
            for number, row in enumerate(self._rows(file), start=file * EPISODES_PER_FILE):
                episode = self._episode(row)
                seed = derive_seed(self._plan.request.policy_seed, episode.id)
                trajectory = self._run.trajectory(episode.id)
                yield Take(number=number, episode=episode, record=row, trajectory=trajectory, seed=seed)

    def _rows(self, file: int) -> Sequence[Row]:
        return self._kept[file * EPISODES_PER_FILE : (file + 1) * EPISODES_PER_FILE]

    def _episode(self, row: Row) -> Episode:
        return self._episodes[row["episode"]]

    def _make_env(self, slots: int) -> BatchEnv:
        drive, why = how_to_drive(self._run.identity)
        if drive != "actions":
            raise MismatchError(
                f"the run can't be filmed here: {why}", where=str(self._folder.run), hint="record into another --out"
            )
        plan = self._plan
        return make_env(plan.suite, plan.env_config, plan.control_hz, self._host, slots=slots, threads=self._resources.threads)

    @contextlib.contextmanager
    def _demonstrator(self, env: BatchEnv, slots: int) -> Iterator[Demonstrator | None]:
        """Who knows which actions aren't to be imitated; nobody for a policy that isn't asked or says nothing about it."""
        if _unasked(self._plan):
            yield None
            return
        with _loaded(self._plan, self._host, env.action, slots) as policy:
            yield policy if isinstance(policy, Demonstrator) else None
