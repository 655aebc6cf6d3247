"""Good datasets for the tests of verify, made once, and what the tests do to copies of them."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.seal.seal import SEAL
from piperline.verify import VerifyOptions, verify
from piperline.video.decoder import PictureDecoder, decode
from piperline.video.encoder import MODES, Mode, VideoSettings, VideoWriter
from piperline.video.packets import packets
from tests.helpers.recordings import Pixels, write_piper

LEFT, MID, RIGHT = (
    f"observation.images.{name}"
    for name in ("left_wrist", "mid", "right_wrist")
)
LENGTHS = (17, 17, 16)
FPS = 30


@dataclass(frozen=True)
class Case:
    """A dataset, and the recordings that it was made from."""

    root: Path
    recordings: Path

    def data(self, episode: int) -> Path:
        """The rows of an episode, in v2.1."""
        return self.root / f"data/chunk-000/episode_{episode:06d}.parquet"

    def video(self, camera: str, episode: int) -> Path:
        """A video, in v2.1."""
        return (
            self.root / f"videos/chunk-000/{camera}/episode_{episode:06d}.mp4"
        )

    def meta(self, name: str) -> Path:
        """A file of meta/."""
        return self.root / "meta" / name


def make_case(folder: Path, video: Mode, version: str) -> Case:
    """Two recordings of three episodes, converted."""
    recordings = folder / "recordings"
    recordings.mkdir(parents=True)
    write_piper(recordings / "a.hdf5", episodes=2, lengths=LENGTHS[:2])
    write_piper(recordings / "b.hdf5", episodes=1, first=2, lengths=LENGTHS[2])
    convert(
        [recordings],
        folder / "set",
        make_job(video=video, format=version),
        workers=1,
    )
    return Case(folder / "set", recordings)


def copy_of(case: Case, folder: Path) -> Case:
    """A copy of a case, for one test."""
    shutil.copytree(case.recordings, folder / "recordings")
    shutil.copytree(case.root, folder / "set")
    return Case(folder / "set", folder / "recordings")


Found = set[tuple[str, str | None, str | None, str | None, int | None]]
"""Code, file below the dataset or the recordings, episode, camera, frame."""


def found(case: Case, *, against: bool = True, frames: int | None = 0) -> Found:
    """What verify finds, with the recordings, or without them."""
    sources = (case.recordings,) if against else ()
    report = verify(case.root, VerifyOptions(sources=sources, frames=frames))
    folder = case.root.parent
    places = set()
    for finding in report.findings:
        place = finding.place
        file = place and place.file and os.path.relpath(str(place.file), folder)
        file = file.removeprefix("set/") if file else None
        known = (
            (place.episode, place.camera, place.frame)
            if place
            else (None, None, None)
        )
        places.add((finding.code, file, *known))
    return places


def found_unsealed(case: Case) -> Found:
    """What verify finds against the recordings and in itself, without the seal."""
    case.root.joinpath(SEAL).unlink(missing_ok=True)
    return found(case)


def found_by_seal(case: Case) -> Found:
    """What the seal tells, without recordings."""
    return {
        entry
        for entry in found(case, against=False)
        if entry[0].startswith("seal")
    }


def edit_rows(path: Path, edit: Callable[[dict[str, list[Any]]], None]) -> None:
    """Change columns of a Parquet file, lists of values by name; types and row groups stay."""
    table = pq.read_table(path)
    columns = table.to_pydict()
    edit(columns)
    arrays = [
        pa.array(columns[field.name], field.type) for field in table.schema
    ]
    length = pq.ParquetFile(path).metadata.row_group(0).num_rows
    pq.write_table(
        pa.table(arrays, schema=table.schema), path, row_group_size=length
    )


def edit_json(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON document."""
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document, indent=4))


def edit_lines(
    path: Path, edit: Callable[[list[dict[str, Any]]], None]
) -> None:
    """Change the objects of a JSON lines file."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    edit(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def exchange(one: Path, other: Path) -> None:
    """Exchange two files."""
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def write_frames(
    path: Path,
    frames: Sequence[Pixels],
    settings: VideoSettings = MODES["h264"],
    fps: int = FPS,
) -> None:
    """Encode frames in the place of a video."""
    decoder = PictureDecoder()
    path.unlink()
    with VideoWriter(path, settings, fps=fps) as writer:
        for frame in frames:
            writer.add(decoder.raw(frame))


def edit_frames(
    path: Path,
    edit: Callable[[list[Pixels]], Sequence[Pixels]],
    settings: VideoSettings = MODES["h264"],
    fps: int = FPS,
) -> None:
    """Decode a video, change its frames, and encode them."""
    write_frames(path, edit(list(decode(path))), settings, fps)


def edit_packets(
    path: Path, edit: Callable[[list[bytes]], Sequence[bytes]], size=(48, 64)
) -> None:
    """Change the packets of a video of JPEG."""
    held = edit(list(packets(path, FPS, 0, 10_000)))
    path.unlink()
    with VideoWriter(path, MODES["copy"], fps=FPS) as writer:
        for packet in held:
            writer.add_jpeg(packet, *size)


def set_instruction(case: Case, episode: int, text: str) -> None:
    """Give an instruction another text, in the task table alone."""

    def edit(tasks: list[dict[str, Any]]) -> None:
        tasks[episode]["task"] = text

    edit_lines(case.meta("tasks.jsonl"), edit)
