"""Recordings that are made to crash, to hang or to fill the memory cost one episode."""

import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import h5py
import numpy as np
import pytest

from piperline.convert.job import make_job
from piperline.convert.pool import _Queue
from piperline.convert.run import convert, plan_run
from piperline.errors import (
    BadEpisode,
    LayoutMismatch,
    RecordingError,
    UsageError,
)
from piperline.lerobot.dataset import open_dataset
from piperline.recordings.recording import Recording
from piperline.video.encoder import Mode
from piperline.video.images import decode_image, encode_png
from tests.helpers.bombs import TEXTS, jpeg_of, png_of
from tests.helpers.fatal import MID, crashing, make_hang
from tests.helpers.recordings import write_piper
from tests.helpers.trees import tree


@pytest.fixture
def path(tmp_path) -> Path:
    return write_piper(tmp_path / "a.hdf5", episodes=3, lengths=4)


def reasons(plan) -> list[tuple[str | None, str]]:
    return [(left.episode, left.reason) for left in plan.left_out]


def test_a_crash_costs_the_episode(path, tmp_path):
    with h5py.File(path, "r+") as file:
        crashing(file, "episode_1")
    with pytest.raises(BadEpisode, match="crashes or hangs") as caught:
        plan_run(path, make_job())
    assert caught.value.place is not None
    assert caught.value.place.episode == "episode_1"
    made = convert(path, tmp_path / "out", make_job(), skip_bad=True, workers=1)
    assert reasons(made) == [
        ("episode_1", "reading this crashes or hangs: a crash (SIGSEGV)")
    ]
    assert made.episodes == 2
    assert len(open_dataset(tmp_path / "out")) == 2


def test_a_file_that_crashes_again_and_again_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("piperline.convert.planning.MOST_DEATHS", 2)
    bad = write_piper(tmp_path / "a.hdf5", episodes=4, lengths=2)
    write_piper(tmp_path / "b.hdf5", episodes=1, lengths=2)
    with h5py.File(bad, "r+") as file:
        for number in range(4):
            crashing(file, f"episode_{number}")
    plan = plan_run(tmp_path, make_job(), skip_bad=True)
    assert [episode.file.name for episode in plan.episodes] == ["b.hdf5"]
    assert [left.episode for left in plan.left_out] == [
        "episode_0",
        "episode_1",
        None,
    ]


def test_a_hang_costs_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("piperline.convert.pool.LOOK_SECONDS", 2)
    bad = write_piper(tmp_path / "a.hdf5", episodes=1, lengths=4)
    write_piper(tmp_path / "b.hdf5", episodes=1, lengths=4)
    make_hang(bad)
    plan = plan_run(tmp_path, make_job(), skip_bad=True)
    assert [episode.file.name for episode in plan.episodes] == ["b.hdf5"]
    assert reasons(plan) == [
        ("episode_0", "reading this crashes or hangs: nothing for 2 seconds")
    ]


def test_a_crash_under_a_worker_costs_the_episode(path, tmp_path):
    """Damage behind the first image shows when the episode is encoded."""
    with h5py.File(path, "r+") as file:
        images = [bytes(image) for image in file["episode_1"][MID][:]]
        del file["episode_1"][MID]
        size = max(map(len, images))
        data = file["episode_1"].create_dataset(
            MID, shape=(4, size), chunks=(1, size), dtype="u1", fletcher32=True
        )
        data[0] = np.frombuffer(images[0].ljust(size, b"\0"), "u1")
        for row in range(1, 4):
            data.id.write_direct_chunk((row, 0), b"abc", 0)
    made = convert(path, tmp_path / "out", make_job(), skip_bad=True, workers=1)
    assert reasons(made) == [
        ("episode_1", "reading this crashes or hangs: a crash (SIGSEGV)")
    ]


_MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""In a process of its own: Linux counts what the one that starts a process has taken as its own."""


def peak_memory(*command: object) -> int:
    """What the largest process of a `piperline` command took, in bytes; it must end well."""
    program = Path(sys.executable).with_name("piperline")
    words = [sys.executable, "-c", _MEASURED, *map(str, (program, *command))]
    ended = subprocess.run(words, check=True, stdout=subprocess.PIPE)
    return int(ended.stdout) << 10


def folded_zeros(size: int) -> bytes:
    """So many zeros as gzip would store them; blocks of 16 MiB that stand alone."""
    block = 16 << 20
    squeeze = zlib.compressobj(9)
    first = squeeze.compress(bytes(block)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    other = squeeze.compress(bytes(block)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    return first + other * (size // block - 1)


def chunk_that_unfolds(group: h5py.Group, name: str, frame: int) -> None:
    """From `frame` on: a chunk of 2 MiB that is 2 GB of zeros, compressed to two megabytes."""
    images = [bytes(image) for image in group[MID][:]]
    del group[name]
    width = 2 << 20
    data = group.create_dataset(
        name, (4, width), "u1", chunks=(1, width), compression=1
    )
    for row, image in enumerate(images[:frame]):
        data[row] = np.frombuffer(image.ljust(width, b"\0"), "u1")
    data.id.write_direct_chunk((frame, 0), folded_zeros(2 << 30), 0)


def vector_that_unfolds(group: h5py.Group) -> None:
    """A chunk of 112 MiB, of which four rows are used, that is 2 GB of zeros."""
    del group["state"]
    data = group.create_dataset(
        *("state", (4, 14), "f4"),
        maxshape=(None, 14),
        chunks=(2 << 20, 14),
        compression=1,
    )
    data.id.write_direct_chunk((0, 0), folded_zeros(2 << 30), 0)


BOMBS: dict[str, Callable[[h5py.Group], None]] = {
    "first image": lambda group: chunk_that_unfolds(group, MID, 0),
    "last image": lambda group: chunk_that_unfolds(group, MID, 3),
    "vector": vector_that_unfolds,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_chunk_that_unfolds_to_gigabytes_costs_the_episode(
    path, tmp_path, name
):
    """A sound episode of such chunks takes 0.2 GB, and 0.5 GB with such vectors."""
    with h5py.File(path, "r+") as file:
        BOMBS[name](file["episode_1"])
    output = tmp_path / "out"
    options = ("--skip-bad", "--workers", 1, "--output", output)
    assert peak_memory("convert", path, *options) < 1 << 30
    assert len(open_dataset(output)) == 2


def test_rows_that_are_all_one_object_do_not_add_up(tmp_path):
    """32 images, all of them the same 20 MB of a file."""
    path = write_piper(tmp_path / "a.hdf5", episodes=1, lengths=32)
    with h5py.File(path, "r+") as file:
        images = file["episode_0"][MID]
        image = bytes(images[0]).ljust(20 << 20, b"\0")
        images[0] = np.frombuffer(image, "u1")
        at = images.id.get_offset()
    data = bytearray(path.read_bytes())
    data[at : at + 32 * 16] = data[at : at + 16] * 32
    path.write_bytes(data)
    options = ("--workers", 1, "--output", tmp_path / "out")
    assert peak_memory("convert", path, *options) < 750 << 20
    assert len(open_dataset(tmp_path / "out")) == 1


@pytest.mark.usefixtures("workers_in_threads")
@pytest.mark.parametrize("name", ["state", MID])
def test_a_chunk_may_not_claim_less_than_it_takes(path, name):
    """224 bytes, and 64 MB of zeros in 64 kB; random numbers, which only grow, are no bomb."""
    bomb = zlib.compress(b"\0" * (64 << 20), 9)
    noise = np.random.default_rng(0).bytes(4 * 14 * 4)
    with h5py.File(path, "r+") as file:
        for episode in ("episode_0", "episode_1"):
            numbers = np.frombuffer(noise, "u4").reshape(4, 14) % 1000
            del file[episode]["state"]
            file[episode].create_dataset(
                "state", data=numbers.astype("f4"), compression=9
            )
        del file["episode_1"][name]
        data = file["episode_1"].create_dataset(
            name, shape=(4, 14), chunks=(4, 14), dtype="f4", compression=9
        )
        data.id.write_direct_chunk((0, 0), bomb, 0)
    plan = plan_run(path, make_job(), skip_bad=True)
    ((left, why),) = reasons(plan)
    assert left == "episode_1"
    if name == "state":
        assert why.startswith("a compressed chunk is larger than")


def set_image(
    path: Path, episode: int, frame: int, data: bytes, camera: str = MID
) -> None:
    with h5py.File(path, "r+") as file:
        images = file[f"episode_{episode}"][camera]
        row = np.frombuffer(data, "u1")
        images[frame] = row


def image_of(path: Path, camera: str = MID) -> bytes:
    with h5py.File(path) as file:
        return bytes(file["episode_1"][camera][1])


def reason(
    path: Path, output: Path, workers: int = 1, video: Mode = "h264"
) -> str:
    made = convert(
        path, output, make_job(video=video), skip_bad=True, workers=workers
    )
    ((episode, text),) = reasons(made)
    assert episode == "episode_1"
    return text


def test_the_first_of_two_damaged_cameras_is_told(path, tmp_path):
    """The later camera fails at once, the first one at its last frame."""
    set_image(path, 1, 3, b"\xff\xd8 cut", "image_left")
    for camera in ("image_mid", "image_right"):
        set_image(path, 1, 1, b"\xff\xd8 cut", camera)
    texts = {reason(path, tmp_path / f"out{n}", n) for n in (1, 2, 3)}
    assert len(texts) == 1
    assert "camera left_wrist, frame 3" in texts.pop()
    assert (
        tree(tmp_path / "out1")
        == tree(tmp_path / "out2")
        == tree(tmp_path / "out3")
    )


@pytest.mark.usefixtures("workers_in_threads")
@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_in_whatever_order_cameras_fail_the_first_counts(path, order):
    queue = _Queue(plan_run(path, make_job()).episodes[:1], workers=1)
    units = [queue.take() for _ in range(3)]
    for index in order:
        queue.fail(units[index], BadEpisode(units[index].camera))
    ((_, error),) = queue.failures.values()
    assert error.message == "left_wrist"


@pytest.mark.usefixtures("workers_in_threads")
def test_a_compound_type_is_no_image(path):
    kind = np.dtype([("bytes", h5py.vlen_dtype("u1")), ("time", "f8")])
    with h5py.File(path, "r+") as file:
        del file["episode_0"][MID]
        file["episode_0"].create_dataset(MID, (4,), kind)
    with pytest.raises(LayoutMismatch, match="does not hold images"):
        plan_run(path, make_job(video="copy"))


def keep_png(path: Path) -> None:
    """Make the first image of the episode a PNG: its camera is one of PNG then."""
    set_image(path, 1, 0, encode_png(decode_image(image_of(path))))


@pytest.mark.usefixtures("workers_in_threads")
@pytest.mark.parametrize("name", TEXTS)
def test_text_and_profiles_of_a_png_are_bounded(path, tmp_path, name):
    keep_png(path)
    set_image(path, 1, 2, png_of(96, 72, TEXTS[name]))
    said = reason(path, tmp_path / "out")
    assert said.endswith(
        "frame 2): a PNG with text and profiles of more than 8 MiB"
    )


@pytest.mark.usefixtures("workers_in_threads")
@pytest.mark.parametrize("frame", [0, 2])
@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_an_image_may_not_claim_an_absurd_size(path, tmp_path, kind, frame):
    huge = jpeg_of(image_of(path), 16000, 16000)
    if kind == "png":
        keep_png(path)
        huge = png_of(16000, 16000)
    set_image(path, 1, frame, huge)
    said = reason(path, tmp_path / "out")
    assert (
        f"frame {frame}): an image that says that it has 16000x16000 pixels"
        in said
    )


@pytest.mark.usefixtures("workers_in_threads")
def test_how_many_pixels_an_image_may_claim_can_be_set(path, monkeypatch):
    monkeypatch.setenv("PIPERLINE_MAX_PIXELS", "100")
    with pytest.raises(BadEpisode, match="an image is damaged") as caught:
        plan_run(path, make_job())
    assert "more than 100 (PIPERLINE_MAX_PIXELS)" in str(caught.value)


@pytest.mark.usefixtures("workers_in_threads")
@pytest.mark.parametrize("frame", [0, 2])
def test_a_jpeg_of_no_pixels_is_damaged(path, tmp_path, frame):
    set_image(path, 1, frame, jpeg_of(image_of(path), 0, 0))
    assert "it has 0x0 pixels" in reason(path, tmp_path / "out", video="copy")


@pytest.mark.usefixtures("workers_in_threads")
@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC9, 0xCA, 0xCF])
def test_copy_takes_what_players_decode(path, tmp_path, marker):
    data = bytearray(image_of(path))
    at = data.find(b"\xff\xc0")
    data[at + 1] = marker
    set_image(path, 1, 2, bytes(data))
    said = reason(path, tmp_path / "out", video="copy")
    assert said.endswith(
        f"JPEG of a kind that players do not know: SOF{marker - 0xC0}, 8 bits, 3 components"
    )


@pytest.mark.usefixtures("workers_in_threads")
@pytest.mark.parametrize(
    ("at", "value"), [(4, 12), (9, 4)], ids=["12 bits", "4 components"]
)
def test_copy_takes_eight_bits_and_three_components(path, tmp_path, at, value):
    data = bytearray(image_of(path))
    data[data.find(b"\xff\xc0") + at] = value
    set_image(path, 1, 2, bytes(data))
    assert "of a kind that players do not know" in reason(
        path, tmp_path / "out", video="copy"
    )


@pytest.mark.usefixtures("workers_in_threads")
def test_a_dataset_that_is_compressed_twice_is_refused(path):
    with h5py.File(path, "r+") as file:
        del file["episode_1"]["state"]
        filters = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        filters.set_chunk((4, 14))
        filters.set_deflate(9)
        filters.set_deflate(9)
        space = h5py.h5s.create_simple((4, 14))
        h5py.h5d.create(
            file["episode_1"].id,
            b"state",
            h5py.h5t.NATIVE_FLOAT,
            space,
            filters,
        )
    with pytest.raises(BadEpisode, match="compressed twice"):
        plan_run(path, make_job())


@pytest.mark.usefixtures("workers_in_threads")
def test_a_chunk_of_vectors_may_not_claim_gigabytes(path):
    with h5py.File(path, "r+") as file:
        del file["episode_1"]["state"]
        shape = {
            "shape": (4, 14),
            "maxshape": (None, 14),
            "chunks": (1 << 25, 14),
        }
        file["episode_1"].create_dataset(
            "state", dtype="f4", compression=1, **shape
        )
    with pytest.raises(BadEpisode, match="a size that no recording has"):
        plan_run(path, make_job())


@pytest.mark.usefixtures("workers_in_threads")
def test_which_layout_fits_is_asked_once_for_a_file(tmp_path, monkeypatch):
    asked = list[Path]()
    find = Recording._find_advice

    def counted(recording):
        asked.append(recording.path)
        return find(recording)

    monkeypatch.setattr(Recording, "_find_advice", counted)
    path = tmp_path / "many.hdf5"
    with h5py.File(path, "w") as file:
        for number in range(50):
            file.create_group(f"episode_{number}")
    with pytest.raises(LayoutMismatch):
        plan_run(path, make_job())
    assert asked == [path]


@pytest.mark.usefixtures("workers_in_threads")
def test_a_fifo_is_no_recording(tmp_path):
    os.mkfifo(tmp_path / "a.hdf5")
    with pytest.raises(RecordingError, match="there is no such file") as caught:
        plan_run(tmp_path, make_job())
    assert caught.value.found == "something that is no regular file"


@pytest.mark.parametrize("name", ["\udcff", "a\nb", "a\0"])
def test_the_name_of_a_robot_is_text(name):
    with pytest.raises(UsageError, match="the name of the robot"):
        make_job(robot_type=name)


@pytest.mark.parametrize("name", ["a\0b", "\udcff", ".."])
def test_an_output_has_a_name_that_can_be(path, name):
    with pytest.raises(UsageError, match="no name of its own"):
        convert(path, name, make_job(), workers=1)


@pytest.mark.usefixtures("workers_in_threads")
def test_a_folder_whose_name_is_not_utf8(path, tmp_path, monkeypatch):
    """What is named in it is told by its whole path in a dataset."""
    folder = tmp_path / "\udcff"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match="not UTF-8"):
        convert(path, Path("out"), make_job(), workers=1)
    path.rename("a.hdf5")
    with pytest.raises(RecordingError, match="not UTF-8"):
        plan_run(Path("a.hdf5"), make_job(layout="piper"))


@pytest.mark.usefixtures("workers_in_threads")
def test_a_recording_that_goes_while_it_is_looked_at(path, monkeypatch):
    names = Recording.episodes

    def and_gone(recording):
        found = names(recording)
        path.unlink()
        return found

    monkeypatch.setattr(Recording, "episodes", and_gone)
    with pytest.raises(RecordingError, match="the file cannot be read"):
        plan_run(path, make_job())
