"""What the writers of both formats have in common."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pyarrow as pa

from piperline.episode import Clip, EncodedEpisode
from piperline.errors import DatasetError, Place
from piperline.features import Schema
from piperline.files import copy_file, link_or_copy
from piperline.lerobot.card import card_text
from piperline.lerobot.columns import Numbering, VectorName
from piperline.lerobot.digests import written_digest
from piperline.lerobot.histograms import HistogramFile
from piperline.lerobot.info import Info
from piperline.video.mp4_writer import Written

if TYPE_CHECKING:
    from piperline.lerobot.dataset import Dataset

_Result = TypeVar("_Result")

_AHEAD = 64
"""Rounds: a file that is finished holds up its lane as long as the rows of 100 episodes take."""


@dataclass(frozen=True)
class WriterOptions:
    """How a dataset is written.

    Attributes:
        link: video files that stay as they are may be hard-linked instead of copied: nobody writes
            into them.
        tasks: task texts that are numbered first, in this order; others follow as they appear.
        data_mb: v3.0: MiB at which a new data file is begun.
        video_mb: v3.0: MiB at which a new video file of a camera is begun.
        own_columns: the episodes' own columns that are kept; v3.0: with their types.
    """

    link: bool = False
    tasks: tuple[str, ...] = ()
    data_mb: float = 100
    video_mb: float = 200
    own_columns: Mapping[str, pa.DataType] = field(default_factory=dict)


DEFAULTS = WriterOptions()


@dataclass
class Origins:
    """Where the videos of a new dataset come from.

    Attributes:
        files: by path below the dataset: the path of the file that it is, byte for byte.
        clips: of each episode, by feature key: the span of a video that it shows.
        written: by path below the dataset: what is in a file that was hashed while it was written.
        packets: by number of the episode and feature key: the SHA-256 of the packets of a clip in
            one of these.
        rows: of each episode: the SHA-256 of its rows as they were written, where that is known.
        leading: how many episodes, from the first on, are those of another dataset, rows and all.
    """

    files: dict[str, str] = field(default_factory=dict)
    clips: list[Mapping[str, Clip]] = field(default_factory=list)
    written: dict[str, Written] = field(default_factory=dict)
    packets: dict[tuple[int, str], str] = field(default_factory=dict)
    rows: list[str | None] = field(default_factory=list)
    leading: int = 0

    def note(
        self, name: str, key: str, first: int, made: Written | Path | None
    ) -> None:
        """Note what came of a video file.

        Args:
            name: its path below the dataset.
            key: its camera.
            first: the number of the first episode in it.
            made: what is in it, or which file it is; None where neither is known.
        """
        if isinstance(made, Path):
            self.files[name] = str(made)
        elif made is not None:
            self.written[name] = made
            for number, packets in enumerate(made.packets, first):
                self.packets[number, key] = packets


class Lanes:
    """A thread for each of some keys: videos are copied in order, while the caller goes on.

    Reading and writing videos is the system's work, outside of Python's lock.

    Args:
        keys: of the lanes: cameras.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._pools = {key: ThreadPoolExecutor(1) for key in keys}
        self._rounds: deque[dict[str, Future[Any]]] = deque()

    def do(
        self,
        work: Callable[[str], _Result],
    ) -> dict[str, Future[_Result]]:
        """Have `work(key)` done in each lane, after what was asked for before.

        Returns:
            What comes of it, by key.

        Raises:
            Exception: what earlier work raised.
        """
        self.wait(_AHEAD)
        asked = {
            key: pool.submit(work, key) for key, pool in self._pools.items()
        }
        self._rounds.append(asked)
        return asked

    def close(self) -> None:
        """See that nothing is under way any more; what has not begun is dropped."""
        for pool in self._pools.values():
            pool.shutdown(cancel_futures=True)

    def wait(self, left: int = 0) -> None:
        """Wait until no more than `left` rounds are under way.

        Raises:
            Exception: what the work raised.
        """
        while len(self._rounds) > left:
            for done in self._rounds.popleft().values():
                done.result()


