"""The planes of a decoded JPEG as encoders take them, through FFmpeg's filters.

Nothing is converted to RGB on the way: samples are mapped from full to limited range (ITU-T T.871
to ITU-R BT.601). FFmpeg's own conversion of ranges adds dither, which doubles the encoder's time
and bytes.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import count
from threading import get_ident
from typing import cast

import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

_PLANAR = {"yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p"}

# Luma's 255 steps become 219, and the lowest 16: `blend` works on many samples at a time, which is
# faster than a table. `screen` with 72 makes 72 + ceil(183/255 Y), and the average of that and Y,
# cut off, is 36 + 219/255 Y, rounded, for each of the 256 values.
_SCREENED, _ABOVE = 72, 20

# Tables in FFmpeg's words: `val` is a sample, `x` and `y` are those of the blue and of the red
# difference; what is behind the point is cut off. 255 steps become 224.
_LIMITED_CHROMA = "c0=128.5+(val-128)*224/255"

# With red and blue exchanged, luma Y becomes Y + w (B - R), where w is red's weight in it less
# blue's; B - Y and R - Y are multiples of the two differences, and so are the new differences.
# Unlike by way of RGB nothing is cut off at 0 or 255, and no chroma is lost.
_BLUE, _RED, _WEIGHT = 1.772, 1.402, 0.299 - 0.114
_LUMA, _CHROMA = 219 / 255, 224 / 255
_ADDED = _WEIGHT * _BLUE * _LUMA, -_WEIGHT * _RED * _LUMA
"""What is added to luma: so much of the blue, and of the red difference."""
_NEW_BLUE = -_WEIGHT * _CHROMA, (1 + _WEIGHT) * _RED / _BLUE * _CHROMA
_NEW_RED = (1 - _WEIGHT) * _BLUE / _RED * _CHROMA, _WEIGHT * _CHROMA


def is_full_range(picture: VideoFrame) -> bool:
    """Whether a picture has planes of full range, as a decoded JPEG has; grey ones too."""
    name = picture.format.name
    if name in _PLANAR:
        return picture.color_range == ColorRange.JPEG
    return name == "gray" or name.replace("yuvj", "yuv") in _PLANAR


def limited(picture: VideoFrame) -> VideoFrame:
    """The planes of a full-range picture as limited-range yuv420p."""
    return _filter(picture, exchange=False).through(picture)


def exchanged(picture: VideoFrame) -> VideoFrame:
    """The same with red and blue exchanged."""
    return _filter(picture, exchange=True).through(picture)


def _filter(picture: VideoFrame, *, exchange: bool) -> "_Filter":
    return _kept_filter(
        get_ident(),
        (picture.width, picture.height),
        picture.format.name,
        exchange=exchange,
    )


# Making the tables of a filter takes as long as some tens of pictures.
@lru_cache(maxsize=16)
def _kept_filter(
    _thread: int, size: tuple[int, int], form: str, *, exchange: bool
) -> "_Filter":
    return _Filter(size, form, exchange=exchange)


_Output = FilterContext | tuple[FilterContext, int]
_Planes = tuple[FilterContext, Sequence[_Output]]


class _Filter:
    """A graph of FFmpeg's filters: one picture in, one picture out."""

    def __init__(
        self, size: tuple[int, int], form: str, *, exchange: bool
    ) -> None:
        self._numbers = count()
        self._size = size
        self._graph = Graph()
        self._constants: list[tuple[FilterContext, int, tuple[int, int]]] = []
        self._graph.threads = 1
        self._source = self._buffer(size, form)
        half = -(-size[0] // 2), -(-size[1] // 2)
        recorded_form = VideoFormat(form)
        self._chroma = (
            recorded_form.chroma_width(size[0]),
            recorded_form.chroma_height(size[1]),
        )
        if form == "gray":
            luma, chroma = self._grey(half)
        else:
            recorded = self._then("extractplanes", "y+u+v", self._source)
            luma, chroma = (
                self._exchanged(recorded)
                if exchange
                else self._limited(recorded)
            )
        if form not in {"gray", "yuv420p", "yuvj420p"}:
            chroma = [self._scaled(plane, half, "area") for plane in chroma]
        # A format with a "j" is full range, whatever is said of it: the planes change into another.
        merged = self._then(
            "mergeplanes",
            "map0s=0:map1s=1:map2s=2:map0p=0:map1p=0:map2p=0:format=yuv420p",
            luma,
            *chroma,
        )
        told = self._then("setparams", "range=limited", merged)
        self._sink = self._then("buffersink", None, told)
        self._graph.configure()
        for source, value, shape in self._constants:
            source.push(_plane_of(value, shape))
            source.push(None)

    def through(self, picture: VideoFrame) -> VideoFrame:
        picture.pts = next(self._numbers)
        self._source.push(picture)
        return cast("VideoFrame", self._sink.pull())

    def _grey(self, half: tuple[int, int]) -> _Planes:
        luma = self._then("split", "2", self._source)
        neutral = self._then("lut", "c0=128", self._scaled(luma, half))
        both = self._then("split", "2", neutral)
        return self._limited_luma((luma, 1)), [both, (both, 1)]

    def _limited(self, recorded: FilterContext) -> _Planes:
        luma = self._limited_luma(recorded)
        chroma = [
            self._then("lut", _LIMITED_CHROMA, (recorded, plane))
            for plane in (1, 2)
        ]
        return luma, chroma

    def _exchanged(self, recorded: FilterContext) -> _Planes:
        blue = self._then("split", "3", (recorded, 1))
        red = self._then("split", "3", (recorded, 2))
        added, *chroma = [
            self._sum(((blue, number), (red, number)), parts)
            for number, parts in enumerate((_ADDED, _NEW_BLUE, _NEW_RED))
        ]
        less = self._constant(_ABOVE, self._chroma)
        added = self._blended("subtract", added, less)
        # A sum; in the second picture 128 is nothing.
        luma = self._blended(
            "grainmerge", self._luma_above(recorded), self._as_luma(added)
        )
        return luma, chroma

    def _sum(
        self, planes: tuple[_Output, _Output], parts: tuple[float, float]
    ) -> FilterContext:
        """So much of one difference, and so much of the other; 128 is none."""
        terms = [
            self._part(plane, abs(part))
            for plane, part in zip(planes, parts, strict=True)
        ]
        if parts[0] < 0:
            return self._blended("grainextract", *reversed(terms))
        way = "grainextract" if parts[1] < 0 else "grainmerge"
        return self._blended(way, *terms)

    def _part(self, plane: _Output, part: float) -> FilterContext:
        """A part of a difference, rounded: what is between it and 128 is taken away in 256ths."""
        none = self._constant(128, self._chroma)
        taken = self._constant(round(256 * (1 - part)), self._chroma)
        return self._then("maskedmerge", None, plane, none, taken)

    def _limited_luma(self, luma: _Output) -> FilterContext:
        above = self._luma_above(luma)
        return self._blended(
            "subtract", above, self._constant(_ABOVE, self._size)
        )

    def _luma_above(self, luma: _Output) -> FilterContext:
        """Luma of limited range, and `_ABOVE` more."""
        both = self._then("split", "2", luma)
        screen = self._blended(
            "screen", (both, 1), self._constant(_SCREENED, self._size)
        )
        return self._blended("average", both, screen)

    def _blended(self, way: str, *planes: _Output) -> FilterContext:
        return self._then("blend", f"all_mode={way}", *planes)

    def _constant(self, value: int, size: tuple[int, int]) -> FilterContext:
        """A plane of one value; FFmpeg repeats it for each picture."""
        source = self._buffer(size, "gray")
        self._constants.append((source, value, size))
        return source

    def _buffer(self, size: tuple[int, int], form: str) -> FilterContext:
        return self._graph.add_buffer(
            width=size[0],
            height=size[1],
            format=VideoFormat(form),
            time_base=Fraction(1),
        )

    def _as_luma(self, plane: FilterContext) -> FilterContext:
        """A plane of chroma's size as one of luma's: each sample several times."""
        width, height = self._size
        if self._chroma != (-(-width // 2), -(-height // 2)):
            return self._scaled(plane, self._size)
        for way in ("columns", "lines"):  # faster than a scaler
            twice = self._then("split", "2", plane)
            plane = self._then("framepack", way, twice, (twice, 1))
        return self._then("crop", f"{width}:{height}:0:0", plane)

    def _scaled(
        self,
        plane: _Output,
        size: tuple[int, int],
        way: str = "neighbor",
    ) -> FilterContext:
        width, height = size
        scaled = self._then("scale", f"{width}:{height}:flags={way}", plane)
        return self._then(
            "setsar", "1", scaled
        )  # else pixels are told to be oblong

    def _then(
        self,
        name: str,
        settings: str | None,
        *inputs: _Output,
    ) -> FilterContext:
        """A filter behind others, or behind one of their outputs."""
        result = self._graph.add(name, settings)
        for number, before in enumerate(inputs):
            node, output = before if isinstance(before, tuple) else (before, 0)
            node.link_to(result, output, number)
        return result


def _plane_of(value: int, size: tuple[int, int]) -> VideoFrame:
    width, height = size
    plane = VideoFrame.from_ndarray(
        np.full((height, width), value, np.uint8), format="gray"
    )
    plane.pts = 0
    return plane
