"""Images of an episode on one sheet."""

import h5py
import numpy as np
import pytest
from PIL import Image

from piperline.errors import (
    BadEpisode,
    LayoutMismatch,
    OutputExists,
    RecordingError,
    UsageError,
)
from piperline.hdf5.contact_sheet import frames_sheet, write_image
from piperline.recordings.layout import load_layout
from piperline.video.letters import LINE_HEIGHT, caption
from tests.helpers.recordings import (
    has_true_colors,
    read_code,
    write_aloha,
    write_piper,
)

GAP, HEIGHT, WIDTH = 4, 48, 64
TOP = GAP + 2 * (LINE_HEIGHT + GAP)
"""Where the first images begin: below the title and the name of the first camera."""
PER_CAMERA = LINE_HEIGHT + GAP + HEIGHT + LINE_HEIGHT + GAP


def cell(sheet, camera, column):
    """An image of a sheet of small images, and the caption below it."""
    top, left = TOP + camera * PER_CAMERA, GAP + column * (WIDTH + GAP)
    whole = sheet.image[top : top + HEIGHT + LINE_HEIGHT, left : left + WIDTH]
    return whole[:HEIGHT], whole[HEIGHT:]


@pytest.fixture
def recording(tmp_path):
    return write_piper(tmp_path / "data.h5", episodes=3, lengths=[12, 5, 5])


def test_cameras_frames_and_seconds_are_told(recording):
    sheet = frames_sheet(recording, episode="episode_0")
    assert sheet.cameras == ("left_wrist", "mid", "right_wrist")
    assert sheet.frames == (0, 2, 3, 5, 6, 8, 9, 11)
    assert (sheet.layout, sheet.instruction) == ("piper", "pick up the cube")
    for camera in range(3):
        for column, frame in enumerate(sheet.frames):
            image, below = cell(sheet, camera, column)
            assert read_code(image) == (0, camera, frame)
            assert (
                below == caption(f"{frame}  {frame / 30:.2f} s", WIDTH)
            ).all()


def test_the_title_tells_file_episode_and_instruction(recording):
    sheet = frames_sheet(recording, episode="episode_0")
    width = sheet.image.shape[1] - 2 * GAP
    title = caption("data.h5  episode_0: pick up the cube", width)
    assert (sheet.image[GAP : GAP + LINE_HEIGHT, GAP:-GAP] == title).all()
    camera = sheet.image[GAP + LINE_HEIGHT + GAP :][:LINE_HEIGHT, GAP:-GAP]
    assert (camera == caption("left_wrist", width)).all()


def test_an_episode_by_its_index_or_by_its_name(recording, tmp_path):
    assert frames_sheet(recording, episode="2").episode == "episode_2"
    assert frames_sheet(recording, episode="episode_1").episode == "episode_1"
    named_like_an_index = write_piper(
        tmp_path / "b.h5", episodes=2, names=["1", "0"]
    )
    assert frames_sheet(named_like_an_index, episode="1").episode == "1"
    with pytest.raises(RecordingError, match="no episode 3"):
        frames_sheet(recording, episode="3")


def test_the_only_episode_needs_no_name(recording, tmp_path):
    alone = write_piper(tmp_path / "one.h5", episodes=1)
    assert frames_sheet(alone).episode == "episode_0"
    with pytest.raises(UsageError, match="3 episodes in this file: which one"):
        frames_sheet(recording)


def test_the_layout_that_fits_is_found(tmp_path, zoo):
    sheet = frames_sheet(write_aloha(tmp_path / "fold.h5"))
    assert (sheet.layout, sheet.episode) == ("aloha", "fold")
    assert sheet.cameras == ("cam_high", "cam_left_wrist", "cam_right_wrist")
    with pytest.raises(LayoutMismatch, match="no built-in layout fits"):
        frames_sheet(zoo)


def test_colours_that_were_exchanged_are_put_right(tmp_path):
    path = write_piper(tmp_path / "a.h5", episodes=1, color="swapped-jpeg")
    as_declared, _ = cell(frames_sheet(path), 0, 0)
    put_right, _ = cell(frames_sheet(path, color="swapped-jpeg"), 0, 0)
    assert not has_true_colors(as_declared)
    assert has_true_colors(put_right)


def test_every_so_many_frames_of_one_camera(recording):
    sheet = frames_sheet(
        recording, load_layout("piper"), "0", cameras=["mid"], every=2
    )
    assert (sheet.cameras, sheet.frames) == (("mid",), (0, 2, 4, 6, 8, 10))
    assert read_code(cell(sheet, 0, 5)[0]) == (0, 1, 10)
    with pytest.raises(RecordingError, match="no camera top"):
        frames_sheet(recording, episode="0", cameras=["top"])
    with pytest.raises(UsageError, match="from 1"):
        frames_sheet(recording, episode="0", every=0)


def test_images_that_are_too_wide_are_made_smaller(tmp_path):
    path = write_piper(
        tmp_path / "a.h5", episodes=1, lengths=8, size=(120, 320)
    )
    sheet = frames_sheet(path, cameras=["mid"]).image
    assert 1900 < sheet.shape[1] <= 1920


def test_too_many_frames_are_refused_with_what_would_do(recording, monkeypatch):
    monkeypatch.setattr("piperline.hdf5.contact_sheet._MOST", 5)
    with pytest.raises(UsageError) as caught:
        frames_sheet(recording, episode="0", every=1)
    assert caught.value.next_step == "--every 3"
    assert len(frames_sheet(recording, episode="0", every=3).frames) == 4


def test_a_damaged_frame_is_told_by_its_number(tmp_path):
    path = write_piper(tmp_path / "in.h5", episodes=1)
    with h5py.File(path, "r+") as file:
        file["episode_0/image_mid"][2] = np.frombuffer(b"no picture", np.uint8)
    assert frames_sheet(path, cameras=["left_wrist"]).frames == (0, 1, 2, 3, 4)
    with pytest.raises(BadEpisode) as caught:
        frames_sheet(path, every=2)
    assert "frame 2" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG")]
)
def test_an_image_is_what_its_name_says(tmp_path, name, kind):
    image = np.full((20, 30, 3), 200, np.uint8)
    write_image(tmp_path / name, image)
    with Image.open(tmp_path / name) as written:
        assert (written.format, written.size) == (kind, (30, 20))
        assert np.abs(np.asarray(written).astype(int) - image).max() <= 2
    with pytest.raises(OutputExists):
        write_image(tmp_path / name, image)
    with pytest.raises(UsageError, match="PNG or JPEG"):
        write_image(tmp_path / "a.gif", image)
    assert [path.name for path in tmp_path.iterdir()] == [name]
