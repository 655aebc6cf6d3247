"""LeRobot datasets on disk: a reader and a writer for each format."""

from collections.abc import Mapping
from pathlib import Path

from piperline.features import Schema
from piperline.lerobot.v21 import V21Writer
from piperline.lerobot.v30 import V30Writer
from piperline.lerobot.writer import (
    DEFAULTS,
    DatasetWriter,
    Origins,
    WriterOptions,
)

__all__ = [
    "WRITERS",
    "DatasetWriter",
    "Origins",
    "WriterOptions",
    "open_writer",
]


WRITERS: Mapping[str, type[DatasetWriter]] = {
    writer.version: writer for writer in (V21Writer, V30Writer)
}
"""By the name of the format; each is made with `(root, schema, options)`."""


def open_writer(
    version: str, root: Path, schema: Schema, options: WriterOptions = DEFAULTS
) -> DatasetWriter:
    """The writer of a format.

    Args:
        version: "v2.1" or "v3.0".
        root: an empty folder; the caller gives it its final name after `finish`.
        schema: of the dataset.
        options: how.
    """
    return WRITERS[version](root, schema, options)
