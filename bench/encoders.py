"""Which encoder settings: size, quality, cost of encoding and of reading back, one core.

    python -m bench.encoders [--videos FOLDER]

The default is the cheapest in encoding a frame, reading it ten times in order (what GR00T does) and
once at random (what LeRobot does) that is not below LeRobot's own AV1 in PSNR on any footage.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import av
import numpy as np

from bench.footage import FPS, Footage, footages
from bench.measure import ROUNDS
from bench.quality import quality
from bench.results import publish
from piperline.video.decoder import Picture, PictureDecoder
from piperline.video.encoder import (
    MODES,
    VideoSettings,
    VideoWriter,
    for_encoder,
)

READS = 30
_LIMITED = 1  # AVCOL_RANGE_MPEG


def lerobot() -> VideoSettings:
    """What LeRobot itself encodes with."""
    options = {**MODES["av1"].options, "svtav1-params": "lp=1"}
    name = "SVT-AV1 preset 12 crf 30 g 2: LeRobot's own"
    return replace(MODES["av1"], options=options, description=name)


def x264(
    preset: str, crf: float, gop: int, parameters: str = ""
) -> VideoSettings:
    """x264 without B-frames; `parameters` as x264 names them."""
    options = {"preset": preset, "crf": f"{crf}", "g": f"{gop}", "bf": "0"}
    if parameters:
        options["x264-params"] = parameters
    for word, meant in NAMED.items():
        parameters = parameters.replace(meant, word)
    name = f"x264 {preset} crf {crf} g {gop} {parameters}".strip()
    return replace(MODES["h264"], options=options, description=name)


def av1(
    parameters: Mapping[str, str] | None = None, **changed: str
) -> VideoSettings:
    """SVT-AV1 as `--video av1` has it, but for these options and SVT-AV1's own `parameters`."""
    own = {"lp": "1", "scm": "1", **(parameters or {})}
    joined = ":".join(f"{name}={value}" for name, value in own.items())
    options = {**MODES["av1"].options, **changed, "svtav1-params": joined}
    different = {**changed, **(parameters or {})}
    words = " ".join(f"{name} {value}" for name, value in different.items())
    name = f"--video av1 with {words}" if words else "`--video av1`"
    return replace(MODES["av1"], options=options, description=name)


ZONES = MODES["h264"].options["x264-params"]
PLAIN = "cabac=0:no-deblock=1:weightp=0:aq-mode=0:psy=0"
NAMED = {"zones": ZONES, "plain": PLAIN}
"""Parameters by the word that stands for them in the table."""
LEROBOT = lerobot()
DEFAULT = replace(MODES["h264"], description="**`--video h264`**")
SETTINGS = (
    LEROBOT,
    DEFAULT,
    x264("superfast", 23, 10),
    x264("superfast", 23, 8, PLAIN),
    x264("superfast", 23, 8, f"{PLAIN}:subme=0"),
    x264("superfast", 22, 10, f"{PLAIN}:{ZONES}:subme=0:scenecut=0"),
    x264("ultrafast", 22, 10),
    x264("ultrafast", 22, 6, ZONES),
    x264("ultrafast", 22, 15, ZONES),
    x264("ultrafast", 22, 10, f"{ZONES}:scenecut=40"),
    av1(),
    av1({"enable-cdef": "0", "enable-dlf": "0"}),
    av1({"scm": "0"}, preset="10"),
    av1(g="4"),
    av1(g="10"),
    replace(MODES["copy"], description="`--video copy`"),
)


@dataclass(frozen=True)
class Measured:
    """Settings on one footage; times are CPU milliseconds a frame on one thread, read to RGB."""

    kilobytes: float
    decibels: float
    ssim: float
    encode: float
    in_order: float
    at_random: float

    @property
    def cost(self) -> float:
        """What the choice is made by."""
        return self.encode + 10 * self.in_order + self.at_random


Results = dict[str, dict[str, Measured]]
"""By name of footage and of settings."""


def measured(recorded: Footage) -> dict[str, Measured]:
    """All settings on one footage."""
    decoder = PictureDecoder()
    pictures = [
        [for_encoder(decoder.encoded(data)) for data in camera]
        for camera in recorded
    ]
    for camera in pictures:
        for picture in camera:
            picture.color_range = _LIMITED  # else the writer converts it again
    return {
        settings.description: _measure(settings, recorded, pictures)
        for settings in SETTINGS
    }


