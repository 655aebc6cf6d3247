"""What a conversion will take, before it is begun: rough, from the plan alone."""

from dataclasses import dataclass

from piperline.convert.plan import Plan

_MEASURED_PIXELS = 640 * 480
_CPU_MS = {"h264": 3.5, "av1": 10.5, "copy": 0.9}
"""Of an image of 640x480: what `bench/README.md` tells of whole commands."""
_BYTES = {"h264": (450, 6_350), "av1": (900, 8_600)}
"""Of any image, and for 640x480 pixels: the demo's pictures at 160x120, 320x240 and 640x480."""
_BYTES_BESIDE, _BYTES_OF_EPISODE, _BYTES_OF_FRAME = 65_000, 17_000, 150
"""Of rows and of `meta/`, which count where videos are small."""
_START_SECONDS = 0.5


@dataclass(frozen=True)
class ConversionForecast:
    """What a conversion will take.

    Attributes:
        seconds: from the start to the end, if every process has a CPU of its own.
        bytes: of the dataset; a noisy sensor takes several times as much.
    """

    seconds: float
    bytes: int


def forecast(plan: Plan, workers: int) -> ConversionForecast:
    """Estimate time and size.

    Args:
        plan: what is converted.
        workers: how many processes are at work.
    """
    mode = plan.job.settings.video.mode
    resized = plan.job.settings.size
    images, pixels = 0, 0.0
    for episode in plan.episodes:
        for camera in episode.cameras.values():
            width, height = resized or (camera.width, camera.height)
            images += episode.length
            pixels += episode.length * width * height
    whole = pixels / _MEASURED_PIXELS
    if mode in _BYTES:
        of_any, of_pixels = _BYTES[mode]
        size = _beside(plan) + images * of_any + whole * of_pixels
    else:
        recorded = {episode.file: episode.size for episode in plan.episodes}
        size = sum(recorded.values())
    return ConversionForecast(
        seconds=_START_SECONDS + whole * _CPU_MS[mode] / 1000 / workers,
        bytes=round(size),
    )


def _beside(plan: Plan) -> int:
    """Bytes of all that is no video."""
    episodes = len(plan.episodes) * _BYTES_OF_EPISODE
    return _BYTES_BESIDE + episodes + plan.frames * _BYTES_OF_FRAME
