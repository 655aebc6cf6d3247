"""Values of datasets and attributes, read within limits, whatever a file claims."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.errors import RecordingError
from piperline.hdf5.objects import (
    Dataset,
    Thing,
    Unreadable,
    attribute_names,
    reading_h5py,
)
from piperline.memory import at_most_more
from piperline.recordings.hdf5_rows import read_rows
from piperline.recordings.limits import READ_MEMORY
from piperline.text import printable, shown, size_text
from piperline.video.image_header import ImageHeader, read_header

MOST_BYTES = 64 << 20
"""The most that one look reads: the chunk that holds a value is decompressed as a whole."""

MOST_VALUES = 1000
"""The most that a preview shows."""

Selection = int | slice | tuple[int | slice, ...]
Value = Any
"""What h5py makes of values: a numpy array or scalar, bytes, a reference."""

_FEW = 6
_FEW_ROWS, _FEW_COLUMNS = 3, 8
_COLORS = (3, 4)  # the last of a raw image's dimensions: RGB, RGBA
_RAW_DIMENSIONS, _PADDED_DIMENSIONS = 4, 2
_SELECTIONS = "like 5, 10:20 or 0:3, 2"
_EXAMPLE = "preview NAME[10:20], for example"


@dataclass(frozen=True)
class SampledValues:
    """Some values of a dataset, or those of an attribute.

    Attributes:
        numbers: if they are numbers or booleans: their array.
        texts: otherwise: each as text; an encoded image by what its header says.
        shape: of all that there are; None for a dataset or attribute without a dataspace.
        taken: of how many of each dimension the values are; as `shape` if they are all.
    """

    numbers: NDArray[Any] | None
    texts: tuple[str, ...]
    shape: tuple[int, ...] | None
    taken: tuple[int, ...] | None

    @property
    def is_cut(self) -> bool:
        """Whether there are more values than these, though nobody asked for a part."""
        return self.taken != self.shape

    def to_json(self) -> Value:
        """A number, a text, a list, or lists of lists; numbers that JSON lacks as text."""
        if self.shape is None:
            return None
        if self.numbers is not None:
            return _finite(self.numbers.tolist())
        texts = list(map(_utf8, self.texts))
        return texts if self.shape else texts[0]


def _utf8(text: str) -> str:
    """A text with bytes that are not UTF-8 as escapes."""
    return text.encode("utf-8", "surrogateescape").decode(
        "utf-8", "backslashreplace"
    )


def _finite(value: Value) -> Value:
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, bool | int) or (
        isinstance(value, float) and math.isfinite(value)
    ):
        return value
    return str(value)


_NOTHING = SampledValues(None, (), None, None)


def elsewhere(dataset: Dataset) -> str | None:
    """Why the values of a dataset are not in its file; None if they are.

    Raises:
        Unreadable: its header is damaged.
    """
    with reading_h5py():
        properties = dataset.get_create_plist()
        if properties.get_external_count():
            file = shown(properties.get_external(0)[0])
            return f"its values lie in another file, {file}"
        is_virtual = properties.get_layout() == h5py.h5d.VIRTUAL
    return "its values lie in other datasets" if is_virtual else None


def read(
    dataset: Dataset, selection: Selection, *, most: int | None = None
) -> Value:
    """Read a part of a dataset.

    Args:
        dataset: what to read.
        selection: which part.
        most: how many values at most; otherwise only their bytes are limited.

    Raises:
        RecordingError: there is no such part; or the values lie in another file, are too many or
            too large to look at, or damaged.
    """
    _refuse(dataset)
    with reading_h5py():
        shape, item_bytes = dataset.shape, dataset.get_type().get_size()
    asked = _count(shape, selection)
    if asked > (most or asked) or asked * item_bytes > MOST_BYTES:
        message = f"not read: {asked:,} values are too many"
        raise RecordingError(
            message,
            expected=f"at most {most or asked:,} values and {size_text(MOST_BYTES)}",
            found=f"{asked:,} values of {size_text(item_bytes)} each",
            next_step="ask for fewer: NAME[10:20]",
        )
    with reading_h5py():
        return h5py.Dataset(dataset)[selection]


def _count(shape: tuple[int, ...], selection: Selection) -> int:
    """How many values a selection takes; found on an array of that shape that takes no memory."""
    try:
        return int(
            np.broadcast_to(
                np.uint8(0),
                shape,
            )[selection].size
        )
    except (
        IndexError,
        ValueError,
    ) as error:
        # ValueError: too many values for numpy
        raise RecordingError(
            f"there is no such part: {error}",
            expected=f"a part of the shape {shape}",
            next_step="preview NAME without brackets shows the first values",
        ) from error


def _refuse(dataset: Dataset) -> None:
    """Refuse values in other files, and chunks that would fill the memory when decompressed."""
    if where := elsewhere(dataset):
        raise RecordingError(
            f"not read: {where}",
            expected="values in the dataset itself",
            found="a dataset that only says where they are",
            next_step="open the file that holds them, or the dataset",
        )
    with reading_h5py():
        properties = dataset.get_create_plist()
        if (
            properties.get_layout() != h5py.h5d.CHUNKED
            or not properties.get_nfilters()
        ):
            return
        chunk = (
            math.prod(properties.get_chunk()) * dataset.get_type().get_size()
        )
    if chunk > MOST_BYTES:
        raise RecordingError(
            f"not read: one of its chunks claims {size_text(chunk)}",
            expected=f"chunks of at most {size_text(MOST_BYTES)}",
            found=size_text(chunk),
            next_step="write the dataset again in smaller chunks",
        )


def image_bytes(dataset: Dataset, frame: int = 0) -> bytes | None:
    """The bytes of one row, if the rows are byte strings: variable-length, fixed or padded.

    Raises:
        RecordingError: the row cannot be read.
    """
    with reading_h5py():
        shape, dtype = dataset.shape, dataset.dtype
    if (
        not shape
        or not -shape[0] <= frame < shape[0]
        or not _holds_bytes(shape, dtype)
    ):
        return None
    value = _row(dataset, shape, dtype, frame % shape[0])
    if isinstance(value, np.ndarray | np.void):
        return value.tobytes()
    return bytes(value) if isinstance(value, bytes) else None


def _holds_bytes(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> bool:
    if len(shape) == _PADDED_DIMENSIONS:
        return bool(dtype == np.uint8)
    is_plain = dtype.kind in "SVO" and dtype.names is None
    return len(shape) == 1 and is_plain and h5py.check_ref_dtype(dtype) is None


def _row(
    dataset: Dataset, shape: tuple[int, ...], dtype: np.dtype[Any], index: int
) -> Value:
    _refuse(dataset)
    if math.prod(shape[1:]) * dtype.itemsize > MOST_BYTES:
        raise RecordingError(
            "not read: one row is too large",
            expected=f"at most {size_text(MOST_BYTES)}",
            found=size_text(math.prod(shape[1:]) * dtype.itemsize),
            next_step="ask for a part of it: NAME[0, 0:10]",
        )
    with reading_h5py():
        return read_rows(dataset, dtype, index, index + 1)[0]


def image_in(dataset: Dataset) -> ImageHeader | str | None:
    """What the rows of a dataset show, told by the first.

    Returns:
        The header of an encoded image, `raw WxH`, or None: no images.
    """
    try:
        with reading_h5py():
            shape, dtype = dataset.shape, dataset.dtype
        if is_raw_images(shape, dtype):
            return f"raw {shape[2]}x{shape[1]}"
        data = image_bytes(dataset)
    except RecordingError:
        return None
    return read_header(data) if data else None


def is_raw_images(
    shape: tuple[int, ...] | None,
    dtype: np.dtype[Any],
) -> bool:
    """Whether a dataset of this shape and type is one of raw images, uint8 (T, H, W, 3 or 4)."""
    if shape is None or len(shape) != _RAW_DIMENSIONS:
        return False
    return bool(dtype == np.uint8) and shape[-1] in _COLORS


def preview(dataset: Dataset, selection: str = "") -> SampledValues:
    """A few values of a dataset.

    Args:
        dataset: what to look at.
        selection: which, in Python's words: `5`, `10:20`, `0, 2:4`, `-1`; by default the first few:
            3 rows of 8 numbers, or 6 of a flat list.

    Raises:
        RecordingError: there is no such selection, or `read` refuses it.
    """
    with reading_h5py():
        shape = dataset.shape
        has_none = dataset.get_space().get_simple_extent_type() == h5py.h5s.NULL
    if shape is None or has_none:
        return _NOTHING
    if selection:
        return _values(read(dataset, _parsed(selection), most=MOST_VALUES))
    taken = tuple(map(min, shape, _few(len(shape))))
    value = read(
        dataset, tuple(slice(0, count) for count in taken), most=MOST_VALUES
    )
    return _values(value, shape, taken)


def _few(dimensions: int) -> Sequence[int]:
    """How many of each dimension a preview shows."""
    if dimensions == 1:
        return [_FEW]
    return [
        *[1] * (dimensions - 2),
        _FEW_ROWS,
        _FEW_COLUMNS,
    ][:dimensions]


def _parsed(text: str) -> tuple[int | slice, ...]:
    message = "this is not a selection"
    if not re.fullmatch(r"[-\d:,\s]{0,200}", text):
        raise RecordingError(
            message,
            found=printable(text),
            expected=_SELECTIONS,
            next_step=_EXAMPLE,
        )
    try:
        return tuple(_axis(part.strip()) for part in text.split(","))
    except (TypeError, ValueError):
        raise RecordingError(
            message,
            found=printable(text) or "nothing",
            expected=_SELECTIONS,
            next_step=_EXAMPLE,
        ) from None


def _bound(text: str) -> int | None:
    return int(text) if text.strip() else None


def _axis(text: str) -> int | slice:
    if ":" not in text:
        return int(text)
    chosen = slice(*map(_bound, text.split(":")))
    if chosen.step is not None and chosen.step < 1:
        raise ValueError("steps go forward")
    return chosen


def _values(
    value: Value,
    shape: tuple[int, ...] | None = None,
    taken: tuple[int, ...] | None = None,
) -> SampledValues:
    """Values as they were read; all that there are, unless `shape` and `taken` say otherwise."""
    array = value if isinstance(value, np.ndarray) else None
    own = array.shape if array is not None else ()
    if shape is None:
        shape = taken = own
    if array is not None and _are_padded_images(array):
        return SampledValues(
            None, tuple(map(_text, np.atleast_2d(array))), shape, taken
        )
    if array is not None and _are_numbers(array.dtype):
        return SampledValues(array, (), shape, taken)
    if isinstance(value, np.number | np.bool_ | bool | int | float):
        return SampledValues(np.asarray(value), (), shape, taken)
    items = array.ravel() if array is not None else [value]
    return SampledValues(None, tuple(map(_text, items)), shape, taken)


def _are_numbers(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biufc" and dtype.names is None


def _are_padded_images(array: NDArray[Any]) -> bool:
    if array.dtype != np.uint8 or array.ndim not in {1, 2} or not array.size:
        return False
    return read_header(np.atleast_2d(array)[0].tobytes()) is not None


def _text(value: Value) -> str:
    """A value that is no number, with control characters and all."""
    data = _bytes(value)
    if header := read_header(data):
        return f"{header}, {size_text(len(data))}"
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, np.ndarray):
        return " ".join(str(value).split())
    return str(value)


def _bytes(value: Value) -> bytes:
    if isinstance(value, np.void | np.ndarray):
        return value.tobytes()
    return value if isinstance(value, bytes) else b""


def attributes(thing: Thing) -> dict[str, SampledValues | str]:
    """The attributes of an object by name, whole; why in words, where one cannot be read.

    Raises:
        Unreadable: the object is damaged.
    """
    found: dict[str, SampledValues | str] = {}
    for name in attribute_names(thing):
        try:
            found[shown(name)] = _attribute(thing, name)
        except RecordingError as error:
            found[shown(name)] = error.message
    return found


def _attribute(thing: Thing, name: bytes) -> SampledValues:
    with reading_h5py():
        attribute = h5py.h5a.open(thing, name)
        if attribute.get_space().get_simple_extent_type() == h5py.h5s.NULL:
            return _NOTHING
        shape, dtype = attribute.shape, attribute.dtype
        size = math.prod(shape) * attribute.get_type().get_size()
    if size > MOST_BYTES:
        raise Unreadable(f"not read: it claims {size_text(size)}")
    with reading_h5py():
        value = np.empty(shape, dtype)
        with at_most_more(READ_MEMORY):
            attribute.read(value)
    return _values(value if value.ndim else cast("Value", value[()]))
