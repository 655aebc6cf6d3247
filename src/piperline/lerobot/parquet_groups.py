"""The first row groups of a Parquet file, which become those of a new one byte for byte.

To read them and to write them again takes seconds where there are ten thousand. Arrow writes the
new groups behind them; only the footer is put together here. Its form: parquet-format,
parquet.thrift (FileMetaData), in Thrift's compact protocol. It counts the rows, and tells of each
group what follows from the place of its bytes alone.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from piperline.lerobot.parquet import TableWriter, reading_parquet

_MAGIC = b"PAR1"
_LENGTH = 4
_PIECE = 1 << 20  # bytes that are copied at a time
_ROWS, _GROUPS = b"\x16", b"\x19"
"""Heads of fields: the number of rows, and the list of groups behind it."""
_OFFSET, _BYTES, _END = b"\x26", b"\x16", b"\x00"
"""Of the last fields of a group: where it begins, how long it is; and the end of it."""
_MORE = 0x80
"""In a byte: the number goes on in the next."""
_STRUCT, _SHORT, _LONG = 12, 15, 0xF0
"""Lists: the type of their items; how many need a number of their own; the head of those."""


@dataclass(frozen=True)
class _Frame:
    """What stands in a footer before the number of rows, and behind the groups."""

    head: bytes
    tail: bytes

    @classmethod
    def of(cls, schema: pa.Schema) -> "_Frame":
        """The frame that a file of a schema has.

        Raises:
            ValueError: another Arrow writes other footers.
        """
        sink = pa.BufferOutputStream()
        pq.ParquetWriter(sink, schema).close()
        footer = _footer(io.BytesIO(sink.getvalue()))
        head, found, tail = footer.partition(_counts(0, 0))
        if not found or _counts(0, 0) in tail:
            raise ValueError("the footer is of another form")
        return cls(head, tail)

    def around(self, rows: int, groups: int, described: bytes) -> bytes:
        """A footer."""
        return self.head + _counts(rows, groups) + described + self.tail

    def groups_of(self, footer: bytes, metadata: pq.FileMetaData) -> bytes:
        """What a footer tells of the groups.

        Raises:
            ValueError: it is of another frame.
        """
        counts = _counts(metadata.num_rows, metadata.num_row_groups)
        start = len(self.head) + len(counts)
        described = footer[start : len(footer) - len(self.tail)]
        if self.head + counts + described + self.tail != footer:
            raise ValueError("the footer is that of another writer")
        return described


@dataclass(frozen=True)
class FirstGroups:
    """The first row groups of a file.

    Attributes:
        path: the file.
        count, rows: how many.
        end: where they end in it.
        schema: of the file.
        described: what the footer tells of them.
        frame: the rest of the footer.
    """

    path: Path
    count: int
    rows: int
    end: int
    schema: pa.Schema
    described: bytes
    frame: _Frame

    @classmethod
    def of(
        cls, path: Path, schema: pa.Schema, sizes: Sequence[int]
    ) -> "FirstGroups":
        """Find the first groups of a file.

        Args:
            path: the file.
            schema: that it must have.
            sizes: how many rows each of the groups must have; of one at least.

        Raises:
            DatasetError: it is missing or damaged.
            ValueError: it is not as our writer makes it.
        """
        with reading_parquet(path):
            metadata = pq.read_metadata(path)
        if metadata.num_row_groups < len(sizes):
            raise ValueError("there are fewer groups")
        for number, rows in enumerate(sizes):
            if metadata.row_group(number).num_rows != rows:
                raise ValueError("a group has other rows")
        frame = _Frame.of(schema)
        footer = _footer_of(path)
        described = frame.groups_of(footer, metadata)
        start, size = _place(metadata.row_group(len(sizes) - 1))
        end = _OFFSET + _number(start) + _BYTES + _number(size) + _END
        # nothing lies between the groups and the footer, such as an index of pages
        behind = sum(_place(metadata.row_group(metadata.num_row_groups - 1)))
        rest = path.stat().st_size - len(_MAGIC) - _LENGTH - len(footer)
        if described.count(end) != 1 or behind != rest:
            raise ValueError("groups are described in another way")
        kept = described[: described.index(end) + len(end)]
        count, rows = len(sizes), sum(sizes)
        return cls(path, count, rows, start + size, schema, kept, frame)


class GroupsWriter(TableWriter):
    """Writes a Parquet file that begins with groups of another.

    Args:
        path: the file.
        first: the groups; the others are of the same schema.
    """

    def __init__(self, path: Path, first: FirstGroups) -> None:
        self._path, self._first = path, first
        self._sink = pa.OSFile(str(path), "wb")
        super().__init__(self._sink, first.schema)
        # Arrow has written its mark, and looks where it is before it writes a group
        with first.path.open("rb") as file:
            file.seek(len(_MAGIC))
            while piece := file.read(min(_PIECE, first.end - file.tell())):
                self._sink.write(piece)

    def close(self) -> None:
        """Finish the file."""
        super().close()
        self._sink.close()
        footer, first = _footer_of(self._path), self._first
        added = pq.read_metadata(self._path)
        described = first.frame.groups_of(footer, added)
        joined = first.frame.around(
            first.rows + added.num_rows,
            first.count + added.num_row_groups,
            first.described + described,
        )
        with self._path.open("r+b") as file:
            file.seek(-len(footer) - _LENGTH - len(_MAGIC), os.SEEK_END)
            file.write(joined)
            file.write(len(joined).to_bytes(_LENGTH, "little") + _MAGIC)


def _footer_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return _footer(file)


def _footer(file: BinaryIO) -> bytes:
    """The footer of a Parquet file that Arrow could open."""
    end = file.seek(-_LENGTH - len(_MAGIC), os.SEEK_END)
    length = int.from_bytes(file.read(_LENGTH), "little")
    file.seek(end - length)
    return file.read(length)


def _place(group: pq.RowGroupMetaData) -> tuple[int, int]:
    """Where the bytes of a group begin, and how many there are."""
    columns = [group.column(index) for index in range(group.num_columns)]
    first = columns[0]
    start = first.data_page_offset
    if first.has_dictionary_page:
        start = min(start, first.dictionary_page_offset)
    return start, sum(column.total_compressed_size for column in columns)


def _counts(rows: int, groups: int) -> bytes:
    """The fields of a footer that count its rows and groups."""
    if groups < _SHORT:
        return _ROWS + _number(rows) + _GROUPS + bytes([groups << 4 | _STRUCT])
    head = bytes([_LONG | _STRUCT])
    return _ROWS + _number(rows) + _GROUPS + head + _varint(groups)


def _number(value: int) -> bytes:
    """A number that is not negative, zigzag."""
    return _varint(value << 1)


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value >= _MORE:
        digits.append(value % _MORE | _MORE)
        value >>= 7
    digits.append(value)
    return bytes(digits)