def _measure(
    settings: VideoSettings,
    recorded: Footage,
    pictures: Sequence[Sequence[Picture]],
) -> Measured:
    """Make a video of each camera, then read it in order and at random."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{n}.mp4") for n in range(len(recorded))]
        jobs = list(zip(paths, recorded, pictures, strict=True))
        frames = sum(map(len, recorded))
        tasks = (
            (partial(_encode_all, settings, jobs), frames),
            (partial(_each, _read_all, paths), frames),
            (partial(_each, _read_at_random, paths), READS * len(paths)),
        )
        times = [least(task) / count for task, count in tasks]
        size = sum(path.stat().st_size for path in paths) / frames / 1000
        return Measured(size, *quality(recorded, paths), *times)


def least(task: Callable[[], object]) -> float:
    """CPU milliseconds of a task, the least of some rounds: others' load only adds."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        task()
        times.append(time.process_time() - start)
    return min(times) * 1000


def _each(task: Callable[[Path], None], paths: Sequence[Path]) -> None:
    for path in paths:
        task(path)


def _encode_all(
    settings: VideoSettings,
    jobs: Sequence[tuple[Path, Sequence[bytes], Sequence[Picture]]],
) -> None:
    for path, images, pictures in jobs:
        encode(path, settings, images, pictures)


def encode(
    path: Path,
    settings: VideoSettings,
    images: Sequence[bytes],
    pictures: Sequence[Picture],
) -> None:
    """Make a video of recorded images and what they decode to."""
    with VideoWriter(path, settings, fps=FPS) as writer:
        for image, picture in zip(images, pictures, strict=True):
            if settings.codec:
                writer.add(picture)
            else:
                writer.add_jpeg(image, picture.height, picture.width)


def _read_all(path: Path) -> None:
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for picture in container.decode(video=0):
            picture.to_ndarray(format="rgb24")


def _read_at_random(path: Path) -> None:
    """What a data loader does: seek to the key frame before, decode up to the frame."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        step = round(
            1
            / (
                cast("float", stream.average_rate)
                * cast("float", stream.time_base)
            )
        )
        draw = np.random.default_rng(0)
        for number in draw.integers(0, stream.frames, READS):
            wanted = int(number) * step
            container.seek(wanted, stream=stream)
            picture = next(
                picture
                for picture in container.decode(stream)
                if (picture.pts or 0) >= wanted
            )
            picture.to_ndarray(format="rgb24")


def choice(results: Results) -> Iterator[str]:
    """Each of the settings against LeRobot's, over all footage."""
    yield "| settings | least PSNR | least SSIM | bytes | encode | in order | at random | encode + 10 in order + 1 at random |"
    yield "|---|---|---|---|---|---|---|---|"
    for settings in SETTINGS:
        name = settings.description
        pairs = [
            (found[name], found[LEROBOT.description])
            for found in results.values()
        ]
        decibels = min(
            ours.decibels - theirs.decibels for ours, theirs in pairs
        )
        alike = min(ours.ssim - theirs.ssim for ours, theirs in pairs)
        ratios = [
            float(np.exp(np.mean(np.log(values))))
            for values in (
                [ours.kilobytes / theirs.kilobytes for ours, theirs in pairs],
                [ours.encode / theirs.encode for ours, theirs in pairs],
                [ours.in_order / theirs.in_order for ours, theirs in pairs],
                [ours.at_random / theirs.at_random for ours, theirs in pairs],
                [ours.cost / theirs.cost for ours, theirs in pairs],
            )
        ]
        shown = " | ".join(f"{ratio:.2f}" for ratio in ratios)
        yield f"| {name} | {decibels:+.2f} dB | {alike:+.3f} | {shown} |"


def footage_table(results: Results) -> Iterator[str]:
    """The default beside LeRobot's on each footage."""
    yield "| footage | settings | kB per image | PSNR dB | SSIM | encode | in order | at random |"
    yield "|---|---|---|---|---|---|---|---|"
    for footage, found in results.items():
        for settings in (LEROBOT, DEFAULT):
            one = found[settings.description]
            name = settings.description.rpartition(": ")[2]
            yield (
                f"| {footage} | {name} | {one.kilobytes:.1f} | {one.decibels:.2f} | {one.ssim:.3f} "
                f"| {one.encode:.2f} | {one.in_order:.2f} | {one.at_random:.2f} |"
            )


def report(videos: Path | None) -> Iterator[str]:
    """All of it, line by line."""
    results = {name: measured(footage) for name, footage in footages(videos)}
    for word, meant in NAMED.items():
        yield f'"{word}" is `{meant}`.\n'
    yield from choice(results)
    yield "\n**The default beside LeRobot's own**: CPU ms a frame\n"
    yield from footage_table(results)


def main() -> None:
    """Print the report; put it into the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--videos", type=Path, help="a folder of MP4: footage of your own"
    )
    publish("encoders", report(parser.parse_args().videos))


if __name__ == "__main__":
    main()
