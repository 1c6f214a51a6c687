"""A LeRobot data set as a source of samples."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from gf_core.canonical import content_hash
from gf_core.contracts import Bools, Floats, Images
from gf_core.errors import GrinningFaceError, did_you_mean
from gf_core.training.lerobot.files import CONVENTIONS, INFO
from gf_core.training.lerobot.images import ImageReader
from gf_core.training.lerobot.meaning import Meaning, read_meaning
from gf_core.training.lerobot.metadata import Entry, Metadata, damaged, read_metadata
from gf_core.training.lerobot.statistics import statistics_of
from gf_core.training.lerobot.writing import column_values
from gf_core.training.samples import Conventions, Frame, Manifest, Sample, Wanted


@dataclass(frozen=True, kw_only=True)
class RobotEpisode:
    """An episode of a data set.

    Attributes:
        id: its id in the suite that it was recorded on; its index where there is none.
        first: place of its first frame among the frames of all episodes.
        length: frames.
        items: deck and item of the cards on the table; empty where that isn't known.
        target: deck and item of the instructed card; ``None`` where there is none or it isn't known.
    """

    id: str
    first: int
    length: int
    items: tuple[tuple[str, str], ...] = ()
    target: tuple[str, str] | None = None


class RobotDataset:
    """A :class:`gf_core.training.samples.Source` over a LeRobot data set, v3.0, v2.1 or v2.0; no file of it is changed.

    Every frame whose action is to be imitated is a sample. Numbers are in memory, images are read when they are asked for. An
    object may be shared between threads and pass to other processes, which open the files themselves.

    Args:
        path: the data set's directory.
        name: of the source; by default the directory's.
        conventions: a file that says what the numbers mean (schema ``demos-1``), where ``meta/grinningface.json`` doesn't.

    Attributes:
        path, name: as given.
        conventions: what the numbers mean. Statistics are over all frames, those of actions over all that are to be imitated;
            they are computed, whatever the data set says.
        episodes: in order.

    Raises:
        GrinningFaceError: it isn't a data set, nothing says what its numbers mean, or a number isn't finite.
        MismatchError: what is said of it doesn't fit it.
    """

    conventions: Conventions | None

    def __init__(self, path: Path, *, name: str = "", conventions: Path | None = None) -> None:
        self.path, self.name = path, name or path.resolve().name
        self._given = conventions
        self._metadata = read_metadata(path)
        self._meaning = read_meaning(self._metadata, conventions)
        self.episodes = _episodes(self._metadata, self._meaning)
        self._numbers = _Numbers(self._metadata, self._meaning)
        self._reader = ImageReader(path, self._metadata.fps)
        self._frames = np.flatnonzero(self._numbers.imitate)
        self._owners = np.repeat(np.arange(len(self.episodes)), [episode.length for episode in self.episodes])
        self.conventions = self._conventions()

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (self.path, self.name, self._given)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._frames)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of its cameras, a policy's first one first."""
        return tuple(self._meaning.cameras)

    def locate(self, index: int) -> tuple[int, int]:
        """Place of the episode in :attr:`episodes`, and frame, of a sample.

        Raises:
            IndexError: there is no such sample.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has {len(self)} samples, and sample {index} was asked for")
        place = int(self._frames[index])
        owner = int(self._owners[place])
        return owner, place - self.episodes[owner].first

    def sample(self, index: int, wanted: Wanted) -> Sample:
        """The sample at ``index``; actions past the episode's end repeat its last one and are masked, as are those that aren't to
        be imitated."""
        owner, frame = self.locate(index)
        return self.at(owner, frame, wanted)

    def at(self, owner: int, frame: int, wanted: Wanted) -> Sample:
        """Any frame of an episode, whether or not its action is to be imitated.

        Args:
            owner: place of the episode in :attr:`episodes`.
            frame: of the episode, from 0.
            wanted: what to read.

        Raises:
            GrinningFaceError: no such camera, or an image that can't be read.
        """
        episode = self.episodes[owner]
        place = episode.first + frame
        actions, mask = self.chunk(owner, frame, wanted.horizon)
        cameras = wanted.cameras or self.cameras
        return Sample(
            frames=tuple(
                Frame(camera=camera, offset=offset, image=self.image(owner, frame + offset, camera, wanted.size))
                for offset in wanted.offsets
                for camera in cameras
            ),
            prompt=self._metadata.tasks[int(self._numbers.task[place])],
            proprio=self._numbers.proprio[place].copy(),
            actions=actions,
            action_mask=mask,
            key=f"{self.name}/{episode.id}/{frame}",
        )

    def chunk(self, owner: int, frame: int, horizon: int) -> tuple[Floats, Bools]:
        """``(horizon, A) float32`` actions from a frame of an episode on, and ``(horizon,) bool``, without reading an image."""
        episode = self.episodes[owner]
        steps = frame + np.arange(horizon)
        places = episode.first + np.minimum(steps, episode.length - 1)
        mask: Bools = self._numbers.imitate[places] & (steps < episode.length)
        return self._numbers.actions[places], mask

    def image(self, owner: int, frame: int, camera: str, size: tuple[int, int] | None = None) -> Images:
        """``(H, W, 3) uint8`` RGB of a camera; frames before the first and after the last of an episode are these.

        Args:
            owner: place of the episode in :attr:`episodes`.
            frame: of the episode.
            camera: its name.
            size: height and width [px]; other images are resized (Lanczos). ``None`` for as stored.
        """
        if camera not in self._meaning.cameras:
            hint = did_you_mean(camera, self.cameras) or f"it has {', '.join(self.cameras)}"
            raise GrinningFaceError(f"it has no camera {camera!r}", where=str(self.path), hint=hint)
        entry, feature = self._metadata.entries[owner], self._meaning.cameras[camera]
        frame = min(max(frame, 0), entry.length - 1)
        if feature in entry.videos:
            image = self._reader.filmed(entry.videos[feature], frame)
        else:
            image = self._reader.stored(entry.path, self._numbers.rows[owner] + frame, feature)
        if size is None or image.shape[:2] == size:
            return image
        return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.LANCZOS))

    def manifest(self) -> Manifest:
        """What it holds. Reads every file once, for its hash."""
        return self._manifest

    @cached_property
    def _manifest(self) -> Manifest:
        entries = self._metadata.entries
        files = {INFO, *(entry.path for entry in entries), *(f.path for entry in entries for f in entry.videos.values())}
        hashes = {str(path): _hash(self.path / path) for path in sorted(files)}
        hashes[str(CONVENTIONS)] = _hash(self._given or self.path / CONVENTIONS)
        recording = self._meaning.recording
        details: dict[str, object] = {"episodes": len(self.episodes), "frames": len(self._owners), "cameras": list(self.cameras)}
        details |= {key: recording[key] for key in ("suite", "policy", "run_sha256") if key in recording}
        return Manifest(
            name=self.name,
            kind="lerobot",
            sha256=content_hash(hashes),
            samples=len(self),
            items=self._items() if self._meaning.episodes else None,
            details=details,
        )

    def _items(self) -> dict[str, tuple[str, ...]]:
        shown: dict[str, set[str]] = {}
        for deck, item in {face for episode in self.episodes for face in episode.items}:
            shown.setdefault(deck, set()).add(item)
        return {deck: tuple(sorted(shown[deck])) for deck in sorted(shown)}

    def _conventions(self) -> Conventions:
        meaning, numbers = self._meaning, self._numbers
        if not len(self._frames):
            raise GrinningFaceError("none of its actions is to be imitated", where=str(self.path))
        return Conventions(
            action=meaning.action,
            proprio=meaning.proprio,
            cameras={camera: self._metadata.image_size(feature) for camera, feature in meaning.cameras.items()},
            action_statistics=statistics_of(numbers.actions[numbers.imitate]),
            proprio_statistics=statistics_of(numbers.proprio),
        )


class _Numbers:
    """A data set's numbers, episode after episode.

    Attributes:
        actions: ``(N, A) float32``.
        proprio: ``(N, P) float32``.
        imitate: ``(N,) bool``.
        task: ``(N,) int64``, index of the instruction.
        rows: row of each episode's first frame in its file.
    """

    def __init__(self, metadata: Metadata, meaning: Meaning) -> None:
        self._meaning, self._metadata = meaning, metadata
        named = {"actions": meaning.action_feature, "proprio": meaning.proprio_feature, "task": "task_index"}
        if meaning.imitate_feature:
            named["imitate"] = meaning.imitate_feature
        self.rows: list[int] = []
        parts: dict[str, list[np.ndarray]] = {key: [] for key in named}
        held: tuple[Path, dict[str, np.ndarray]] | None = None
        for entry in metadata.entries:
            if held is None or held[0] != entry.path:
                held = entry.path, self._read(entry.path, ["episode_index", *named.values()])
            row = self._first_row(entry, held[1]["episode_index"])
            self.rows.append(row)
            for key, name in named.items():
                parts[key].append(held[1][name][row : row + entry.length])
        self.task = np.concatenate(parts["task"])
        self.actions, self.proprio = self._floats(parts["actions"], "action"), self._floats(parts["proprio"], "proprio")
        self.imitate: Bools = (
            np.concatenate(parts["imitate"]).astype(np.bool_) if "imitate" in parts else np.ones(len(self.task), np.bool_)
        )
        if strange := set(np.unique(self.task).tolist()) - set(metadata.tasks):
            raise GrinningFaceError(f"a frame has the task {min(strange)}, which isn't listed", where=str(metadata.root))

    def _read(self, path: Path, names: list[str]) -> dict[str, np.ndarray]:
        with damaged(self._metadata.root / path):
            table = pq.read_table(self._metadata.root / path, columns=names, memory_map=True, partitioning=None)
            return {name: column_values(table, name) for name in names}

    def _first_row(self, entry: Entry, owners: np.ndarray) -> int:
        found = np.flatnonzero(owners == entry.index)
        whole = len(found) == entry.length and (not len(found) or found[-1] - found[0] == entry.length - 1)
        if not whole or not entry.length:
            raise GrinningFaceError(
                f"episode {entry.index} should have {entry.length} frames in a row, and has {len(found)} frames",
                where=str(self._metadata.root / entry.path),
            )
        return int(found[0])

    def _floats(self, parts: list[np.ndarray], what: str) -> Floats:
        for entry, part in zip(self._metadata.entries, parts, strict=True):
            if not np.isfinite(part).all():
                raise GrinningFaceError(
                    f"{what} of episode {entry.index} isn't finite throughout", where=str(self._metadata.root / entry.path)
                )
        rows = [part.reshape(len(part), -1).astype(np.float32, copy=False) for part in parts]
        return np.concatenate(rows)


def _reopen(path: Path, name: str, conventions: Path | None) -> RobotDataset:
    return RobotDataset(path, name=name, conventions=conventions)


def _episodes(metadata: Metadata, meaning: Meaning) -> tuple[RobotEpisode, ...]:
    found, first = [], 0
    for place, entry in enumerate(metadata.entries):
        told = meaning.episodes[place] if meaning.episodes else {}
        target = told.get("target")
        found.append(
            RobotEpisode(
                id=str(told.get("id", entry.index)),
                first=first,
                length=entry.length,
                items=tuple((face["deck"], face["item"]) for face in told.get("items", ())),
                target=(target["deck"], target["item"]) if target else None,
            )
        )
        first += entry.length
    return tuple(found)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
