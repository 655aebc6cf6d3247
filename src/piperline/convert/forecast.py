"""What a conversion will take, before it is begun: rough, from the plan alone."""

from dataclasses import dataclass

from piperline.convert.plan import Plan

_MEASURED_PIXELS = 640 * 480
_CPU_MS = {"h264": 3.5, "av1": 10.5, "copy": 0.9}
"""Of an image of 640x480: what `bench/README.md` tells of whole commands."""
_BYTES = {"h264": 6_800, "av1": 9_500}
"""Of an image of 640x480, with the demo's pictures; a noisy sensor takes several times as much."""
_START_SECONDS = 0.5


@dataclass(frozen=True)
class ConversionForecast:
    """What a conversion will take.

    Attributes:
        seconds: from the start to the end, if every process has a CPU of its own.
        bytes: of the dataset's videos.
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
    recorded = {episode.file: episode.size for episode in plan.episodes}
    kept = sum(recorded.values())
    return ConversionForecast(
        seconds=_START_SECONDS + whole * _CPU_MS[mode] / 1000 / workers,
        bytes=round(whole * _BYTES[mode]) if mode in _BYTES else kept,
    )
