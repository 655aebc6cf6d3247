"""Files of LeRobot v3.0 that episodes are appended to, and when a new one is begun.

The rules are those of lerobot's recorder (`lerobot_dataset.py` at v0.4.4), sizes in MiB, and two of
our own: a video file ends before 1,000 s, and before a clip that has other codec parameters.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from piperline.episode import Clip
from piperline.files import make_below
from piperline.lerobot.info import CHUNKS_SIZE, LONGEST_SECONDS, V30_VIDEO_PATH
from piperline.lerobot.parquet import TableWriter
from piperline.lerobot.parquet_groups import FirstGroups, GroupsWriter
from piperline.lerobot.writer import Origins
from piperline.video.clips import ClipReader
from piperline.video.splice import Joiner, Splicer, new_file

TakeOver: TypeAlias = Callable[[str], None]
"""Gives a file of a dataset the same name in a new one."""

_UNWRITTEN = 2
"""Files of a camera that wait to be written, while rows go on."""
_HEAD_BYTES, _FRAME_BYTES = 1024, 8
"""About what an mp4 takes beside its frames: in all, and for each of them."""


class _Numbers:
    """The numbers of the files of one kind: file 0, 1, ... of chunk 0, then chunk 1."""

    def __init__(self) -> None:
        self.file = -1

    def next(self) -> dict[str, int]:
        """Begin the next file."""
        self.file += 1
        return self.now()

    def now(self) -> dict[str, int]:
        """The current file."""
        chunk, file = divmod(self.file, CHUNKS_SIZE)
        return {"chunk_index": chunk, "file_index": file}


class TableFiles:
    """Parquet files that tables are appended to, each table a row group.

    Args:
        root: the dataset.
        template: where files lie.
        limit: bytes at which a new file is begun.
    """

    def __init__(self, root: Path, template: str, limit: float) -> None:
        self._root, self._template, self._limit = root, template, limit
        self._numbers = _Numbers()
        self._writer: TableWriter | None = None
        self._rows = 0
        self.paths: list[Path] = []

    def next(self, rows: int) -> dict[str, int]:
        """The file that the next `rows` rows go to.

        LeRobot's rule: by the bytes that a row has taken so far.
        """
        if self._writer is not None:
            size = self.paths[-1].stat().st_size
            if size + size / self._rows * rows < self._limit:
                return self._numbers.now()
        self.close()
        return self._begin()

    def _begin(self) -> dict[str, int]:
        """Name the next file."""
        where = self._numbers.next()
        self.paths.append(self._root / self._template.format(**where))
        make_below(self._root, self.paths[-1].parent)
        return where

    def take_over(self, closed: Sequence[str], taken: TakeOver) -> None:
        """Begin with files of another dataset; `taken` gives each of them its name here."""
        for name in closed:
            self._numbers.next()
            self.paths.append(self._root / name)
            taken(name)

    def go_on(self, first: FirstGroups) -> None:
        """Begin the next file with row groups of another one."""
        self._begin()
        self._writer = GroupsWriter(self.paths[-1], first)
        self._rows = first.rows

    def append(self, table: pa.Table) -> None:
        """Write `table` to the file that `next` named."""
        if self._writer is None:
            self._writer = TableWriter(self.paths[-1], table.schema)
        self._writer.write_table(table, row_group_size=table.num_rows)
        self._rows += table.num_rows

    def close(self) -> None:
        """Finish the current file."""
        if self._writer is not None:
            self._writer.close()
        self._writer, self._rows = None, 0


class VideoFiles:
    """The mp4 files of one camera that clips are appended to.

    What is appended is written by a thread: where it lies is known before.

    Args:
        root: the dataset.
        key: the camera.
        limit: bytes at which a new file is begun.
        origins: told what came of each file.
        link: a file that is another one, byte for byte, may be hard-linked.
    """

    def __init__(
        self,
        root: Path,
        key: str,
        limit: float,
        *,
        origins: Origins,
        link: bool,
    ) -> None:
        self._root, self._key, self._limit = root, key, limit
        self._origins, self._link = origins, link
        self._reader = ClipReader()
        self._numbers = _Numbers()
        self._joiner: Joiner | Splicer | None = None
        self._episodes, self._first = 0, 0
        self._writing = ThreadPoolExecutor(1)
        self._unwritten: deque[Future[None]] = deque()

    def take_over(
        self, closed: Sequence[str], episodes: int, taken: TakeOver
    ) -> None:
        """Begin with files of another dataset; `taken` gives each of them its name here.

        Args:
            closed: their names.
            episodes: how many lie in them.
            taken: gives a file its name.
        """
        for name in closed:
            self._numbers.next()
            taken(name)
        self._episodes = episodes

    def add(self, clip: Clip) -> dict[str, Any]:
        """Append `clip`; the episode table's columns for it.

        Raises:
            Exception: what writing an earlier file raised.
        """
        if self._joiner is None or not self._fits(self._joiner, clip):
            self._end()
            path = self._root / V30_VIDEO_PATH.format(
                video_key=self._key, **self._numbers.next()
            )
            make_below(self._root, path.parent)
            self._joiner = new_file(path, clip, self._reader, link=self._link)
            self._first = self._episodes
        first = self._joiner.frames
        self._joiner.add(clip)
        self._episodes += 1
        times = {
            "from_timestamp": first / clip.info.fps,
            "to_timestamp": (first + clip.count) / clip.info.fps,
        }
        columns = {**self._numbers.now(), **times}
        return {
            f"videos/{self._key}/{name}": value
            for name, value in columns.items()
        }

    def _fits(self, joiner: Joiner | Splicer, clip: Clip) -> bool:
        frames = joiner.frames + clip.count
        if frames / clip.info.fps > LONGEST_SECONDS["v3.0"]:
            return False
        # by what follows from the clips alone, wherever they lie now
        size = joiner.bytes + self._reader.size(clip)
        if size + _HEAD_BYTES + frames * _FRAME_BYTES >= self._limit:
            return False
        return self._reader.form(clip) == joiner.form

    def _end(self) -> None:
        """Have the current file written."""
        joiner, self._joiner = self._joiner, None
        if joiner is None:
            return
        self._wait(_UNWRITTEN - 1)
        writing = self._writing.submit(self._write, joiner, self._first)
        self._unwritten.append(writing)

    def _write(self, joiner: Joiner | Splicer, first: int) -> None:
        joiner.close()
        name = str(joiner.path.relative_to(self._root))
        self._origins.note(name, self._key, first, joiner.written)

    def _wait(self, left: int) -> None:
        while len(self._unwritten) > left:
            self._unwritten.popleft().result()

    def finish(self) -> None:
        """See that all files are written, and close the clips.

        Raises:
            Exception: what writing a file raised.
        """
        self._end()
        self._wait(0)
        self._reader.close()

    def close(self) -> None:
        """See that nothing is under way any more; what has not begun is dropped."""
        self._writing.shutdown(cancel_futures=True)
