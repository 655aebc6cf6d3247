"""What an image costs by preset: the same 100 pictures, stored as each recorder stores them.

Measured is what a worker does with a camera: read, decode, put right, encode, take statistics,
measure for the review. The rounds take all cases in turn, so that what else the machine does falls on all alike.
"""

import io
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.results import publish
from piperline.convert.encode import EncodeSettings, encode_camera
from piperline.demo import write_recordings
from piperline.errors import Place
from piperline.recordings.images import FrameStream
from piperline.recordings.layout import load_layout
from piperline.recordings.rules import CameraRule, Storage
from piperline.signals.camera import CameraMeter
from piperline.video.encoder import MODES

FRAMES, ROUNDS = 100, 7
CASES = {
    "piper": ("jpeg", "raw"),
    "agilex_data_tools": ("files", "raw"),
    "aloha": ("jpeg", "raw"),
    "behavior": ("raw",),
    "cobot_magic": ("raw",),
    "control_your_robot": ("jpeg", "raw"),
    "isaaclab": ("raw",),
    "libero": ("raw",),
    "robomimic": ("raw",),
    "robomind": ("jpeg",),
    "robomind2": ("jpeg",),
    "robotwin": ("jpeg",),
    "unitree": ("jpeg", "raw"),
    "xpolicylab": ("jpeg",),
}
"""The presets, and how their recorders store images."""
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    """A preset with one way of storing."""

    preset: str
    storage: str
    file: Path

    @property
    def rule(self) -> CameraRule:
        """Of the preset's cameras."""
        return next(iter(load_layout(self.preset).cameras.values()))

    def seconds(self, folder: Path) -> float:
        """CPU seconds for an image."""
        settings = EncodeSettings(MODES["h264"], 30)
        with h5py.File(self.file) as file:
            stream = FrameStream(
                file["images"],
                self.rule,
                None,
                place=Place(file=self.file),
                rows=np.arange(FRAMES),
                suggestion=None,
            )
            start = time.process_time()
            header = stream.header()
            encode_camera(
                stream,
                header,
                settings,
                folder / "video.mp4",
                lambda _f, _b: None,
                meter=CameraMeter(header.height, header.width),
            )
            return (time.process_time() - start) / FRAMES


def pictures(folder: Path) -> list[Pixels]:
    """What a camera of the demo sees."""
    write_recordings(folder, files=1, episodes=1, frames=FRAMES)
    (path,) = folder.glob("*.hdf5")
    with h5py.File(path) as file:
        images = file["episode_0/image_mid"][()]
    return [
        np.asarray(Image.open(io.BytesIO(image.tobytes()))) for image in images
    ]


def written(
    folder: Path, preset: str, storage: str, frames: list[Pixels]
) -> Case:
    """A recording of the frames as the preset's recorder would make it."""
    case = Case(preset, storage, folder / f"{preset}-{storage}.hdf5")
    rule = case.rule
    down, across = (-1 if odd else 1 for odd in rule.mirrored)
    way: Storage = "raw" if storage == "raw" else "jpeg"
    order = 1 if rule.color_of(way) == "rgb" else -1
    recorded = [
        np.ascontiguousarray(frame[::down, ::across, ::order])
        for frame in frames
    ]
    with h5py.File(case.file, "w") as file:
        if storage == "raw":
            chunks = (1, *frames[0].shape)
            file.create_dataset(
                "images", data=np.stack(recorded), chunks=chunks
            )
        elif storage == "jpeg":
            file["images"] = np.array([jpeg(one) for one in recorded])
        else:
            names = [f"{preset}-{number}.jpg" for number in range(FRAMES)]
            for name, one in zip(names, recorded, strict=True):
                (folder / name).write_bytes(jpeg(one))
            file["images"] = np.array(names, dtype="S")
    return case


def jpeg(frame: Pixels) -> bytes:
    """A JPEG as recorders make them."""
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=90)
    return file.getvalue()


def results() -> Iterator[str]:
    """A table: CPU for an image, and the ratio to piper of the same way of storing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = pictures(folder / "demo")
        cases = [
            written(folder, preset, storage, frames)
            for preset, storages in CASES.items()
            for storage in storages
        ]
        costs: dict[Case, list[float]] = {case: [] for case in cases}
        for _ in range(ROUNDS):
            for case in cases:
                costs[case].append(case.seconds(folder))
    yield "| preset | images | ms of CPU an image | of piper's |"
    yield "|---|---|---|---|"
    usual = usual_costs(costs)
    for case, seconds in costs.items():
        cost = min(seconds) * 1000
        way = "raw" if case.storage == "raw" else "jpeg"
        ratio = cost / usual[way]
        yield f"| {case.preset} | {case.storage} | {cost:.2f} | {ratio:.2f} |"


def usual_costs(costs: Mapping[Case, list[float]]) -> dict[str, float]:
    """What piper's images cost, in ms, by the way in which they are stored."""
    return {
        case.storage: min(seconds) * 1000
        for case, seconds in costs.items()
        if case.preset == "piper"
    }


if __name__ == "__main__":
    publish("layouts", results())
