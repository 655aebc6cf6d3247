"""Recordings that cannot be converted: a builder for each way in which they go wrong.

Each builder takes an empty folder, makes what a user would hand to `piperline convert`, and returns what the error
must say. Where one episode is broken, it is `episode_1` of three, so that `--skip-bad` has something to keep.
"""

import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from tests.helpers.recordings import (
    jpeg,
    paint,
    png,
    write_aloha,
    write_bytes,
    write_images,
    write_piper,
)

LENGTH, FRAME, CAMERA = 4, 2, "image_mid"


@dataclass(frozen=True)
class Broken:
    """What to convert and what must come of it.

    Attributes:
        path: the argument of `piperline convert`.
        says: parts of the error message.
        code: the exit code.
        options: further arguments of the command.
    """

    path: Path
    says: tuple[str, ...]
    code: int = 3
    options: tuple[str, ...] = ()


Builder = Callable[[Path], Broken]
FILES: dict[str, Builder] = {}
"""What is wrong with the whole input."""
OPTIONS: dict[str, Builder] = {}
"""Options that do not go with good recordings."""
EPISODES: dict[str, Builder] = {}
"""What is wrong with one episode of three."""


def _file(builder: Builder) -> Builder:
    FILES[builder.__name__] = builder
    return builder


def _whole(folder: Path, **options: object) -> Path:
    return write_piper(folder / "day.hdf5", episodes=3, lengths=LENGTH, **options)  # type: ignore[arg-type]


def _episode(*says: str) -> Callable[[Callable[[h5py.Group], None]], Builder]:
    """Make a builder of a function that breaks the group `episode_1`."""

    def make(change: Callable[[h5py.Group], None]) -> Builder:
        def build(folder: Path) -> Broken:
            path = _whole(folder)
            with h5py.File(path, "r+") as file:
                change(file["episode_1"])
            return Broken(path, ("day.hdf5", "episode_1", *says))

        EPISODES[change.__name__] = build
        return build

    return make


def _replace(group: h5py.Group, name: str, values: np.ndarray) -> None:
    del group[name]
    group[name] = values


# --- the whole input ---------------------------------------------------------------------------------------------


@_file
def missing_path(folder: Path) -> Broken:
    return Broken(folder / "nowhere.hdf5", ("nowhere.hdf5", "no such file"))


@_file
def folder_without_hdf5(folder: Path) -> Broken:
    (folder / "notes.txt").write_text("no recordings here")
    return Broken(folder, ("no HDF5 files", ".hdf5 or .h5"))


@_file
def not_hdf5(folder: Path) -> Broken:
    path = folder / "day.hdf5"
    path.write_text("this is a text\n" * 100)
    return Broken(path, ("day.hdf5", "not an HDF5 file"))


@_file
def empty_file(folder: Path) -> Broken:
    path = folder / "day.hdf5"
    path.touch()
    return Broken(path, ("day.hdf5", "not an HDF5 file"))


