"""What the pages of a Parquet file unfold to: its footer may say less, and nobody holds it to that.

The form of page headers: parquet-format, parquet.thrift (PageHeader), in Thrift's compact protocol.
"""

from dataclasses import dataclass
from typing import BinaryIO

_FIRST_READ, _LONGEST_HEADER = 256, 1 << 20  # bytes
_DEEPEST = 8  # structs in structs
_MOST_BITS = 63
_UNCOMPRESSED, _COMPRESSED = 2, 3  # fields of a page header
_BOOLEANS, _BYTE, _INTEGERS = {1, 2}, 3, {4, 5, 6}  # types of fields
_DOUBLE, _BINARY, _STRUCT = 7, 8, 12


def unfolded_size(file: BinaryIO, start: int, size: int) -> int:
    """How many bytes the pages of a column claim together, as their headers tell.

    Args:
        file: the Parquet file.
        start: where its first page begins.
        size: how many bytes its pages take in the file, headers included.

    Raises:
        ValueError: a header is none.
    """
    claimed, at = 0, start
    while at < start + size:
        page = _page(file, at)
        claimed += page.uncompressed
        at += page.header + page.compressed
    return claimed


@dataclass(frozen=True)
class _Page:
    header: int
    uncompressed: int
    compressed: int


def _page(file: BinaryIO, at: int) -> _Page:
    length = _FIRST_READ
    while True:
        file.seek(at)
        data = file.read(length)
        thrift = _Thrift(data)
        try:
            fields = thrift.struct()
        except IndexError:
            if len(data) < length or length >= _LONGEST_HEADER:
                raise ValueError("a page header does not end") from None
            length *= 16
            continue
        sizes = (fields.get(_UNCOMPRESSED, -1), fields.get(_COMPRESSED, -1))
        if min(sizes) < 0:
            raise ValueError("a page header without sizes")
        return _Page(thrift.at, *sizes)


class _Thrift:
    """Reads a struct in Thrift's compact protocol; IndexError where it goes beyond the data."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def struct(self, depth: int = 0) -> dict[int, int]:
        """The integers among the fields of a struct, by their ids; the others are passed over."""
        if depth > _DEEPEST:
            raise ValueError("structs in structs")
        found: dict[int, int] = {}
        number = 0
        while (head := self._byte()) != 0:
            delta, kind = head >> 4, head & 15
            number = number + delta if delta else self._integer()
            if kind in _INTEGERS:
                found[number] = self._integer()
            else:
                self._skip(kind, depth)
        return found

    def _skip(self, kind: int, depth: int) -> None:
        if kind in _BOOLEANS:
            return
        if kind in _INTEGERS:
            self._varint()
        elif kind in {_BYTE, _DOUBLE, _BINARY}:
            sizes = {_BYTE: 1, _DOUBLE: 8}
            self._pass(sizes.get(kind) or self._varint())
        elif kind == _STRUCT:
            self.struct(depth + 1)
        else:  # page headers have no lists and no maps
            raise ValueError(f"a field of type {kind}")

    def _byte(self) -> int:
        value = self._data[self.at]
        self.at += 1
        return value

    def _pass(self, count: int) -> None:
        self.at += count
        if self.at > len(self._data):
            raise IndexError

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift > _MOST_BITS:
                raise ValueError("a number without end")
        return value | byte << shift

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
