"""Parquet files: read with a bound on what a few bytes can unfold to; written, or given up."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from piperline.errors import DatasetError, Place
from piperline.lerobot.parquet_pages import unfolded_size
from piperline.lerobot.values import Values
from piperline.text import printable, size_text

_LARGEST_GROUP = 2 << 30
"""Bytes that a row group may have in memory: files of LeRobot hold 100 to 500 MB altogether."""

_ALWAYS, _MOST_FOLDED = 64 << 20, 100
"""What all numbers of a file may take: so many bytes, and so many times what the file has. Numbers
of robots fold to a third, zeros to a thousandth."""

_VALUE_BYTES = 8  # the widest number
_MANY_ROWS = 1 << 14
"""Of fewer, to hand the columns out to threads takes longer than to read them."""
_BATCH = 256
"""Rows that are read at a time where there are texts or bytes: one that all rows share is small in
the file, and unfolds with them."""


@contextmanager
def reading_parquet(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises about a file into an error with a place.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DatasetError(
            "a file of the dataset is missing",
            place=Place(file=path),
            expected="a Parquet file",
            found="nothing of that name",
        ) from error
    except PermissionError as error:
        raise DatasetError(
            "there is no permission to read a file of the dataset",
            place=Place(file=path),
            expected="a file that this user can read",
            found=printable(str(error)),
            next_step="give the permission, or run this as its owner",
        ) from error
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DatasetError(
            "a Parquet file of the dataset cannot be read: it is damaged, or its writer was "
            "stopped before it finished",
            place=Place(file=path),
            found=printable(str(error).partition("\n")[0]),
            expected="a whole Parquet file",
        ) from error


class ParquetRows:
    """Rows of a Parquet file by number; holds the row group that was read last.

    Args:
        path: the file.
        wanted: tells by its name whether a column is read.
        in_parts: its rows are never together in memory, so that it may unfold to any size of which
            each row group has a little.

    Attributes:
        path: the file.
        columns: the names of the columns that are read.

    Raises:
        DatasetError: it is missing or damaged.
    """

    def __init__(
        self,
        path: Path,
        wanted: Callable[[str], bool] = lambda _: True,
        *,
        in_parts: bool = False,
    ) -> None:
        self.path, self._in_parts = path, in_parts
        with reading_parquet(path):
            self._file = pq.ParquetFile(path)
            names = self._file.schema_arrow.names
            groups = range(self._file.num_row_groups)
            sizes = [
                self._file.metadata.row_group(number).num_rows
                for number in groups
            ]
            self._empty = self._file.schema_arrow.empty_table()
            self._check_all()
        self._check_names(names)
        self.columns = list(filter(wanted, names))
        self._starts: list[int] = [0, *accumulate(sizes)]
        self._held: tuple[int, pa.Table] | None = None
        self._found: tuple[tuple[str, ...], list[int]] | None = None

    def _check_names(self, names: Sequence[str]) -> None:
        if len(set(names)) < len(names):
            raise DatasetError(
                "columns of the table have the same name",
                place=self._place,
                expected="columns of different names",
                found=printable(", ".join(names)),
            )

    @property
    def _place(self) -> Place:
        return Place(file=self.path)

    def __len__(self) -> int:
        return self._starts[-1]

    def all(
        self,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """All rows, of all columns or of some.

        Raises:
            DatasetError: the file is damaged, or unfolds to more than a dataset's file can hold.
        """
        if columns is None:
            return self.rows(0, len(self))
        groups = [
            self._read(number, columns)
            for number in range(len(self._starts) - 1)
        ]
        if not groups:
            return self._empty.select(columns)
        return pa.concat_tables(groups)

    def rows(self, start: int, stop: int) -> pa.Table:
        """Rows `start` to `stop`, as many of them as there are.

        Raises:
            DatasetError: as for `all`.
        """
        start, stop = max(start, 0), min(stop, len(self))
        pieces = []
        while start < stop:
            number = bisect_right(self._starts, start) - 1
            first, last = (
                self._starts[number],
                min(self._starts[number + 1], stop),
            )
            pieces.append(
                self._group(number).slice(start - first, last - start)
            )
            start = last
        return (
            pa.concat_tables(pieces)
            if pieces
            else self._empty.select(self.columns)
        )

    def _group(self, number: int) -> pa.Table:
        if self._held is None or self._held[0] != number:
            self._held = (number, self._read(number, self.columns))
        return self._held[1]

    def _read(
        self,
        number: int,
        columns: Sequence[str],
    ) -> pa.Table:
        with reading_parquet(self.path):
            if not self._check_claims(number, columns):
                rows = self._starts[number + 1] - self._starts[number]
                return self._file.read_row_group(
                    number, list(columns), use_threads=rows >= _MANY_ROWS
                )
            pieces, size = [], 0
            for piece in self._file.iter_batches(
                _BATCH, [number], list(columns)
            ):
                size += piece.nbytes
                self._check_size(size)
                pieces.append(piece)
            fields = [self._empty.schema.field(name) for name in columns]
            table = pa.Table.from_batches(pieces, pa.schema(fields))
            table.validate(full=True)  # texts are UTF-8
        return table.combine_chunks()

    def _check_all(self) -> None:
        """See that the file does not claim many times what it holds."""
        metadata, size = self._file.metadata, self.path.stat().st_size
        counts = [0]
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            columns = map(group.column, range(group.num_columns))
            counts.append(sum(column.num_values for column in columns))
        values = max(counts) if self._in_parts else sum(counts)
        most = _ALWAYS + _MOST_FOLDED * size
        if values * _VALUE_BYTES > most:
            raise self._too_large(values * _VALUE_BYTES, size_text(most))

    def _check_claims(self, number: int, names: Sequence[str]) -> bool:
        """See that columns of a row group do not claim too much; whether some are of bytes."""
        group = self._file.metadata.row_group(number)
        columns = [group.column(index) for index in self._places(tuple(names))]
        for column in columns:
            values = _VALUE_BYTES * column.num_values
            self._check_size(max(column.total_uncompressed_size, values))
        with self.path.open("rb") as file:
            for column in columns:
                self._check_size(self._claimed_by_pages(file, column))
        return any(column.physical_type == "BYTE_ARRAY" for column in columns)

    def _places(self, names: tuple[str, ...]) -> list[int]:
        """Where the columns lie in a row group; one of lists or of structs is several there."""
        if self._found is None or self._found[0] != names:
            schema = self._file.schema
            paths = [schema.column(n).path for n in range(len(schema))]
            below = tuple(f"{name}." for name in names)
            found = [
                place
                for place, path in enumerate(paths)
                if f"{path}.".startswith(below)
            ]
            self._found = (names, found)
        return self._found[1]

    def _claimed_by_pages(
        self, file: BinaryIO, column: pq.ColumnChunkMetaData
    ) -> int:
        if column.compression == "UNCOMPRESSED":
            return 0
        start = column.data_page_offset
        if column.has_dictionary_page:
            start = min(start, column.dictionary_page_offset)
        try:
            return unfolded_size(file, start, column.total_compressed_size)
        except ValueError as error:
            raise DatasetError(
                "a Parquet file of the dataset is damaged",
                place=self._place,
                expected="pages that say how large they are",
                found=str(error),
                next_step="fetch the dataset again",
            ) from error

    def _check_size(self, size: int) -> None:
        if size > _LARGEST_GROUP:
            most = f"{size_text(_LARGEST_GROUP)} in a row group"
            raise self._too_large(size, most)

    def _too_large(self, size: int, most: str) -> DatasetError:
        return DatasetError(
            "a Parquet file of the dataset unfolds to more than such a file can hold",
            place=self._place,
            expected=f"at most {most}",
            found=size_text(size),
        )


def table_of(
    path: Path,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Read a Parquet file, or some of its columns.

    Raises:
        DatasetError: it is missing or damaged, or lacks a column.
    """
    rows = ParquetRows(path)
    missing = sorted(set(columns or ()) - set(rows.columns))
    if missing:
        raise DatasetError(
            f"the table has no column {printable(missing[0])}",
            place=Place(file=path),
            found=f"columns {printable(', '.join(rows.columns))}",
            expected=f"columns {printable(', '.join(columns or ()))}",
        )
    return rows.all(columns)


