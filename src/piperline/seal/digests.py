"""SHA-256 of files, and of the rows of an episode."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from piperline.lerobot.columns import is_number, unfolded

_SMALL = 1 << 16


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        beginning = file.read(_SMALL)
        if len(beginning) < _SMALL:
            # `file_digest` first fills a buffer of its own with zeros
            return hashlib.sha256(beginning).hexdigest()
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def rows_digest(table: pa.Table) -> str:
    """The SHA-256 of rows: of each column in the order of names its name, type and values.

    Numbers count as the bytes that the file holds for them, row after row; all else as Python
    shows it.
    """
    digest = hashlib.sha256()
    for name in sorted(table.column_names):
        column = table.column(name)
        digest.update(f"{name} {column.type} {len(column)}\n".encode())
        digest.update(_bytes(column))
    return digest.hexdigest()


def _bytes(column: pa.ChunkedArray) -> bytes:
    if not is_number(column.type) or column.null_count:
        return repr(column.to_pylist()).encode()
    values = column
    while pa.types.is_nested(values.type):
        values = unfolded(values)
    return np.ascontiguousarray(values.to_numpy()).tobytes()