@_file
def truncated(folder: Path) -> Broken:
    path = _whole(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    if not h5py.is_hdf5(path):
        raise AssertionError("HDF5 should still take it for its own")
    return Broken(path, ("day.hdf5", "cut short"))


@_file
def not_closed(folder: Path) -> Broken:
    """What a recorder leaves that was killed: the file says that somebody has it open."""
    path = folder / "day.hdf5"
    with h5py.File(folder / "open.part", "w", libver="latest") as file:
        file.create_group("episode_0")
        file.flush()
        shutil.copy(folder / "open.part", path)
    return Broken(path, ("day.hdf5", "not closed", "h5clear"))


@_file
def damaged_index(folder: Path) -> Broken:
    path = _whole(folder)
    data = bytearray(path.read_bytes())
    place = data.index(b"HEAP")  # the names of the root group
    data[place : place + 4] = b"\0" * 4
    path.write_bytes(data)
    return Broken(path, ("day.hdf5", "cannot be read"))


@_file
def no_episodes(folder: Path) -> Broken:
    path = folder / "day.hdf5"
    with h5py.File(path, "w") as file:
        file["notes"] = np.arange(3)
    return Broken(path, ("day.hdf5", "no episodes", "notes"))


@_file
def another_layout(folder: Path) -> Broken:
    path = write_aloha(folder / "episode_0.hdf5")
    says = ("episode_0.hdf5", "state", "--layout aloha")
    return Broken(path, says, options=("--layout", "piper"))


@_file
def no_layout_fits(folder: Path) -> Broken:
    path = folder / "day.hdf5"
    with h5py.File(path, "w") as file:
        file["data/demo_0/obs/agentview_rgb"] = np.zeros((2, 4, 4, 3), np.uint8)
    return Broken(path, ("day.hdf5", "data", "piperline layout draft"))


@_file
def no_task_text_in_the_layout(folder: Path) -> Broken:
    path = write_aloha(folder / "episode_0.hdf5")
    return Broken(path, ("episode_0.hdf5", "--task"), options=("--layout", "aloha"))


@_file
def table_of_lengths_is_wrong(folder: Path) -> Broken:
    path = write_aloha(folder / "episode_0.hdf5", compressed=True)
    with h5py.File(path, "r+") as file:
        file["compress_len"][:, FRAME] = 10
    says = ("episode_0.hdf5", "camera cam_high", "frame 2", "10, 10, 10")
    return Broken(path, says, options=("--layout", "aloha", "--task", "fold the towel"))


@_file
def lengths_differ(folder: Path) -> Broken:
    path = write_aloha(folder / "episode_0.hdf5")
    with h5py.File(path, "r+") as file:
        _replace(file, "action", file["action"][:3])
    says = (
        "differ in length",
        "/action 3",
        "/observations/qpos 5",
        "/observations/images/cam_high 5",
    )
    return Broken(path, says, options=("--layout", "aloha", "--task", "fold the towel"))


_ALOHA = ("--layout", "aloha", "--task", "fold the towel")


@_file
def table_of_lengths_elsewhere(folder: Path) -> Broken:
    path = write_aloha(folder / "episode_0.hdf5", compressed=True)
    with h5py.File(path, "r+") as file:
        del file["compress_len"]
        file.create_dataset("compress_len", (3, 5), np.uint8, external=[("/etc/passwd", 0, 15)])
    return Broken(
        path, ("episode_0.hdf5", "/compress_len", "external storage", "passwd"), options=_ALOHA
    )


@_file
def table_of_lengths_too_short(folder: Path) -> Broken:
    path = write_aloha(folder / "episode_0.hdf5", compressed=True)
    with h5py.File(path, "r+") as file:
        _replace(file, "compress_len", file["compress_len"][:, :3])
    return Broken(path, ("episode_0.hdf5", "/compress_len", "(3, 3)", "5 or more"), options=_ALOHA)


@_file
def table_of_lengths_is_a_group(folder: Path) -> Broken:
    path = write_aloha(folder / "episode_0.hdf5", compressed=True)
    with h5py.File(path, "r+") as file:
        del file["compress_len"]
        file.create_group("compress_len")
    return Broken(path, ("episode_0.hdf5", "/compress_len", "a group"), options=_ALOHA)


@_file
def table_of_lengths_is_not_a_number(folder: Path) -> Broken:
    path = write_aloha(folder / "episode_0.hdf5", compressed=True)
    with h5py.File(path, "r+") as file:
        lengths = file["compress_len"][()].astype("f8")
        lengths[:, FRAME] = np.nan
        _replace(file, "compress_len", lengths)
    return Broken(path, ("episode_0.hdf5", "frame 2", "nan"), options=_ALOHA)


@_file
def no_group_of_cameras(folder: Path) -> Broken:
    path = write_aloha(folder / "episode_0.hdf5")
    with h5py.File(path, "r+") as file:
        del file["observations/images"]
    return Broken(path, ("/observations/images", "a dataset for each camera"), options=_ALOHA)


@_file
def no_cameras_in_their_group(folder: Path) -> Broken:
    path = write_aloha(folder / "episode_0.hdf5", cameras=())
    return Broken(path, ("/observations/images", "there are no cameras"), options=_ALOHA)


@_file
def camera_of_a_hostile_name(folder: Path) -> Broken:
    path = write_aloha(folder / "episode_0.hdf5")
    with h5py.File(path, "r+") as file:
        file["observations/images"].move("cam_high", "\x1b[31m")
    return Broken(path, ("/observations/images", "\\x1b[31m"), options=_ALOHA)


@_file
def link_that_leads_nowhere(folder: Path) -> Broken:
    _whole(folder)
    (folder / "night.hdf5").symlink_to("/nowhere/night.hdf5")
    return Broken(folder, ("night.hdf5", "a link that leads nowhere"))


@_file
def file_of_an_odd_name(folder: Path) -> Broken:
    path = folder / os.fsdecode(b"day\xff.hdf5")
    _whole(folder).rename(path)
    return Broken(path, ("day\\udcff.hdf5", "UTF-8"))


@_file
def pipe_in_place_of_a_file(folder: Path) -> Broken:
    os.mkfifo(folder / "day.hdf5")
    return Broken(folder / "day.hdf5", ("day.hdf5", "no regular file"))


@_file
def cameras_are_no_group(folder: Path) -> Broken:
    path = write_aloha(folder / "episode_0.hdf5")
    with h5py.File(path, "r+") as file:
        del file["observations/images"]
        file["observations/images"] = np.zeros(5)
    return Broken(
        path, ("observations/images", "a group"), options=("--layout", "aloha", "--task", "fold it")
    )


# --- options -----------------------------------------------------------------------------------------------------


def _option(code: int, *says: str, options: str, **recording: object) -> Callable[[str], None]:
    def build(folder: Path) -> Broken:
        return Broken(_whole(folder, **recording), says, code, tuple(options.split()))

    return lambda name: OPTIONS.__setitem__(name, build)


_option(2, "29.97", "whole", options="--fps 29.97")("broken_frame_rate")
_option(2, "even", options="--resize 33x24")("odd_size")
_option(2, "320x240", options="--resize small")("size_in_words")
_option(2, "no layout", "piper", options="--layout pipper")("unknown_layout")
_option(2, "matches no episode", "episode_9*", options="--episodes episode_9*")("no_episode_chosen")
_option(6, "png, not JPEG", "camera left_wrist", options="--video copy", storage="png-vlen")(
    "copy_of_png"
)
_option(6, "raw, not JPEG", "camera left_wrist", options="--video copy", storage="raw")(
    "copy_of_raw"
)
_option(6, "exchanged", options="--video copy --color swapped-jpeg")("copy_of_swapped_colours")
_option(6, "--resize", options="--video copy --resize 32x24")("copy_of_other_size")
_option(3, "swapped-jpeg", "raw", options="--color swapped-jpeg", storage="raw")("swapped_raw")
_option(3, "bgr", "jpeg", options="--color bgr")("bgr_jpeg")


# --- structure ---------------------------------------------------------------------------------------------------


@_episode("action", "missing")
def missing_vector(group: h5py.Group) -> None:
    del group["action"]


@_episode(CAMERA, "missing")
def missing_camera(group: h5py.Group) -> None:
    del group[CAMERA]


@_episode("state", "(4, 13)", "14")
def thirteen_joints(group: h5py.Group) -> None:
    _replace(group, "state", group["state"][:, :13])


@_episode("action", "|S5")
def words_in_place_of_numbers(group: h5py.Group) -> None:
    _replace(group, "action", np.full((LENGTH, 14), b"joint"))


@_episode("state", "a group")
def group_in_place_of_a_dataset(group: h5py.Group) -> None:
    del group["state"]
    group.create_group("state")


@_episode(CAMERA, "float32", "images")
def numbers_in_place_of_images(group: h5py.Group) -> None:
    _replace(group, CAMERA, np.zeros((LENGTH, 8), np.float32))


@_episode("length", "no such attribute")
def no_length(group: h5py.Group) -> None:
    del group.attrs["length"]


@_episode("length", "four")
def length_in_words(group: h5py.Group) -> None:
    group.attrs["length"] = "four"


@_episode("no frames", "length 0")
def length_zero(group: h5py.Group) -> None:
    group.attrs["length"] = 0


@_episode("no frames", "length -3")
def length_below_zero(group: h5py.Group) -> None:
    group.attrs["length"] = -3


@_episode("at least 5 rows", "4 rows")
def length_too_large(group: h5py.Group) -> None:
    group.attrs["length"] = LENGTH + 1


@_episode("action", "3 rows")
def vectors_of_other_length(group: h5py.Group) -> None:
    _replace(group, "action", group["action"][:3])


@_episode(CAMERA, "3 rows")
def camera_of_other_length(group: h5py.Group) -> None:
    frames = [paint(1, 1, frame) for frame in range(3)]
    del group[CAMERA]
    write_images(group, CAMERA, frames, "jpeg-vlen", "rgb")


@_episode(CAMERA, "does not hold images")
def camera_of_one_number(group: h5py.Group) -> None:
    _replace(group, CAMERA, np.array(3, np.uint8))


@_episode("state", "without a dataspace")
def vector_of_nothing(group: h5py.Group) -> None:
    _replace(group, "state", h5py.Empty("f4"))


@_episode(CAMERA, "without a dataspace")
def camera_of_nothing(group: h5py.Group) -> None:
    _replace(group, CAMERA, h5py.Empty("u1"))


@_episode("state", "cannot be read")
def vector_of_an_unknown_type(group: h5py.Group) -> None:
    del group["state"]
    space = h5py.h5s.create_simple((LENGTH, 14))
    h5py.h5d.create(group.id, b"state", h5py.h5t.UNIX_D32LE, space)


@_episode("not UTF-8", "attribute instruction", "\\udcb5")
def task_in_another_encoding(group: h5py.Group) -> None:
    group.attrs["instruction"] = np.bytes_("第一".encode("gbk"))


@_episode("name of the episode is not UTF-8", "\\udcb5")
def name_in_another_encoding(group: h5py.Group) -> None:
    group.parent.move(b"episode_1", "episode_1第一".encode("gbk"))


@_episode("task", "--task")
def no_task(group: h5py.Group) -> None:
    del group.attrs["instruction"]


@_episode("task", "--task")
def empty_task(group: h5py.Group) -> None:
    group.attrs["instruction"] = " \n"


# --- values ------------------------------------------------------------------------------------------------------


@_episode("observation.state", "frame 2", "nan", "left_joint_4.pos")
def not_a_number(group: h5py.Group) -> None:
    group["state"][FRAME, 3] = np.nan


@_episode("action", "frame 2", "-inf", "2", "right_gripper.pos")
def infinite(group: h5py.Group) -> None:
    group["action"][FRAME:, 13] = -np.inf


@_episode("action", "frame 2", "1e+300")
def too_large_for_float32(group: h5py.Group) -> None:
    values = group["action"][()].astype(np.float64)
    values[FRAME, 0] = 1e300
    _replace(group, "action", values)


# --- images ------------------------------------------------------------------------------------------------------


def _image(group: h5py.Group, data: bytes) -> None:
    group[CAMERA][FRAME] = np.frombuffer(data, np.uint8)


@_episode("camera mid", "frame 2", "empty")
def empty_image(group: h5py.Group) -> None:
    _image(group, b"")


@_episode("camera mid", "frame 2", "cut short")
def truncated_image(group: h5py.Group) -> None:
    _image(group, jpeg(paint(1, 1, FRAME))[:-200])


@_episode("camera mid", "frame 2", "not JPEG")
def text_in_place_of_an_image(group: h5py.Group) -> None:
    _image(group, b"the camera was not ready")


@_episode("camera mid", "frame 2")
def corrupt_image(group: h5py.Group) -> None:
    data = bytearray(jpeg(paint(1, 1, FRAME)))
    start = data.index(b"\xff\xda") + 20
    data[start : start + 200] = bytes(200)
    _image(group, bytes(data))


@_episode("camera mid", "frame 2", "32", "24")
def image_of_other_size(group: h5py.Group) -> None:
    _image(group, jpeg(paint(1, 1, FRAME, (24, 32))))


@_episode("camera mid", "frame 2")
def png_among_jpeg(group: h5py.Group) -> None:
    _image(group, png(paint(1, 1, FRAME)))


@_episode("camera mid", "frame 0", "empty")
def first_image_empty(group: h5py.Group) -> None:
    group[CAMERA][0] = np.zeros(0, np.uint8)


@_episode("camera mid", "frame 2", "empty")
def padded_row_of_zeros(group: h5py.Group) -> None:
    images = [jpeg(paint(1, 1, frame)) for frame in range(LENGTH)]
    images[FRAME] = b""
    del group[CAMERA]
    write_bytes(group, CAMERA, images, "jpeg-padded")


# --- out of the file ---------------------------------------------------------------------------------------------


def _other_file(group: h5py.Group) -> Path:
    """A good recording outside the folder that is converted."""
    outside = Path(group.file.filename).parent / "elsewhere"
    outside.mkdir()
    return write_piper(outside / "other.h5", episodes=1, lengths=LENGTH)


@_episode("external link", "other.h5")
def external_link(group: h5py.Group) -> None:
    other = _other_file(group)
    del group["state"]
    group["state"] = h5py.ExternalLink(str(other), "/episode_0/state")


@_episode("external link", "other.h5")
def episode_by_external_link(group: h5py.Group) -> None:
    other, root, name = _other_file(group), group.file, group.name
    del root[name]
    root[name] = h5py.ExternalLink(str(other), "/episode_0")


@_episode("external storage", "passwd")
def external_storage(group: h5py.Group) -> None:
    del group["state"]
    group.create_dataset(
        "state", (LENGTH, 14), np.float32, external=[("/etc/passwd", 0, LENGTH * 14 * 4)]
    )


@_episode("virtual dataset", CAMERA, "other.h5")
def virtual_dataset(group: h5py.Group) -> None:
    other = _other_file(group)
    source = h5py.VirtualSource(
        str(other), "/episode_0/state", shape=(LENGTH, 14), dtype=np.float32
    )
    layout = h5py.VirtualLayout((LENGTH, 48, 64, 3), np.uint8)
    layout[:, 0, 0, 0] = source[:, 0]
    del group[CAMERA]
    group.create_virtual_dataset(CAMERA, layout)


@_episode("state", "circles")
def links_in_circles(group: h5py.Group) -> None:
    del group["state"]
    group["state"] = h5py.SoftLink("state")


@_episode("state", "missing", "/nowhere")
def dangling_link(group: h5py.Group) -> None:
    del group["state"]
    group["state"] = h5py.SoftLink("/nowhere")


@_episode("not a group", "nothing")
def episode_by_dangling_link(group: h5py.Group) -> None:
    root, name = group.file, group.name
    del root[name]
    root[name] = h5py.SoftLink("/nowhere")


# --- too much ----------------------------------------------------------------------------------------------------


@_episode("state", "claims")
def absurd_vector(group: h5py.Group) -> None:
    del group["state"]
    group.create_dataset("state", (1 << 40, 14), np.float32, chunks=(64, 14))
    group.attrs["length"] = LENGTH


@_episode(CAMERA, "claims")
def absurd_image(group: h5py.Group) -> None:
    del group[CAMERA]
    group.create_dataset(CAMERA, (LENGTH, 100_000, 100_000, 3), np.uint8, chunks=(1, 64, 64, 3))


@_episode(CAMERA, "claims")
def absurd_chunk(group: h5py.Group) -> None:
    del group[CAMERA]
    group.create_dataset(
        CAMERA, (4096, 480, 640, 3), np.uint8, chunks=(1024, 480, 640, 3), compression="gzip"
    )


@_episode("camera mid", "frame 2", "60000")
def jpeg_that_claims_absurd_size(group: h5py.Group) -> None:
    data = bytearray(jpeg(paint(1, 1, FRAME)))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", 60_000, 60_000)
    _image(group, bytes(data))


@_episode("30720 frames", "1024 s")
def longer_than_readers_allow(group: h5py.Group) -> None:
    rows = 1024 * 30 + 1
    for name in ("state", "action"):
        del group[name]
        group.create_dataset(name, (rows, 14), np.float32, chunks=(64, 14))
    for name in ("image_left", CAMERA, "image_right"):
        del group[name]
        group.create_dataset(name, (rows, 48, 64, 3), np.uint8, chunks=(1, 48, 64, 3))
    group.attrs["length"] = rows


# --- filters and damage ------------------------------------------------------------------------------------------

_UNKNOWN_FILTER = 32_123


@_episode("state", "filter", str(_UNKNOWN_FILTER))
def missing_filter(group: h5py.Group) -> None:
    del group["state"]
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((LENGTH, 14))
    properties.set_filter(_UNKNOWN_FILTER, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((LENGTH, 14))
    data = h5py.h5d.create(group.id, b"state", h5py.h5t.IEEE_F32LE, space, properties)
    data.write_direct_chunk((0, 0), bytes(LENGTH * 14 * 4))


@_episode("state", "cannot be read", "filter")
def damaged_chunk(group: h5py.Group) -> None:
    values = group["state"][()]
    del group["state"]
    data = group.create_dataset("state", data=values, chunks=values.shape, compression="gzip")
    group.file.flush()
    place = data.id.get_chunk_info(0)
    with Path(group.file.filename).open("r+b") as raw:
        raw.seek(place.byte_offset)
        raw.write(b"\xaa" * place.size)


@_episode("image_mid", "frame 2", "cannot be read")
def damaged_heap(group: h5py.Group) -> None:
    """The references to the images lead nowhere."""
    group.file.flush()
    offset = group[CAMERA].id.get_offset()
    with Path(group.file.filename).open("r+b") as raw:
        raw.seek(
            offset + FRAME * 16 + 4
        )  # a reference: 4 bytes length, 8 bytes place of the heap, 4 bytes index
        raw.write(struct.pack("<Q", 12))


@_episode("\\x1b[31mred", "nan")
def hostile_name(group: h5py.Group) -> None:
    group["state"][FRAME, 0] = np.nan
    group.file.move(group.name, "episode_1\x1b[31mred\n")
