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

# What 255 steps of the full range become.
_LUMA, _CHROMA = 219, 224

# With red and blue exchanged, luma Y becomes Y + w (B - R), w being red's weight in it less blue's.
# B - Y and R - Y are multiples of the two chroma samples, and so are all new samples but for Y.
# Unlike by way of RGB nothing is cut off at 0 or 255, and no chroma is lost.
_WEIGHT = 0.299 - 0.114
_BLUE, _RED = 1.772, 1.402
_TO_LUMA = (_WEIGHT * _BLUE, -_WEIGHT * _RED)
_TO_BLUE = (-_WEIGHT, (1 + _WEIGHT) * _RED / _BLUE)
_TO_RED = ((1 - _WEIGHT) * _BLUE / _RED, _WEIGHT)


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
            self._then("lut", _multiple(1, _CHROMA), (recorded, 1)),
            self._then("lut", _multiple(1, _CHROMA), (recorded, 2)),
        ]

    def _exchanged(
        self, recorded: FilterContext, size: tuple[int, int]
    ) -> list[FilterContext]:
        blue = self._then("split", "3", (recorded, 1))
        red = self._then("split", "3", (recorded, 2))
        steps = ((_TO_LUMA, _LUMA), (_TO_BLUE, _CHROMA), (_TO_RED, _CHROMA))
        added, *chroma = [
            self._sum(
                self._then("lut", _multiple(of_blue, to), (blue, number)),
                self._then("lut", _multiple(of_red, to), (red, number)),
            )
            for number, ((of_blue, of_red), to) in enumerate(steps)
        ]
        wide = self._then("scale", f"{size[0]}:{size[1]}:flags=neighbor", added)
        luma = self._then("lut", _LIMITED_LUMA, recorded)
        return [self._sum(luma, wide), *chroma]

    def _sum(self, one: FilterContext, other: FilterContext) -> FilterContext:
        """Samples added; 128 is zero in the other."""
        return self._then("blend", "all_mode=grainmerge", one, other)

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


_LIMITED_LUMA = f"c0=16.5+val*{_LUMA}/255"


def _multiple(factor: float, steps: int) -> str:
    """A table of samples around 128, times `factor`; FFmpeg cuts off what is behind the point."""
    return f"c0=128.5+(val-128)*{factor * steps / 255}"
