"""What the pages of a Parquet file unfold to: its footer may say less, and nobody holds it to that.

The form of page headers: parquet-format, parquet.thrift (PageHeader), in Thrift's compact protocol.
"""

from dataclasses import dataclass
from typing import BinaryIO

_FIRST_READ, _LONGEST_HEADER = 256, 1 << 20  # bytes
_DEEPEST = 8  # structs in structs
_MOST_BITS = 63
_UNCOMPRESSED, _COMPRESSED = 2, 3  # fields of a page header
_INTEGERS, _BINARY, _STRUCT = {4, 5, 6}, 8, 12  # types of fields
_FIXED = {1: 0, 2: 0, 3: 1, 7: 8}
"""Bytes of the value of a field: true, false, a byte, a double."""


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
        try:
            fields, end = _struct(data, 0)
        except IndexError:
            if len(data) < length or length >= _LONGEST_HEADER:
                raise ValueError("a page header does not end") from None
            length *= 16
            continue
        sizes = (fields.get(_UNCOMPRESSED, -1), fields.get(_COMPRESSED, -1))
        if min(sizes) < 0:
            raise ValueError("a page header without sizes")
        return _Page(end, *sizes)


# A file of short episodes has hundreds of thousands of headers: plain functions, few calls.


def _struct(data: bytes, at: int, depth: int = 0) -> tuple[dict[int, int], int]:
    """The integers among the fields of a struct in Thrift's compact protocol, and where it ends.

    By their ids; other fields are passed over. IndexError where it goes beyond the data.
    """
    if depth > _DEEPEST:
        raise ValueError("structs in structs")
    found: dict[int, int] = {}
    number = 0
    while True:
        head = data[at]
        at += 1
        if not head:
            return found, at
        kind = head & 15
        if head >> 4:
            number += head >> 4
        else:
            value, at = _varint(data, at)
            number = (value >> 1) ^ -(value & 1)
        if kind in _INTEGERS:
            value, at = _varint(data, at)
            found[number] = (value >> 1) ^ -(value & 1)
        elif kind == _BINARY:
            value, at = _varint(data, at)
            at += value
        elif kind == _STRUCT:
            _, at = _struct(data, at, depth + 1)
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:  # page headers have no lists and no maps
            raise ValueError(f"a field of type {kind}")
        if at > len(data):
            raise IndexError


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while (byte := data[at]) & 0x80:
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift > _MOST_BITS:
            raise ValueError("a number without end")
        at += 1
    return value | byte << shift, at + 1
