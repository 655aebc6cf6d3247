"""LeRobot datasets on disk: a reader and a writer for each format."""

from collections.abc import Mapping
from typing import Protocol

from piperline.episode import EncodedEpisode
from piperline.lerobot.v21 import V21Writer
from piperline.lerobot.v30 import V30Writer

__all__ = ["WRITERS", "DatasetWriter"]


class DatasetWriter(Protocol):
    """What every writer of datasets does."""

    def add(self, episode: EncodedEpisode) -> None:
        """Write the next episode."""

    def finish(self) -> None:
        """Write what is known only at the end; without it the folder is no dataset."""


WRITERS: Mapping[str, type[V21Writer] | type[V30Writer]] = {"v2.1": V21Writer, "v3.0": V30Writer}
"""By the name of the format; each is made with `(root, schema, *, link, tasks)`."""
