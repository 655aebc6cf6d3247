"""LeRobot datasets on disk: a reader and a writer for each format."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from piperline.episode import EncodedEpisode
from piperline.features import Schema
from piperline.lerobot.v21 import V21Writer
from piperline.lerobot.v30 import V30Writer

__all__ = ["WRITERS", "DatasetWriter", "open_writer"]


class DatasetWriter(Protocol):
    """What every writer of datasets does."""

    def add(self, episode: EncodedEpisode) -> pa.Table:
        """Write the next episode; gives its rows, as they are written."""

    def finish(self) -> None:
        """Write what is known only at the end; without it the folder is no dataset."""

    def close(self) -> None:
        """See that nothing is under way any more, also where `finish` was not reached."""


WRITERS: Mapping[str, type[V21Writer] | type[V30Writer]] = {"v2.1": V21Writer, "v3.0": V30Writer}
"""By the name of the format; each is made with `(root, schema, *, link, tasks)`."""


def open_writer(
    version: str,
    root: Path,
    schema: Schema,
    *,
    link: bool = False,
    tasks: Iterable[str] = (),
    data_mb: float = 100,
    video_mb: float = 200,
) -> DatasetWriter:
    """The writer of a format.

    Args:
        version: "v2.1" or "v3.0".
        root: an empty folder; the caller gives it its final name after `finish`.
        schema: of the dataset.
        link: whole clips are nobody else's and may be hard-linked instead of copied.
        tasks: task texts that are numbered first, in this order; others follow as they appear.
        data_mb: v3.0: MiB at which a new data file is begun.
        video_mb: v3.0: MiB at which a new video file of a camera is begun.
    """
    if version == "v3.0":
        return V30Writer(root, schema, link=link, tasks=tasks, data_mb=data_mb, video_mb=video_mb)
    return V21Writer(root, schema, link=link, tasks=tasks)