def numbered_texts(path: Path, name: str) -> list[str]:
    """The texts of a table of tasks or subtasks, as LeRobot v3.0 has them, by their numbers.

    Args:
        path: the table.
        name: "task" or "subtask".

    Raises:
        DatasetError: it is missing or damaged, or no such table.
    """
    table = table_of(path)
    number = f"{name}_index"
    texts = [column for column in table.column_names if column != number]
    # lerobot's readers go by the position of a row, not by its number: both must agree.
    if (
        len(texts) != 1
        or number not in table.column_names
        or table[number].to_pylist() != list(range(table.num_rows))
    ):
        raise DatasetError(
            f"{path.name} is not a table of texts numbered 0, 1, 2, ...",
            place=Place(file=path),
            found=printable(f"columns {', '.join(table.column_names)}"),
            expected=f"the column {number}, numbered in order, and one of texts",
        )
    values = {name: table[texts[0]].to_pylist()}
    return list(Values(values, path.name, Place(file=path)).texts(name))


class TableWriter(pq.ParquetWriter):  # type: ignore[misc]  # pyarrow has no types
    """Writes a Parquet file; one that is not closed is given up."""

    def __del__(self) -> None:
        """Do not finish it: on a full disk pyarrow would fail once more, and print that."""
        self.is_open = False
