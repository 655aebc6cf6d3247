"""Good datasets and recordings, each damaged in one way: exactly that is found, and where.

Each mutation is looked at twice: without the seal, in itself and against the recordings, every
frame; and by the seal alone.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from piperline.seal.seal import SEAL, Seal
from tests.helpers.recordings import actions, jpeg, paint, states
from tests.verify.sets import (
    LEFT,
    LENGTHS,
    MID,
    RIGHT,
    Case,
    Found,
    edit_frames,
    edit_json,
    edit_lines,
    edit_packets,
    edit_rows,
    exchange,
    found_by_seal,
    found_unsealed,
)

DATA = "data/chunk-000/episode_{:06d}.parquet"
VIDEO = "videos/chunk-000/{}/episode_{:06d}.mp4"
V30_DATA = "data/chunk-000/file-000.parquet"
V30_VIDEO = "videos/{}/chunk-000/file-000.mp4"
TABLE = "meta/episodes/chunk-000/file-000.parquet"
NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@dataclass(frozen=True)
class Mutation:
    """A way to damage a dataset or its recordings, and what is found then.

    Attributes:
        damage: does it.
        expected: without the seal.
        by_seal: by the seal.
        video, version: of the dataset.
    """

    damage: Callable[[Case], None]
    expected: Found
    by_seal: Found
    video: str = "h264"
    version: str = "v2.1"


def frame(code, camera, episode, number):
    return (code, VIDEO.format(camera, episode), str(episode), camera, number)


def rows(code, episode, number=None):
    return (code, DATA.format(episode), str(episode), None, number)


def file(code, name):
    return (code, name, None, None, None)


def sealed_video(*clips):
    return {
        frame("sealed-video-changed", camera, episode, None)
        for camera, episode in clips
    }


MUTATIONS: dict[str, Mutation] = {}


def mutation(expected, by_seal, **how):
    """Register a damage under its name."""

    def register(damage):
        MUTATIONS[damage.__name__] = Mutation(
            damage, set(expected), set(by_seal), **how
        )
        return damage

    return register


# --- videos ---------------------------------------------------------------------------------------


@mutation([frame("frame-shifted", MID, 1, 0)], sealed_video((MID, 1)))
def video_shifted_by_one_frame(case):
    edit_frames(case.video(MID, 1), lambda frames: [*frames[1:], frames[-1]])


@mutation([frame("frame-shifted", LEFT, 0, 4)], sealed_video((LEFT, 0)))
def frame_dropped_and_another_doubled(case):
    edit_frames(case.video(LEFT, 0), lambda f: [*f[:4], *f[5:9], f[8], *f[9:]])


@mutation(
    [frame("frame-camera", LEFT, 1, 0), frame("frame-camera", RIGHT, 1, 0)],
    sealed_video((LEFT, 1), (RIGHT, 1)),
)
def two_cameras_exchanged(case):
    exchange(case.video(LEFT, 1), case.video(RIGHT, 1))


@mutation(
    [frame("frame-episode", MID, 0, 0), frame("frame-episode", MID, 1, 0)],
    sealed_video((MID, 0), (MID, 1)),
)
def two_videos_of_equal_length_exchanged(case):
    exchange(case.video(MID, 0), case.video(MID, 1))


@mutation(
    [
        frame("frame-episode", MID, 1, 0),
        frame("frame-episode", MID, 2, 0),
        frame("video-frames", MID, 1, None),
        frame("video-frames", MID, 2, None),
    ],
    sealed_video((MID, 1), (MID, 2)),
)
def two_videos_of_other_length_exchanged(case):
    exchange(case.video(MID, 1), case.video(MID, 2))


@mutation([frame("frame-unlike", RIGHT, 2, 11)], sealed_video((RIGHT, 2)))
def last_frames_black(case):
    edit_frames(
        case.video(RIGHT, 2), lambda f: [*f[:11], *([np.zeros_like(f[0])] * 5)]
    )


@mutation([frame("frame-unlike", RIGHT, 0, 3)], sealed_video((RIGHT, 0)))
def one_frame_is_noise(case):
    edit_frames(case.video(RIGHT, 0), lambda f: [*f[:3], NOISE, *f[4:]])


@mutation(
    [frame("frame-shifted", LEFT, 2, 15), frame("video-frames", LEFT, 2, None)],
    sealed_video((LEFT, 2)),
)
def one_frame_too_many_in_front(case):
    edit_frames(case.video(LEFT, 2), lambda f: [*f[:15], f[14], f[15]])


@mutation([frame("video-frames", LEFT, 2, None)], sealed_video((LEFT, 2)))
def last_frame_missing(case):
    edit_frames(case.video(LEFT, 2), lambda f: f[:-1])


@mutation([frame("frame-shifted", MID, 0, 0)], sealed_video((MID, 0)))
def video_backwards(case):
    edit_frames(case.video(MID, 0), lambda f: f[::-1])


@mutation([frame("frame-colors", MID, 0, 0)], sealed_video((MID, 0)))
def red_and_blue_exchanged(case):
    edit_frames(case.video(MID, 0), lambda f: [image[..., ::-1] for image in f])


@mutation([frame("frame-unlike", MID, 0, 0)], sealed_video((MID, 0)))
def upside_down(case):
    edit_frames(case.video(MID, 0), lambda f: [image[::-1] for image in f])


@mutation([], sealed_video((MID, 1)))
def encoded_again_by_hand(case):
    edit_frames(case.video(MID, 1), list)


@mutation([frame("frame-quality", MID, 1, 0)], sealed_video((MID, 1)))
def frames_full_of_noise(case):
    noise = np.random.default_rng(0).normal(0, 35, (48, 64, 3))

    def noisy(image):
        return np.clip(image + noise, 0, 255).astype(np.uint8)

    edit_frames(case.video(MID, 1), lambda f: [noisy(image) for image in f])


@mutation(
    [frame("video-rate", MID, 1, None), frame("frame-shifted", MID, 1, 2)],
    sealed_video((MID, 1)),
)
def another_frame_rate(case):
    edit_frames(case.video(MID, 1), list, fps=15)


@mutation([frame("video-size", MID, 1, None)], sealed_video((MID, 1)))
def another_size(case):
    edit_frames(case.video(MID, 1), lambda f: [image[::2, ::2] for image in f])


@mutation(
    [
        frame("video-truncated", MID, 0, None),
        frame("video-undecodable", MID, 0, 4),
    ],
    sealed_video((MID, 0)),
)
def video_cut_short(case):
    data = case.video(MID, 0).read_bytes()
    case.video(MID, 0).write_bytes(data[: len(data) * 2 // 3])


@mutation(
    [frame("video-truncated", MID, 0, None)],
    [file("sealed-file-changed", VIDEO.format(MID, 0))],
)
def video_appended_to(case):
    with case.video(MID, 0).open("ab") as video:
        video.write(b"\0\0\0\x20more")


@mutation([frame("video-unreadable", MID, 0, None)], sealed_video((MID, 0)))
def video_is_no_video(case):
    case.video(MID, 0).write_bytes(b"no video")


@mutation(
    [frame("video-missing", MID, 0, None)],
    [file("sealed-file-missing", VIDEO.format(MID, 0))],
)
def video_missing(case):
    case.video(MID, 0).unlink()


@mutation([file("link-out", VIDEO.format(MID, 0))], [])
def video_replaced_by_a_link_out(case):
    outside = case.root.with_name("outside.mp4")
    case.video(MID, 0).rename(outside)
    case.video(MID, 0).symlink_to(outside)


@mutation([file("file-special", "meta/info.json")], [])
def a_pipe_in_the_place_of_a_file(case):
    case.meta("info.json").unlink()
    os.mkfifo(case.meta("info.json"))


@mutation([], [file("seal-damaged", str(SEAL))])
def seal_that_names_files_outside(case):
    seal = Seal.from_disk(case.root)
    assert seal
    replace(
        seal, files={"../recordings/a.hdf5": seal.files["README.md"]}
    ).to_disk(case.root)


@mutation([file("link-out", "data")], [])
def folder_replaced_by_a_link_out(case):
    outside = case.root.with_name("outside")
    (case.root / "data").rename(outside)
    (case.root / "data").symlink_to(outside)


# --- rows -----------------------------------------------------------------------------------------


def set_value(column, row, dimension, change):
    def edit(columns):
        columns[column][row][dimension] = float(
            change(np.float32(columns[column][row][dimension]))
        )

    return edit


def ulp(value):
    return np.nextafter(value, np.float32(np.inf))


@mutation(
    [
        rows("rows-differ", 1, 7),
        file("stats-stale", "meta/stats.json"),
        file("relative-stats-stale", "meta/relative_stats.json"),
        ("episode-stats-stale", "meta/episodes_stats.jsonl", "1", None, None),
    ],
    [rows("sealed-rows-changed", 1)],
)
def one_value_far_off(case):
    edit_rows(case.data(1), set_value("action", 7, 3, lambda _: 9.0))


@mutation(
    [
        rows("rows-differ", 1, 7),
        ("episode-stats-stale", "meta/episodes_stats.jsonl", "1", None, None),
    ],
    [rows("sealed-rows-changed", 1)],
)
def one_value_by_one_ulp(case):
    edit_rows(case.data(1), set_value("observation.state", 7, 3, ulp))


@mutation(
    [
        rows("rows-differ", 0, 2),
        ("episode-stats-stale", "meta/episodes_stats.jsonl", "0", None, None),
        file("relative-stats-stale", "meta/relative_stats.json"),
    ],
    [rows("sealed-rows-changed", 0)],
)
def two_rows_exchanged(case):
    def edit(columns):
        action = columns["action"]
        action[2], action[3] = action[3], action[2]

    edit_rows(case.data(0), edit)


@mutation([rows("rows-count", 1)], [rows("sealed-rows-changed", 1)])
def last_row_missing(case):
    table = pq.read_table(case.data(1))
    pq.write_table(table.slice(0, len(table) - 1), case.data(1))


@mutation(
    [
        rows("rows-differ", 0, 0),
        ("episode-stats-stale", "meta/episodes_stats.jsonl", "0", None, None),
        file("stats-stale", "meta/stats.json"),
        file("relative-stats-stale", "meta/relative_stats.json"),
    ],
    [rows("sealed-rows-changed", 0)],
)
def rows_of_another_session(case):
    def edit(columns):
        columns["observation.state"] = (
            states(40, LENGTHS[0]).astype(np.float32).tolist()
        )

    edit_rows(case.data(0), edit)


@mutation(
    [rows("rows-timestamp", 2, 5), file("stats-stale", "meta/stats.json")],
    [rows("sealed-rows-changed", 2)],
)
def a_time_off_the_grid(case):
    def edit(columns):
        columns["timestamp"][5] += 0.01

    edit_rows(case.data(2), edit)


@mutation(
    [rows("rows-timestamp", 2, 0), file("stats-stale", "meta/stats.json")],
    [rows("sealed-rows-changed", 2)],
)
def times_one_frame_late(case):
    def edit(columns):
        columns["timestamp"] = [time + 1 / 30 for time in columns["timestamp"]]

    edit_rows(case.data(2), edit)


def numbering(column, row, value):
    def edit(columns):
        columns[column][row] = value

    return edit


@mutation(
    [
        rows("rows-frame-index", 2, 5),
        ("episode-stats-stale", "meta/episodes_stats.jsonl", "2", None, None),
    ],
    [rows("sealed-rows-changed", 2)],
)
def a_frame_index_twice(case):
    edit_rows(case.data(2), numbering("frame_index", 5, 4))


@mutation(
    [
        rows("rows-index", 2, 5),
        ("episode-stats-stale", "meta/episodes_stats.jsonl", "2", None, None),
    ],
    [rows("sealed-rows-changed", 2)],
)
def an_index_twice(case):
    edit_rows(case.data(2), numbering("index", 5, LENGTHS[0] + LENGTHS[1] + 4))


@mutation(
    [
        rows("rows-episode-index", 2, 0),
        ("episode-stats-stale", "meta/episodes_stats.jsonl", "2", None, None),
    ],
    [rows("sealed-rows-changed", 2)],
)
def another_episode_index(case):
    edit_rows(case.data(2), numbering("episode_index", 0, 1))


@mutation(
    [
        rows("rows-task-index", 1),
        ("episode-stats-stale", "meta/episodes_stats.jsonl", "1", None, None),
    ],
    [rows("sealed-rows-changed", 1)],
)
def a_task_index_that_is_none(case):
    edit_rows(case.data(1), numbering("task_index", 3, 7))


@mutation([rows("columns-missing", 1)], [rows("sealed-rows-changed", 1)])
def a_column_missing(case):
    pq.write_table(
        pq.read_table(case.data(1)).drop_columns(["action"]), case.data(1)
    )


@mutation([rows("rows-unreadable", 1)], [rows("sealed-rows-changed", 1)])
def rows_cut_short(case):
    case.data(1).write_bytes(case.data(1).read_bytes()[:-100])


@mutation([rows("rows-unreadable", 1)], [rows("sealed-rows-changed", 1)])
def rows_appended_to(case):
    with case.data(1).open("ab") as data:
        data.write(b"more")


@mutation(
    [rows("rows-unreadable", 1)], [file("sealed-file-missing", DATA.format(1))]
)
def rows_missing(case):
    case.data(1).unlink()


@mutation(
    [
        rows("rows-differ", 1, 0),
        rows("rows-index", 1, 0),
        rows("rows-episode-index", 1, 0),
        rows("rows-instruction", 1),
        rows("instruction-differs", 1),
        ("episode-stats-stale", "meta/episodes_stats.jsonl", "1", None, None),
        file("stats-stale", "meta/stats.json"),
        file("relative-stats-stale", "meta/relative_stats.json"),
    ],
    [file("sealed-file-link", DATA.format(1))],
)
def rows_replaced_by_a_link_within(case):
    case.data(1).unlink()
    case.data(1).symlink_to(case.data(0).name)


# --- meta -----------------------------------------------------------------------------------------


@mutation(
    [rows("rows-instruction", episode) for episode in range(3)]
    + [rows("instruction-differs", episode) for episode in range(3)],
    [file("sealed-file-changed", "meta/tasks.jsonl")],
)
def instructions_exchanged(case):
    def edit(tasks):
        tasks[0]["task"], tasks[1]["task"] = tasks[1]["task"], tasks[0]["task"]

    edit_lines(case.meta("tasks.jsonl"), edit)


@mutation(
    [rows("instruction-differs", episode) for episode in (0, 2)],
    [
        file("sealed-file-changed", "meta/tasks.jsonl"),
        file("sealed-file-changed", "meta/episodes.jsonl"),
    ],
)
def an_instruction_rewritten_everywhere(case):
    for name in ("tasks.jsonl", "episodes.jsonl"):
        text = case.meta(name).read_text()
        case.meta(name).write_text(
            text.replace("pick up the cube", "pick up the ball")
        )


@mutation(
    [rows("rows-count", 2), rows("length-differs", 2)]
    + [frame("video-frames", camera, 2, None) for camera in (LEFT, MID, RIGHT)]
    + [file("totals", "meta/info.json")],
    [file("sealed-file-changed", "meta/episodes.jsonl")],
)
def another_length_in_the_episode_table(case):
    edit_lines(
        case.meta("episodes.jsonl"), lambda lines: lines[2].update(length=15)
    )


@mutation(
    [("episode-stats-stale", "meta/episodes_stats.jsonl", "0", None, None)],
    [file("sealed-file-changed", "meta/episodes_stats.jsonl")],
)
def episode_statistics_stale(case):
    def edit(lines):
        lines[0]["stats"]["action"]["mean"][2] += 1e-9

    edit_lines(case.meta("episodes_stats.jsonl"), edit)


@mutation(
    [("episode-stats-stale", "meta/episodes_stats.jsonl", "0", None, None)],
    [file("sealed-file-changed", "meta/episodes_stats.jsonl")],
)
def image_statistics_stale(case):
    def edit(lines):
        lines[0]["stats"][MID]["std"][1] = [[0.25]]

    edit_lines(case.meta("episodes_stats.jsonl"), edit)


@mutation([file("stats-stale", "meta/stats.json")], [])
def statistics_of_groot_stale(case):
    edit_json(
        case.meta("stats.json"),
        lambda stats: stats["action"]["max"].__setitem__(0, 3.0),
    )


@mutation(
    [file("modality-range", "meta/modality.json")],
    [file("sealed-file-changed", "meta/modality.json")],
)
def modality_out_of_range(case):
    def edit(modality):
        modality["state"]["right_gripper"]["end"] = 15

    edit_json(case.meta("modality.json"), edit)


@mutation(
    [file("totals", "meta/info.json")],
    [file("sealed-file-changed", "meta/info.json")],
)
def another_total(case):
    edit_json(case.meta("info.json"), lambda info: info.update(total_frames=51))


@mutation(
    [file("dataset-unreadable", "meta/tasks.jsonl")],
    [file("sealed-file-changed", "meta/tasks.jsonl")],
)
def a_table_that_is_none(case):
    case.meta("tasks.jsonl").write_text('{"task": 1}\n')


@mutation([file("file-left-over", VIDEO.format(MID, 3))], [])
def a_video_left_over(case):
    case.video(MID, 3).write_bytes(case.video(MID, 2).read_bytes())


@mutation(
    [
        file("file-left-over", DATA.format(3)),
        file("stats-stale", "meta/stats.json"),
    ],
    [],
)
def rows_left_over(case):
    case.data(3).write_bytes(case.data(2).read_bytes())


@mutation([], [file("seal-damaged", str(SEAL))])
def seal_edited(case):
    text = (case.root / SEAL).read_text()
    (case.root / SEAL).write_text(
        text.replace('"length": 17', '"length": 18', 1)
    )


@mutation([], [file("sealed-file-changed", "README.md")])
def seal_edited_with_its_digest(case):
    seal = Seal.from_disk(case.root)
    assert seal
    forged = {
        **seal.files,
        "README.md": replace(seal.files["README.md"], sha256="0" * 64),
    }
    replace(seal, files=forged).to_disk(case.root)


# --- recordings -----------------------------------------------------------------------------------


@mutation([rows("rows-differ", 1, 3)], [])
def a_recorded_value_changed(case):
    with h5py.File(case.recordings / "a.hdf5", "a") as recording:
        recording["episode_1/action"][3, 2] = ulp(
            recording["episode_1/action"][3, 2]
        )


@mutation([frame("frame-unlike", LEFT, 1, 6)], [])
def a_recorded_image_changed(case):
    image = np.frombuffer(jpeg(paint(0, 0, 6)), np.uint8)
    with h5py.File(case.recordings / "a.hdf5", "a") as recording:
        recording["episode_1/image_left"][6] = image


@mutation([rows("instruction-differs", 1)], [])
def a_recorded_instruction_changed(case):
    with h5py.File(case.recordings / "a.hdf5", "a") as recording:
        recording["episode_1"].attrs["instruction"] = "do nothing"


@mutation([rows("length-differs", 1)], [])
def a_recording_shortened(case):
    with h5py.File(case.recordings / "a.hdf5", "a") as recording:
        recording["episode_1"].attrs["length"] = 16


@mutation([rows("recording-missing", 1)], [])
def a_recorded_episode_missing(case):
    with h5py.File(case.recordings / "a.hdf5", "a") as recording:
        del recording["episode_1"]


@mutation([rows("recording-missing", 2)], [])
def a_recording_missing(case):
    (case.recordings / "b.hdf5").unlink()


@mutation(
    [
        ("recording-unreadable", "recordings/b.hdf5", None, None, None),
        rows("recording-missing", 2),
    ],
    [],
)
def a_recording_cut_short(case):
    data = (case.recordings / "b.hdf5").read_bytes()
    (case.recordings / "b.hdf5").write_bytes(data[: len(data) // 2])


@mutation([rows("rows-differ", 2, 0), frame("frame-unlike", MID, 2, 0)], [])
def a_recording_of_another_day(case):
    with h5py.File(case.recordings / "b.hdf5", "a") as recording:
        recording["episode_2/action"][:] = actions(70, LENGTHS[2])
        for number in range(LENGTHS[2]):
            image = np.frombuffer(jpeg(255 - paint(70, 1, number)), np.uint8)
            recording["episode_2/image_mid"][number] = image


# --- recorded JPEG kept ---------------------------------------------------------------------------


@mutation(
    [frame("packets-differ", MID, 1, 5)], sealed_video((MID, 1)), video="copy"
)
def another_jpeg_quality(case):
    other = jpeg(paint(1, 1, 5), quality=89)
    edit_packets(case.video(MID, 1), lambda p: [*p[:5], other, *p[6:]])


@mutation(
    [frame("packets-differ", MID, 1, 5)], sealed_video((MID, 1)), video="copy"
)
def packets_exchanged(case):
    edit_packets(case.video(MID, 1), lambda p: [*p[:5], p[6], p[5], *p[7:]])


@mutation(
    [frame("packets-differ", LEFT, 0, 2)], sealed_video((LEFT, 0)), video="copy"
)
def packet_dropped_and_another_doubled(case):
    edit_packets(case.video(LEFT, 0), lambda p: [*p[:2], *p[3:], p[-1]])


@mutation(
    [frame("packets-differ", LEFT, 0, 0), frame("packets-differ", MID, 0, 0)],
    sealed_video((LEFT, 0), (MID, 0)),
    video="copy",
)
def cameras_of_packets_exchanged(case):
    exchange(case.video(LEFT, 0), case.video(MID, 0))


@mutation(
    [frame("video-not-copied", MID, 1, None)],
    sealed_video((MID, 1)),
    video="copy",
)
def packets_encoded_again(case):
    edit_frames(case.video(MID, 1), list)


# --- v3.0 -----------------------------------------------------------------------------------------


def in_v30(code, episode, camera=None, number=None):
    name = V30_VIDEO.format(camera) if camera else V30_DATA
    return (code, name, str(episode), camera, number)


def edit_table(case, edit):
    path = case.root / TABLE
    table = pq.read_table(path)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    edit(columns)
    arrays = [columns[field.name] for field in table.schema]
    pq.write_table(
        type(table).from_pydict(
            dict(zip(table.column_names, arrays, strict=True)), table.schema
        ),
        path,
    )


@mutation(
    [
        ("frame-shifted", V30_VIDEO.format(MID), "1", MID, 0),
        ("video-span", V30_VIDEO.format(MID), "1", MID, None),
        ("video-span", V30_VIDEO.format(MID), "2", MID, None),
    ],
    [file("sealed-file-changed", TABLE)],
    version="v3.0",
)
def a_span_one_frame_late(case):
    def edit(columns):
        columns[f"videos/{MID}/from_timestamp"][1] += 1 / 30
        columns[f"videos/{MID}/to_timestamp"][1] += 1 / 30

    edit_table(case, edit)


@mutation(
    [in_v30("frame-episode", 0, MID, 0), in_v30("frame-episode", 1, MID, 0)],
    [file("sealed-file-changed", TABLE)],
    version="v3.0",
)
def two_spans_exchanged(case):
    def edit(columns):
        for end in ("from", "to"):
            times = columns[f"videos/{MID}/{end}_timestamp"]
            times[0], times[1] = times[1], times[0]

    edit_table(case, edit)


@mutation(
    [
        in_v30("rows-differ", 2, number=4),
        ("episode-stats-stale", "meta/episodes", "2", None, None),
        file("stats-stale", "meta/stats.json"),
    ],
    [in_v30("sealed-rows-changed", 2)],
    version="v3.0",
)
def one_value_by_one_ulp_of_many(case):
    row = LENGTHS[0] + LENGTHS[1] + 4
    edit_rows(case.root / V30_DATA, set_value("action", row, 0, ulp))


@mutation(
    [file("rows-left-over", V30_DATA)],
    [file("sealed-file-changed", V30_DATA)],
    version="v3.0",
)
def rows_of_no_episode(case):
    path = case.root / V30_DATA
    table = pq.read_table(path)
    with pq.ParquetWriter(path, table.schema) as writer:
        for rows in (table, table.slice(0, 3)):
            writer.write_table(rows)


@mutation(
    [in_v30("frame-shifted", 1, MID, 3)],
    [in_v30("sealed-video-changed", episode, MID) for episode in range(3)],
    version="v3.0",
)
def a_frame_doubled_in_a_long_video(case):
    start = LENGTHS[0]
    path = case.root / V30_VIDEO.format(MID)
    edit_frames(
        path, lambda f: [*f[: start + 3], f[start + 2], *f[start + 4 :]]
    )


@mutation(
    [file("stats-stale", "meta/stats.json")],
    [file("sealed-file-changed", "meta/stats.json")],
    version="v3.0",
)
def statistics_of_the_dataset_stale(case):
    def edit(stats):
        stats["action"]["q99"][0] += 1e-9

    edit_json(case.meta("stats.json"), edit)


@mutation(
    [
        ("video-truncated", V30_VIDEO.format(MID), None, MID, None),
        in_v30("video-undecodable", 2, MID, 10),
    ],
    [in_v30("sealed-video-changed", 2, MID)],
    version="v3.0",
)
def a_long_video_cut_short(case):
    path = case.root / V30_VIDEO.format(MID)
    path.write_bytes(path.read_bytes()[:-200])


@mutation(
    [
        in_v30(code, episode)
        for code in ("rows-instruction", "instruction-differs")
        for episode in range(3)
    ],
    [file("sealed-file-changed", "meta/tasks.parquet")],
    version="v3.0",
)
def instructions_of_v30_exchanged(case):
    path = case.meta("tasks.parquet")
    table = pq.read_table(path)
    texts = table["task"].to_pylist()[::-1]
    index = table.column_names.index("task")
    pq.write_table(
        table.set_column(index, table.schema.field("task"), [texts]), path
    )


@pytest.mark.parametrize("name", MUTATIONS)
def test_exactly_what_was_done_is_found(name, copy):
    chosen = MUTATIONS[name]
    case = copy(chosen.video, chosen.version)
    chosen.damage(case)
    assert found_by_seal(case) == chosen.by_seal
    assert found_unsealed(case) == chosen.expected


def test_there_are_enough_of_them():
    assert len(MUTATIONS) >= 40
