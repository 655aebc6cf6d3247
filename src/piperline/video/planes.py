"""The planes of a decoded JPEG as encoders take them, through FFmpeg's tables of samples.

Nothing is converted to RGB on the way: a table maps full to limited range (ITU-T T.871 to ITU-R
BT.601). FFmpeg's own range conversion adds dither, which doubles the encoder's time and bytes.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import count
from threading import get_ident
from typing import cast

from av.filter import Graph
from av.filter.context import FilterContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

_PLANAR = {"yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p"}

# Tables in FFmpeg's words: `val` is a sample, `x` and `y` are those of the blue and of the red
# difference; what is behind the point is cut off. 255 steps become 219 of luma, 224 of chroma.
_LIMITED_LUMA = "c0=16.5+val*219/255"
_LIMITED_CHROMA = "c0=128.5+(val-128)*224/255"

# With red and blue exchanged, luma Y becomes Y + w (B - R), where w is red's weight in it less
# blue's; B - Y and R - Y are multiples of the two differences, and so are the new differences.
# Unlike by way of RGB nothing is cut off at 0 or 255, and no chroma is lost.
_BLUE, _RED = "1.772*(x-128)", "1.402*(y-128)"
_ADDED = f"(0.299-0.114)*({_BLUE}-{_RED})"
_EXCHANGE = (
    f"c0=128.5+({_ADDED})*219/255",
    f"c0=128.5+({_RED}-{_ADDED})/1.772*224/255",
    f"c0=128.5+({_BLUE}-{_ADDED})/1.402*224/255",
)
"""What is added to luma, and the new differences."""


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
        self._graph = Graph()
        self._graph.threads = 1
        self._source = self._graph.add_buffer(
            width=size[0],
            height=size[1],
            format=VideoFormat(form),
            time_base=Fraction(1),
        )
        half = -(-size[0] // 2), -(-size[1] // 2)
        if form == "gray":
            luma, chroma = self._grey(half)
        else:
            recorded = self._then("extractplanes", "y+u+v", self._source)
            luma, chroma = (
                self._exchanged(recorded, size)
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

    def through(self, picture: VideoFrame) -> VideoFrame:
        picture.pts = next(self._numbers)
        self._source.push(picture)
        return cast("VideoFrame", self._sink.pull())

    def _grey(self, half: tuple[int, int]) -> _Planes:
        luma = self._then("split", "2", self._source)
        neutral = self._then("lut", "c0=128", self._scaled(luma, half))
        both = self._then("split", "2", neutral)
        return self._then("lut", _LIMITED_LUMA, (luma, 1)), [both, (both, 1)]

    def _limited(self, recorded: FilterContext) -> _Planes:
        luma = self._then("lut", _LIMITED_LUMA, recorded)
        chroma = [
            self._then("lut", _LIMITED_CHROMA, (recorded, plane))
            for plane in (1, 2)
        ]
        return luma, chroma

    def _exchanged(
        self, recorded: FilterContext, size: tuple[int, int]
    ) -> _Planes:
        blue = self._then("split", "3", (recorded, 1))
        red = self._then("split", "3", (recorded, 2))
        added, *chroma = [
            self._then("lut2", table, (blue, number), (red, number))
            for number, table in enumerate(_EXCHANGE)
        ]
        luma = self._then("lut", _LIMITED_LUMA, recorded)
        # A sum; in the second picture 128 is nothing.
        sums = self._then(
            "blend", "all_mode=grainmerge", luma, self._scaled(added, size)
        )
        return sums, chroma

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
