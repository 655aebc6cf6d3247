"""A dataset in itself, without its recordings."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from piperline.errors import Place
from piperline.files import read_json
from piperline.finding import Finding
from piperline.groot.checks.modality import check_modality
from piperline.groot.loader import Meta
from piperline.groot.modality import MODALITY_FILE
from piperline.lerobot.info import PROVENANCE
from piperline.seal.contents import Contents, files_below
from piperline.verify.decoded import DecodedFrames
from piperline.verify.progress import Tally
from piperline.verify.report import Looked
from piperline.verify.rows import RowCheck, check_totals
from piperline.verify.statistics import StatisticsCheck
from piperline.verify.videos import (
    SpannedVideo,
    check_videos,
    missing_cameras,
)


def check_itself(
    contents: Contents,
    files: Sequence[SpannedVideo],
    looked: Looked,
    progress: Tally,
    *,
    ends: DecodedFrames | None,
) -> Iterator[Finding]:
    """Rows, frames and lengths agree, statistics are those of the rows, and nothing is left over.

    Args:
        contents: the dataset.
        files: its video files.
        looked: counts what is looked at.
        progress: told of what was passed.
        ends: the first and the last frame of each video are decoded, and taken down here; None
            leaves that to `check_the_rest`.
    """
    progress.begin("itself", len(contents.episodes))
    yield from check_totals(contents)
    yield from _check_rows(contents, looked, progress)
    absent = missing_cameras(files)
    for camera in absent:
        message = f"info.json declares the camera {camera}, and there is no video of it"
        yield Finding(
            "camera-without-videos", "warning", message, Place(camera=camera)
        )
    there = [file for file in files if file.camera not in absent]
    yield from check_videos(contents, there, looked, ends)
    yield from _check_leftovers(contents, files)
    yield from _check_modality(contents)


def _check_rows(
    contents: Contents, looked: Looked, progress: Tally
) -> Iterator[Finding]:
    ours = (contents.root / PROVENANCE).is_file()
    rows = RowCheck(contents, looked, ours=ours)
    statistics = StatisticsCheck(contents, looked, ours=ours)
    whole = True
    for episode in range(len(contents.episodes)):
        findings: list[Finding] = []
        table = rows.read(episode, findings)
        yield from findings
        if table is None:
            whole = False
        else:
            yield from statistics.take(episode, table)
        progress.moved()
    yield from rows.odd()
    left_over = list(_check_row_counts(contents))
    yield from left_over
    # else what was found already would be found once more
    if whole and not left_over:
        data = [
            contents.data_path(episode)
            for episode in range(len(contents.episodes))
        ]
        yield from statistics.finish(list(dict.fromkeys(data)))


def _check_leftovers(
    contents: Contents, files: Sequence[SpannedVideo]
) -> Iterator[Finding]:
    """Files below data/ and videos/ that belong to no episode: GR00T takes their rows as well."""
    used = {
        contents.data_path(episode) for episode in range(len(contents.episodes))
    }
    used |= {file.path for file in files}
    real = {os.path.realpath(path) for path in used}
    for part in ("data", "videos"):
        for path in files_below(contents.root / part):
            whole = contents.root / part / path
            if whole.name.startswith(".") or _is_known(whole, used, real):
                continue
            message = "the file belongs to no episode"
            remedy = "move it away"
            yield Finding(
                "file-left-over",
                "error",
                message,
                Place(file=whole),
                {},
                remedy,
            )


def _is_known(path: Path, used: set[Path], real: set[str]) -> bool:
    """Whether a file is of an episode, by its name or by a link inside of the dataset."""
    if path in used:
        return True
    # the files behind a link to a folder are looked at where they lie
    return path.is_dir() or os.path.realpath(path) in real


def _check_row_counts(contents: Contents) -> Iterator[Finding]:
    """Files of many episodes hold no other rows; of those of one episode, this is known already."""
    lengths: Counter[Path] = Counter()
    for episode, row in enumerate(contents.episodes):
        lengths[contents.data_path(episode)] += row.length
    for path, rows in (
        lengths.items() if contents.info.version == "v3.0" else ()
    ):
        try:
            held = pq.read_metadata(path).num_rows
        except (OSError, pa.ArrowException):  # found with its rows
            continue
        if held > rows:
            message = f"the file has {held} rows, its episodes {rows}"
            numbers = {"rows": held, "of_episodes": rows}
            yield Finding(
                "rows-left-over", "error", message, Place(file=path), numbers
            )


def _check_modality(contents: Contents) -> Iterator[Finding]:
    """modality.json fits the features."""
    path = contents.root / MODALITY_FILE
    if not path.exists():
        return
    modality, info = _object(path), _object(contents.root / "meta/info.json")
    if modality is None or info is None:
        yield Finding(
            "modality-syntax",
            "error",
            "it is not a JSON object",
            Place(file=path),
        )
        return
    yield from check_modality(
        Meta(
            contents.root,
            info,
            (),
            {},
            modality,
        )
    )


def _object(path: Path) -> dict[str, object] | None:
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
