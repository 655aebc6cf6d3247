"""The distances of a depth camera, as they were recorded."""

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from piperline.recordings.images import CameraHeader, ImageStream, Payload
from piperline.video.decoder import PictureDecoder
from piperline.video.depth_codes import upright
from piperline.video.depth_unit import DepthUnit


class DepthFrames:
    """The depth images of a camera, put right and of one size.

    Args:
        stream: the recorded images.
        header: how they are stored.
        size: (width, height) that they are scaled to; None keeps them.

    Attributes:
        unit: of the distances.
    """

    def __init__(
        self,
        stream: ImageStream,
        header: CameraHeader,
        size: tuple[int, int] | None,
    ) -> None:
        recorded = header.width, header.height
        self.unit: DepthUnit = header.depth or "mm"
        self._stream = stream
        self._recorded = recorded
        self._size = None if size == recorded else size
        self._decoder = PictureDecoder()

    def distances(self, number: int, payload: Payload) -> NDArray[Any]:
        """The distances of image `number`, of shape (H, W).

        Raises:
            BadEpisode: it is damaged, or of another size than the first.
        """
        try:
            depth = self._decoder.depth(payload)
        except ValueError as error:
            raise self._stream.bad(number, str(error)) from error
        height, width = depth.shape
        if (width, height) != self._recorded:
            expected = "{}x{}".format(*self._recorded)
            found = f"{width}x{height} distances, the others are {expected}"
            raise self._stream.bad(number, found)
        return upright(depth, self._stream.mirrored, self._size)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """All of them, in order."""
        for number, payload in enumerate(self._stream):
            yield self.distances(number, payload)