class DatasetWriter(ABC):
    """Writes a LeRobot dataset, episode by episode.

    Args:
        root: an empty folder; the caller gives it its final name after `finish`.
        schema: of the dataset.
        options: how.

    Attributes:
        origins: where its videos come from; of v3.0 the files are known when it is finished.
    """

    version: ClassVar[str]
    longest_seconds: ClassVar[int]
    """Readers compare times as float32: frames of a longer episode are not found."""
    vector: ClassVar[VectorName]
    quantiles: ClassVar[bool]

    def __init__(
        self, root: Path, schema: Schema, options: WriterOptions = DEFAULTS
    ) -> None:
        self._root = root
        self._schema = schema
        self._options = options
        self._numbering = Numbering(
            schema, self.vector, quantiles=self.quantiles, tasks=options.tasks
        )
        self.origins = Origins()
        (root / "meta").mkdir()
        self._histograms = HistogramFile(
            root, {key: schema.features[key] for key in schema.cameras}
        )
        self._lanes = Lanes(schema.cameras)

    def add(self, episode: EncodedEpisode) -> pa.Table:
        """Write the next episode; its videos are copied while the caller goes on.

        Returns:
            Its rows, as they are written.

        Raises:
            DatasetError: its columns are not those of the schema, or it is longer than readers can
                open; or the video of an earlier episode cannot be read.
            NotCuttable: a clip of an earlier episode has to be encoded again.
        """
        limit = self.longest_seconds * self._schema.fps
        if episode.length > limit:
            raise DatasetError(
                f"the episode is too long for LeRobot {self.version}: "
                "its readers compare times as float32",
                place=Place(episode=str(self._numbering.episodes)),
                expected=f"at most {limit} frames ({self.longest_seconds} s)",
                found=f"{episode.length} frames",
                next_step="cut it in the recording, and convert that again",
            )
        rows = self._write(episode)
        self._histograms.add(episode.camera_stats)
        self.origins.clips.append(episode.clips)
        self.origins.rows.append(written_digest(rows))
        return rows

    def take_first(
        self,
        dataset: "Dataset",  # noqa: ARG002 - for writers that can
        count: int,  # noqa: ARG002 - likewise
    ) -> int:
        """Take over the first episodes of a dataset, their files as they are; before any other.

        Args:
            dataset: this writer's own, of the same schema, where no episode has other numbers.
            count: how many.

        Returns:
            How many it took: all, or none where that cannot be. The others are to be added.
        """
        return 0

    def _take_over(self, source: Path | str, target: Path | str) -> None:
        """Give a file of another dataset a second name, or copy it.

        Raises:
            DatasetError: it is missing.
        """
        take_over = link_or_copy if self._options.link else copy_file
        try:
            take_over(source, target)
        except FileNotFoundError as error:
            if Path(source).exists():
                raise
            raise DatasetError(
                "a file of the dataset is missing",
                place=Place(file=Path(source)),
                expected="a file of that name",
                found="nothing",
                next_step="put it back from a copy, fetch the dataset again, or make it anew",
            ) from error

    @abstractmethod
    def _write(self, episode: EncodedEpisode) -> pa.Table:
        """Write the rows and videos of the next episode; gives the rows."""

    def finish(
        self,
        splits: Mapping[str, str] | None = None,
    ) -> None:
        """Write what is known only at the end: tables, statistics, info.json, the dataset card.

        Args:
            splits: named spans of episodes, as in info.json; None for all in "train".

        Raises:
            DatasetError: a video cannot be read.
            NotCuttable: a clip has to be encoded again.
        """
        self._histograms.finish()
        self._finish()
        self._lanes.wait()
        numbering = self._numbering
        info = Info(
            version=self.version,
            robot_type=self._schema.robot_type,
            fps=self._schema.fps,
            features=self._schema.features,
            episodes=numbering.episodes,
            frames=numbering.frames,
            tasks=len(numbering.tasks),
            splits=splits,
            own=self._schema.own,
            **self._places(),
        )
        info.to_disk(self._root)
        card = card_text(info, list(numbering.tasks))
        (self._root / "README.md").write_text(card, encoding="utf-8")

    @abstractmethod
    def _finish(self) -> None:
        """Write the tables of the format and finish its files."""

    def _places(self) -> dict[str, Any]:
        """Where files lie, as `Info` has it, where that is not as in v2.1."""
        return {}

    def close(self) -> None:
        """See that nothing is under way any more; without `finish`, the folder is no dataset."""
        self._lanes.close()
