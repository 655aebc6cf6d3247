"""SHA-256 of the rows of an episode."""

import hashlib

import numpy as np
import pyarrow as pa

from piperline.lerobot.columns import is_number, unfolded


def written_digest(table: pa.Table) -> str | None:
    """What `rows_digest` tells of rows when they are read again; None where that is not sure.

    Numbers come back as they were written, all else perhaps as another type.
    """
    if not all(is_number(column.type) for column in table.columns):
        return None
    fields = [(field.name, _as_read(field.type)) for field in table.schema]
    return _digest(table, pa.schema(fields))


def rows_digest(table: pa.Table) -> str:
    """The SHA-256 of rows: of each column in the order of names its name, type and values.

    Numbers count as the bytes that the file holds for them, row after row; all else as Python
    shows it.
    """
    return _digest(table, table.schema)


def _digest(table: pa.Table, kinds: pa.Schema) -> str:
    digest = hashlib.sha256()
    for name in sorted(table.column_names):
        column = table.column(name)
        kind = kinds.field(name).type
        digest.update(f"{name} {kind} {len(column)}\n".encode())
        digest.update(_bytes(column))
    return digest.hexdigest()


def _as_read(kind: pa.DataType) -> pa.DataType:
    """The type as which numbers are read: Parquet calls the values of a list "element"."""
    if not pa.types.is_nested(kind):
        return kind
    values = pa.field("element", _as_read(kind.value_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(values, kind.list_size)
    large = pa.types.is_large_list(kind)
    return pa.large_list(values) if large else pa.list_(values)


def _bytes(column: pa.ChunkedArray) -> bytes:
    if not is_number(column.type) or column.null_count:
        return repr(column.to_pylist()).encode()
    values = column
    while pa.types.is_nested(values.type):
        values = unfolded(values)
    return np.ascontiguousarray(values.to_numpy()).tobytes()
