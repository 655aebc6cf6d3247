"""The planes of a decoded JPEG as encoders take them, through FFmpeg's tables of samples.

Nothing is converted to RGB on the way: a table maps full to limited range (ITU-T T.871 to ITU-R
BT.601). FFmpeg's own range conversion would add dither, which costs the encoder time and bytes.
"""

from fractions import Fraction
from functools import lru_cache
from itertools import count
from threading import get_ident
from typing import cast

from av.filter import Graph
from av.filter.context import FilterContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

JPEG_FORMATS = {
    "yuvj420p": "yuv420p",
    "yuvj422p": "yuv422p",
    "yuvj444p": "yuv444p",
}
"""FFmpeg's formats of a JPEG's planes, full range, and of the same planes in limited range."""

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


def limited(picture: VideoFrame) -> VideoFrame:
    """The planes of a decoded JPEG in limited range.

    Args:
        picture: of a format in `JPEG_FORMATS`.
    """
    return _filter(picture, exchange=False).through(picture)


def exchanged(picture: VideoFrame) -> VideoFrame:
    """The planes of a decoded JPEG in limited range, red and blue exchanged.

    Args:
        picture: of a format in `JPEG_FORMATS`.
    """
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
        recorded = self._then("extractplanes", "y+u+v", self._source)
        planes = (
            self._exchanged(recorded, size)
            if exchange
            else self._limited(recorded)
        )
        # A format with a "j" is full range, whatever is said of it: the planes change into another.
        merged = self._then(
            "mergeplanes",
            "map0s=0:map1s=1:map2s=2:map0p=0:map1p=0:map2p=0"
            f":format={JPEG_FORMATS[form]}",
            *planes,
        )
        told = self._then("setparams", "range=limited", merged)
        self._sink = self._then("buffersink", None, told)
        self._graph.configure()

    def through(self, picture: VideoFrame) -> VideoFrame:
        picture.pts = next(self._numbers)
        self._source.push(picture)
        return cast("VideoFrame", self._sink.pull())

    def _limited(self, recorded: FilterContext) -> list[FilterContext]:
        return [
            self._then("lut", _LIMITED_LUMA, recorded),
            self._then("lut", _LIMITED_CHROMA, (recorded, 1)),
            self._then("lut", _LIMITED_CHROMA, (recorded, 2)),
        ]

    def _exchanged(
        self, recorded: FilterContext, size: tuple[int, int]
    ) -> list[FilterContext]:
        blue = self._then("split", "3", (recorded, 1))
        red = self._then("split", "3", (recorded, 2))
        added, *chroma = [
            self._then("lut2", table, (blue, number), (red, number))
            for number, table in enumerate(_EXCHANGE)
        ]
        wide = self._then("scale", f"{size[0]}:{size[1]}:flags=neighbor", added)
        luma = self._then("lut", _LIMITED_LUMA, recorded)
        # A sum; in the second picture 128 is nothing.
        sums = self._then("blend", "all_mode=grainmerge", luma, wide)
        return [sums, *chroma]

    def _then(
        self,
        name: str,
        settings: str | None,
        *inputs: FilterContext | tuple[FilterContext, int],
    ) -> FilterContext:
        """A filter behind others, or behind one of their outputs."""
        result = self._graph.add(name, settings)
        for number, before in enumerate(inputs):
            node, output = before if isinstance(before, tuple) else (before, 0)
            node.link_to(result, output, number)
        return result
