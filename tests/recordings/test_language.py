"""What a layout can say, each held against a real file."""

import io
import json
import os

import h5py
import numpy as np
import pytest
from PIL import Image

from piperline.convert.job import make_job
from piperline.convert.run import plan_run
from piperline.errors import (
    BadEpisode,
    LayoutError,
    LayoutMismatch,
    Place,
    RecordingError,
    VideoError,
)
from piperline.recordings.detect import settle
from piperline.recordings.layout import parse_layout
from piperline.recordings.recording import Recording
from piperline.recordings.unused import unused_notes
from piperline.video.decoder import PictureDecoder, rgb
from piperline.video.encoder import MODES, VideoWriter
from tests.helpers.recordings import (
    jpeg,
    paint,
    png,
    read_code,
    states,
    write_bytes,
    write_images,
)

HEAD = 'name = "mine"\nrobot_type = "r"\n'
FILE = '[episodes]\nat = "file"\n'
STATE = '[vectors."observation.state"]\npath = "q"\n'
N = 8


def layout_of(text, head=HEAD):
    return parse_layout(head + text, Place(file="mine.toml"))


def write(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name.replace("__", "/")] = values
    return path


def opened(path, text, name=None):
    """The header and the vectors of an episode."""
    with Recording(path, layout_of(text)) as recording:
        episode = recording.episode(name or recording.episodes()[0])
        header = episode.header()
        return header, episode.vectors(header.length)


def state_of(path, text):
    return opened(path, text)[1]["observation.state"]


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "recorded", "expected"),
    [
        ("deg", np.array([[90.0, -180.0]]), [np.pi / 2, -np.pi]),
        (
            "0.001 deg",
            np.array([[90_000, -180_000]], np.int32),
            [np.pi / 2, -np.pi],
        ),
        ("rad", np.array([[0.5, -0.25]], np.float32), [0.5, -0.25]),
        ("mm", np.array([[70, 3]], np.int64), [0.07, 0.003]),
        ("0.001 mm", np.array([[70_000, 3]], np.int64), [0.07, 0.000003]),
    ],
)
def test_units_become_radians_and_metres(tmp_path, unit, recorded, expected):
    path = write(tmp_path / "a.hdf5", q=recorded)
    values = state_of(path, f'{FILE}{STATE}unit = "{unit}"')
    assert values.dtype == np.float32
    assert values.tolist() == [np.array(expected).astype(np.float32).tolist()]


def test_each_dimension_has_its_unit_scale_and_offset(tmp_path):
    path = write(tmp_path / "a.hdf5", q=np.array([[180.0, 40.0, 3.0]]))
    rules = 'names = ["a", "b", "c"]\nunit = ["deg", "mm", "rad"]\n'
    values = state_of(
        path, f"{FILE}{STATE}{rules}scale = [-1, 2, 1]\noffset = [0, 0.5, -3]"
    )
    assert values.tolist() == [
        np.array([-np.pi, 0.58, 0]).astype(np.float32).tolist()
    ]


def test_parts_are_joined_in_order(tmp_path):
    path = write(
        tmp_path / "a.hdf5",
        arm=np.arange(N * 7).reshape(N, 7),
        grip=np.arange(N) / 4,
        held=np.arange(N) % 2 == 0,
    )
    parts = """[vectors."observation.state"]
parts = [
    { path = "grip", names = ["gripper"], group = "gripper" },
    { path = "arm", columns = [2, 4], names = "joint_{n}", group = "arm" },
    { path = "arm", columns = [6, 7], names = ["last"], group = "arm" },
    { path = "held" },
    { path = "nowhere", optional = true },
]
"""
    values = state_of(path, FILE + parts)
    expected = [
        [t / 4, t * 7 + 2, t * 7 + 3, t * 7 + 6, t % 2 == 0] for t in range(N)
    ]
    assert values.tolist() == expected
    with Recording(path, layout_of(FILE + parts)) as recording:
        rule = (
            recording.episode("a").settled_layout().vectors["observation.state"]
        )
    assert rule.names == ("gripper", "joint_1", "joint_2", "last", "held")
    assert dict(rule.groups) == {"gripper": (0, 1), "arm": (1, 4)}


def test_what_the_first_episode_has_all_must_have(tmp_path):
    path = write(tmp_path / "a.hdf5", q=states(0, N, 3), base=states(0, N, 2))
    other = write(tmp_path / "b.hdf5", q=states(0, N, 3))
    text = """[vectors."observation.state"]
parts = [{ path = "q" }, { path = "base", optional = true }]
"""
    layout = settle(layout_of(FILE + text), [path, other])
    assert len(layout.vectors["observation.state"].dimension_names) == 5
    with (
        Recording(other, layout) as recording,
        pytest.raises(LayoutMismatch, match="missing"),
    ):
        recording.episode("b").header()
    damaged = write(tmp_path / "0.hdf5", p=states(0, N, 3))
    layout = settle(layout_of(FILE + text), [damaged, other])
    assert len(layout.vectors["observation.state"].dimension_names) == 3


def test_the_next_state_may_be_the_action(tmp_path):
    path = write(tmp_path / "a.hdf5", q=states(0, N, 3))
    rows = states(0, N, 3).astype(np.float32)
    text = f'{FILE}{STATE}[vectors.action]\nnext_of = "observation.state"\n'
    header, vectors = opened(path, text)
    assert header.length == N - 1
    assert "the last frame" in " ".join(header.notes)
    assert np.array_equal(vectors["observation.state"], rows[:-1])
    assert np.array_equal(vectors["action"], rows[1:])
    header, vectors = opened(path, text + 'last = "hold"')
    assert header.length == N
    assert np.array_equal(
        vectors["action"], np.concatenate([rows[1:], rows[-1:]])
    )


@pytest.mark.parametrize("order", ["quat-wxyz", "quat-xyzw"])
def test_rotations_are_named_and_become_columns_of_their_matrix(
    tmp_path, order
):
    # a quarter about z, w first
    turn = np.array([np.cos(np.pi / 4), 0, 0, np.sin(np.pi / 4)])
    recorded = turn if order == "quat-wxyz" else turn[[1, 2, 3, 0]]
    path = write(tmp_path / "a.hdf5", q=np.stack([recorded * 2] * N))
    text = f'{FILE}{STATE}rotation = "{order}"\ngroup = "hand"\n'
    with Recording(path, layout_of(text)) as recording:
        rule = (
            recording.episode("a").settled_layout().vectors["observation.state"]
        )
    axes = (
        ["qw", "qx", "qy", "qz"]
        if order == "quat-wxyz"
        else ["qx", "qy", "qz", "qw"]
    )
    assert rule.names == tuple(f"hand.{axis}" for axis in axes)
    six = state_of(path, text + 'to = "rot6d"')
    assert np.allclose(six, [[0, 1, 0, -1, 0, 0]] * N, atol=1e-7)
    with Recording(path, layout_of(text + 'to = "rot6d"')) as recording:
        rule = (
            recording.episode("a").settled_layout().vectors["observation.state"]
        )
    assert rule.names is not None
    assert len(rule.names) == 6
    assert all(name.startswith("hand.rot6d_") for name in rule.names)


def test_rot6d_is_what_the_rotation_makes_of_two_axes(tmp_path):
    rng = np.random.default_rng(0)
    w, *xyz = rng.normal(size=(4, N))
    axis = np.stack(xyz, axis=1)
    path = write(tmp_path / "a.hdf5", q=np.column_stack([w, axis]))
    rule = 'rotation = "quat-wxyz"\ngroup = "hand"\nto = "rot6d"\n'
    found = state_of(path, f"{FILE}{STATE}{rule}")
    length = w**2 + (axis**2).sum(axis=1)
    for column, unit in enumerate(np.eye(3)[:2]):
        # a vector turned by a quaternion: v + 2 w (u x v) + 2 u x (u x v), for unit quaternions
        once = np.cross(axis, unit)
        turned = 2 * w[:, None] * once + 2 * np.cross(axis, once)
        expected = unit + turned / length[:, None]
        part = found[:, 3 * column : 3 * column + 3]
        np.testing.assert_allclose(part, expected, atol=1e-6)


def test_a_wildcard_takes_every_part_in_natural_order(tmp_path):
    path = write(
        tmp_path / "a.hdf5",
        arm_10=np.full((N, 2), 10.0),
        arm_2=np.full((N, 2), 2.0),
    )
    text = (
        f'{FILE}[vectors."observation.state"]\nparts = [{{ path = "arm_*" }}]'
    )
    assert state_of(path, text).tolist() == [[2, 2, 10, 10]] * N
    with Recording(path, layout_of(text)) as recording:
        rule = (
            recording.episode("a").settled_layout().vectors["observation.state"]
        )
    assert rule.names == ("arm_2_1", "arm_2_2", "arm_10_1", "arm_10_2")
    assert [part.path for part in rule.parts] == ["arm_2", "arm_10"]


# --- episodes -------------------------------------------------------------------------------------


def groups_file(path, **attributes):
    with h5py.File(path, "w") as file:
        for number in range(4):
            group = file.create_group(f"runs/take_{number}")
            group["q"] = states(number, N + number, 3)
            for name, values in attributes.items():
                group.attrs[name] = values[number]
        file["runs/notes"] = "no episode"
        file["mask/train"] = np.array([b"take_3", b"take_1"])
    return path


def names_of(path, episodes):
    with Recording(
        path, layout_of(f'[episodes]\nat = "runs/take_*"\n{episodes}\n{STATE}')
    ) as found:
        return found.episodes(), found.left_out()


def test_episodes_lie_below_a_path(tmp_path):
    path = groups_file(tmp_path / "a.hdf5")
    assert names_of(path, "")[0] == ["take_0", "take_1", "take_2", "take_3"]
    assert (
        opened(path, f'[episodes]\nat = "runs/take_*"\n{STATE}', "take_2")[
            0
        ].length
        == N + 2
    )


@pytest.mark.parametrize(
    "marks",
    [[1, 0, 1, 1], ["yes", "False", "ok", "true"], [True, [1, 0], 1, 1]],
)
def test_marks_of_success_may_be_numbers_or_words(tmp_path, marks):
    path = groups_file(tmp_path / "a.hdf5", success=marks)
    assert names_of(path, 'where = ["@success"]')[0] == [
        "take_0",
        "take_2",
        "take_3",
    ]


def test_filters_leave_episodes_out_and_say_why(tmp_path):
    path = groups_file(tmp_path / "a.hdf5", success=[True, False, True, True])
    names, left_out = names_of(path, 'where = ["@success"]')
    assert (names, left_out) == (
        ["take_0", "take_2", "take_3"],
        {"take_1": "success is False"},
    )
    names, left_out = names_of(path, 'listed_in = "/mask/train"')
    assert names == ["take_1", "take_3"]
    assert left_out["take_0"] == "it is not listed in /mask/train"
    names, left_out = names_of(path, "at_least = 10")
    assert names == ["take_2", "take_3"]
    assert left_out == {
        "take_0": "8 frames, fewer than 10",
        "take_1": "9 frames, fewer than 10",
    }


def test_numbered_datasets_are_episodes(tmp_path):
    path = write(
        tmp_path / "a.hdf5",
        **{f"states_{n}": states(n, N + n, 3) for n in (0, 2, 10)},
    )
    at = '[episodes]\nat = "states_{number}"\n'
    text = at + STATE.replace('"q"', '"states_{number}"')
    with Recording(path, layout_of(text)) as recording:
        assert recording.episodes() == ["episode_0", "episode_2", "episode_10"]
        vectors = recording.episode("episode_10").vectors(N)
    assert np.array_equal(
        vectors["observation.state"], states(10, N, 3).astype(np.float32)
    )


def test_a_stream_is_cut_where_a_dataset_is_true(tmp_path):
    ends = np.zeros(10, bool)
    ends[[3, 8]] = (
        True  # the row behind the last end belongs to no whole episode
    )
    frames = [paint(0, 0, t) for t in range(10)]
    path = write(
        tmp_path / "a.hdf5", q=np.arange(30.0).reshape(10, 3), terminals=ends
    )
    with h5py.File(path, "r+") as file:
        write_images(file, "cam", frames, "raw", "rgb")
    text = f'[episodes]\nat = "file"\nends = "terminals"\n{STATE}[cameras.c]\npath = "cam"'
    with Recording(path, layout_of(text)) as recording:
        assert recording.episodes() == ["episode_0", "episode_1"]
        episode = recording.episode("episode_1")
        length = episode.header().length
        rows = episode.vectors(length)["observation.state"]
        images = [
            image
            for image in episode.stream("c", length)
            if not isinstance(image, bytes)
        ]
        codes = [read_code(image)[2] for image in images]
    assert rows[:, 0].tolist() == [12, 15, 18, 21, 24]
    assert codes == [4, 5, 6, 7, 8]


def test_one_row_more_is_left_out_and_said(tmp_path):
    path = write(
        tmp_path / "a.hdf5", q=states(0, N + 1, 3), act=states(0, N, 2)
    )
    text = STATE + '[vectors.action]\npath = "act"'
    with pytest.raises(BadEpisode, match="length = 'shortest'"):
        opened(path, FILE + text)
    header, vectors = opened(
        path, f'[episodes]\nat = "file"\nlength = "shortest"\n{text}'
    )
    assert header.length == N == len(vectors["observation.state"])
    assert header.notes == ("8 rows count: /q has 9",)


def test_the_length_may_be_a_dataset(tmp_path):
    path = write(tmp_path / "a.hdf5", q=states(0, N, 3), size=5)
    assert (
        opened(path, f'[episodes]\nat = "file"\nlength = "size"\n{STATE}')[
            0
        ].length
        == 5
    )
    path = write(tmp_path / "b.hdf5", q=states(0, N, 3), size=500)
    with pytest.raises(BadEpisode, match="at least 500 rows"):
        opened(path, f'[episodes]\nat = "file"\nlength = "size"\n{STATE}')


# --- instructions ---------------------------------------------------------------------------------


def task_of(path, rule):
    return opened(path, f"{FILE}{rule}\n{STATE}")[0].task


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("pick it up", '[task]\ntext = "said"'),
        (np.array([b"pick it up"] * N), '[task]\ntext = "said"'),
        (json.dumps(["pick it up", "take it"]), '[task]\ntext = "said"'),
        (
            json.dumps({"a": {"b": ["pick it up"]}}),
            '[task]\ntext = "said"\nkey = "a.b"',
        ),
    ],
)
def test_an_instruction_may_be_a_dataset(tmp_path, value, rule):
    assert (
        task_of(write(tmp_path / "a.hdf5", q=states(0, N, 3), said=value), rule)
        == "pick it up"
    )


def test_instructions_may_change_within_an_episode(tmp_path):
    said = np.array([b"reach"] * 3 + [b""] + [b"grasp"] * (N - 4))
    path = write(tmp_path / "a.hdf5", q=states(0, N, 3), said=said)
    header, _ = opened(path, f'{FILE}[task]\ntext = "said"\n{STATE}')
    assert (header.task, header.notes) == ("reach", ())
    assert header.spans == ((0, "reach"), (4, "grasp"))


def test_texts_that_are_not_one_a_frame_are_told(tmp_path):
    said = np.array([b"reach", b"grasp"])
    path = write(tmp_path / "a.hdf5", q=states(0, N, 3), said=said)
    header, _ = opened(path, f'{FILE}[task]\ntext = "said"\n{STATE}')
    assert (header.task, header.spans) == ("reach", ())
    assert header.notes == (
        "2 instructions in one episode: the first is taken for all",
    )


def test_an_instruction_may_be_a_key_of_an_attribute_above(tmp_path):
    path = groups_file(tmp_path / "a.hdf5")
    with h5py.File(path, "r+") as file:
        file["runs"].attrs["info"] = json.dumps({"language": "open it"})
    rule = '[task]\ntext = "/runs@info"\nkey = "language"'
    header, _ = opened(
        path, f'[episodes]\nat = "runs/*"\n{rule}\n{STATE}', "take_1"
    )
    assert header.task == "open it"


def test_an_instruction_may_lie_beside_or_above(tmp_path):
    (tmp_path / "cups/data").mkdir(parents=True)
    path = write(tmp_path / "cups/data/episode7.hdf5", q=states(0, N, 3))
    (tmp_path / "cups/said").mkdir()
    (tmp_path / "cups/said/episode7.json").write_text(
        json.dumps({"seen": ["one", "two", "three"]})
    )
    rule = '[task]\nfile = "said/{stem}.json"\nkey = "seen"\n'
    assert task_of(path, rule) == "one"
    assert task_of(path, rule + 'choose = "by-number"') == "two"  # 7 of 3
    (tmp_path / "cups/data/said.txt").write_text("\npick it up\n")
    assert task_of(path, '[task]\nfile = "said.txt"') == "pick it up"
    np.save(tmp_path / "cups/data/said.npy", np.array(["from numpy"]))
    assert task_of(path, '[task]\nfile = "said.npy"') == "from numpy"
    assert task_of(path, "[task]\nfolder = 2") == "cups"
    assert task_of(path, '[task]\nfolder = "data"') == "cups"


def test_sources_of_an_instruction_are_tried_in_order(tmp_path):
    path = write(tmp_path / "a.hdf5", q=states(0, N, 3), second="the second")
    rules = '[[task]]\ntext = "@first"\n[[task]]\ntext = "second"'
    assert task_of(path, rules) == "the second"
    header, _ = opened(path, f'{FILE}[task]\ntext = "@first"\n{STATE}')
    assert (header.task, header.no_task) == (
        None,
        "the attribute first: not there",
    )
    with h5py.File(path, "r+") as file:
        file.attrs["first"] = 3
    header, _ = opened(path, f'{FILE}[task]\ntext = "@first"\n{STATE}')
    assert "the attribute first: " in header.no_task
    assert "3" in header.no_task


# --- cameras --------------------------------------------------------------------------------------


def camera_file(
    path,
    storage="raw",
    names=("vision/head/colors", "vision/wrist/colors"),
    turn=(1, 1),
):
    with h5py.File(path, "w") as file:
        file["q"] = states(0, N, 3)
        for number, name in enumerate(names):
            frames = [
                paint(0, number, t)[:: turn[0], :: turn[1]] for t in range(N)
            ]
            parent, _, last = name.rpartition("/")
            write_images(
                file.require_group(parent) if parent else file,
                last,
                frames,
                storage,
                "rgb",
            )
    return path


def codes_of(path, cameras):
    """The numbers of the frames of each camera, as a conversion would decode them."""
    with Recording(path, layout_of(FILE + STATE + cameras)) as recording:
        episode = recording.episode(path.stem)
        header = episode.header()
        found = {}
        for name in header.cameras:
            stream = episode.stream(name, header.length)
            decoder = PictureDecoder(
                swap=stream.color != "rgb", mirrored=stream.mirrored
            )
            pictures = [
                decoder.encoded(image)
                if isinstance(image, bytes)
                else decoder.raw(image)
                for image in stream
            ]
            found[name] = [read_code(rgb(picture))[1:] for picture in pictures]
        return found


def numbered(camera):
    return [(camera, t) for t in range(N)]


def test_a_wildcard_in_the_middle_of_a_path(tmp_path):
    path = camera_file(tmp_path / "a.hdf5")
    rule = '[cameras."*"]\npath = "vision/*/colors"\n'
    assert codes_of(path, rule) == {"head": numbered(0), "wrist": numbered(1)}
    assert codes_of(path, rule + 'leave_out = ["head"]') == {
        "wrist": numbered(1)
    }
    renamed = codes_of(path, rule + 'rename = { head = "top" }')
    assert renamed == {"top": numbered(0), "wrist": numbered(1)}


def test_two_cameras_of_one_name_are_refused(tmp_path):
    path = camera_file(tmp_path / "a.hdf5")
    rule = (
        '[cameras."*"]\npath = "vision/*/colors"\nrename = { head = "wrist" }'
    )
    with pytest.raises(
        LayoutMismatch, match="two cameras would be called wrist"
    ):
        codes_of(path, rule)


@pytest.mark.parametrize("storage", ["raw", "jpeg-vlen", "png-vlen"])
@pytest.mark.parametrize(
    ("turn", "rule"),
    [
        ((-1, -1), "rotate = 180"),
        ((1, -1), 'flip = "horizontal"'),
        ((-1, 1), 'flip = "vertical"'),
        ((-1, 1), 'rotate = 180\nflip = "horizontal"'),
    ],
)
def test_turned_and_mirrored_images_are_put_right(
    tmp_path, storage, turn, rule
):
    path = camera_file(tmp_path / "a.hdf5", storage, ["cam"], turn=turn)
    assert codes_of(path, f'[cameras.c]\npath = "cam"\n{rule}') == {
        "c": numbered(0)
    }


@pytest.mark.parametrize("rule", ["rotate = 180", 'flip = "horizontal"'])
def test_mirrored_jpeg_is_not_kept(tmp_path, rule):
    path = camera_file(tmp_path / "a.hdf5", "jpeg-vlen", ["cam"])
    layout = layout_of(f'{FILE}{STATE}[cameras.c]\npath = "cam"\n{rule}')
    job = make_job(layout=layout, inputs=[path], video="copy", task="turn it")
    with pytest.raises(VideoError, match="cannot be kept") as caught:
        plan_run([path], job)
    assert caught.value.found == "they are turned or mirrored (rotate, flip)"
    assert "--video h264" in str(caught.value.next_step)


def test_channels_may_come_first(tmp_path):
    frames = np.stack([paint(0, 0, t) for t in range(N)])
    path = write(
        tmp_path / "a.hdf5", q=states(0, N, 3), cam=np.moveaxis(frames, 3, 1)
    )
    assert codes_of(path, '[cameras.c]\npath = "cam"') == {"c": numbered(0)}


def test_plain_bytes_of_pixels_among_jpeg(tmp_path):
    frames = [paint(0, 0, t) for t in range(N)]
    images = [
        frame.tobytes() if t % 2 else jpeg(frame)
        for t, frame in enumerate(frames)
    ]
    path = write(tmp_path / "a.hdf5", q=states(0, N, 3))
    with h5py.File(path, "r+") as file:
        write_bytes(file, "cam", images, "jpeg-vlen")
    rule = '[cameras.c]\npath = "cam"\nsizes = [[48, 64]]'
    assert codes_of(path, rule) == {"c": numbered(0)}


@pytest.mark.parametrize("kind", ["fixed", "text"])
def test_images_may_be_files_beside(tmp_path, kind):
    (tmp_path / "pictures").mkdir()
    names = [f"pictures/{t}.{'jpg' if t % 2 else 'png'}" for t in range(N)]
    for t, name in enumerate(names):
        (tmp_path / name).write_bytes((jpeg if t % 2 else png)(paint(0, 0, t)))
    values = np.array(
        names, dtype="S" if kind == "fixed" else h5py.string_dtype()
    )
    path = write(tmp_path / "a.hdf5", q=states(0, N, 3), cam=values)
    assert codes_of(path, '[cameras.c]\npath = "cam"') == {"c": numbered(0)}


def write_video(path, camera, length=N):
    path.parent.mkdir(exist_ok=True)
    with VideoWriter(path, MODES["h264"], fps=30) as writer:
        for t in range(length):
            writer.add(PictureDecoder().raw(paint(0, camera, t)))


def test_images_may_lie_in_videos_beside(tmp_path):
    path = write(tmp_path / "take_3.hdf5", q=states(0, N, 3))
    for number, name in enumerate(("front", "wrist")):
        write_video(tmp_path / f"videos/take_3_{name}.mp4", number)
    write_video(tmp_path / "videos/take_4_front.mp4", 5)
    one = '[cameras.top]\nvideo = "videos/{stem}_front.mp4"'
    assert codes_of(path, one) == {"top": numbered(0)}
    found = codes_of(path, '[cameras."*"]\nvideo = "videos/{episode}_*.mp4"')
    assert found == {"front": numbered(0), "wrist": numbered(1)}
    with pytest.raises(LayoutMismatch, match="a video is missing"):
        codes_of(path, one.replace("front", "back"))


def test_videos_that_do_not_fit_are_refused(tmp_path):
    (tmp_path / "in").mkdir()
    path = write(tmp_path / "in/a.hdf5", q=states(0, N, 3))
    rule = '[cameras.c]\nvideo = "c.mp4"'
    write_video(tmp_path / "in/c.mp4", 0, N - 2)
    with pytest.raises(BadEpisode, match="differ in length"):
        codes_of(path, rule)
    (tmp_path / "in/c.mp4").write_bytes(b"no video")
    with pytest.raises(BadEpisode, match="cannot be read"):
        codes_of(path, rule)
    (tmp_path / "in/c.mp4").unlink()
    write_video(tmp_path / "c.mp4", 0)
    (tmp_path / "in/c.mp4").symlink_to("../c.mp4")
    with pytest.raises(LayoutMismatch, match="a video is missing"):
        codes_of(path, rule)


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/hosts.png", "link.png", "folder/x.png"]
)
def test_image_files_outside_of_the_folder_are_refused(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.png").write_bytes(png(paint(0, 0, 0)))
    (tmp_path / "in/link.png").symlink_to("../secret.png")
    (tmp_path / "in/folder").symlink_to("..")
    (tmp_path / "x.png").write_bytes(png(paint(0, 0, 0)))
    path = write(
        tmp_path / "in/a.hdf5", q=states(0, 1, 3), cam=np.array([name.encode()])
    )
    with pytest.raises(BadEpisode, match="leads out of the recording's folder"):
        codes_of(path, '[cameras.c]\npath = "cam"')


def test_a_pipe_in_the_place_of_an_image_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    path = write(
        tmp_path / "a.hdf5", q=states(0, 1, 3), cam=np.array([b"x.png"])
    )
    with pytest.raises(BadEpisode, match="not a plain file"):
        codes_of(path, '[cameras.c]\npath = "cam"')


def test_depth_is_refused_with_what_it_is(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.full((48, 64), 3000, np.uint16)).save(file, "PNG")
    path = write(tmp_path / "a.hdf5", q=states(0, N, 3))
    with h5py.File(path, "r+") as opened_file:
        write_bytes(opened_file, "cam", [file.getvalue()] * N, "png-vlen")
    with pytest.raises(LayoutMismatch, match="PNG of 16 bits, grey: depth"):
        codes_of(path, '[cameras.c]\npath = "cam"')


@pytest.mark.parametrize("kind", ["WebP", "BMP"])
def test_images_that_are_not_read_are_called_by_their_name(tmp_path, kind):
    file = io.BytesIO()
    Image.fromarray(paint(0, 0, 0)).save(file, kind.upper())
    path = write(tmp_path / "a.hdf5", q=states(0, N, 3))
    with h5py.File(path, "r+") as opened_file:
        write_bytes(opened_file, "cam", [file.getvalue()] * N, "jpeg-vlen")
    with pytest.raises(
        LayoutMismatch, match=f"{kind}, which is not read"
    ) as caught:
        codes_of(path, '[cameras.c]\npath = "cam"')
    assert "anew" in str(caught.value.next_step)


# --- what is left ---------------------------------------------------------------------------------


def test_what_is_not_used_is_told(tmp_path):
    path = camera_file(tmp_path / "a.hdf5")
    with h5py.File(path, "r+") as file:
        file["effort"] = np.zeros((N, 3))
        file["depth/head"] = np.zeros((N, 4, 5), np.uint16)
    cameras = '[cameras."*"]\npath = "vision/*/colors"\n'
    text = f'{FILE}{STATE}{cameras}[left_out]\n"depth/*" = "depth images"'
    layout = layout_of(text)
    with Recording(path, layout) as recording:
        notes = unused_notes(recording.episode("a"), layout)
    assert notes == [
        "not used: effort, float64 of shape (8, 3)",
        "left out, depth images: depth/head",
    ]


# --- hostile values -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        FILE + STATE.replace('"q"', '"../q"'),
        FILE + STATE.replace('"q"', '"a/*/b/*"'),
        FILE + STATE + "columns = [3, 1]",
        FILE + STATE + "columns = [0, 100000000]",
        FILE + STATE + "size = 100000000",
        FILE + STATE + "scale = inf",
        FILE + STATE + "offset = nan",
        FILE + STATE + 'names = ["a"]\nscale = [1.0, 2.0]',
        FILE + STATE + 'to = "rot6d"',
        FILE + STATE + 'unit = "furlong"',
        FILE + '[task]\nfile = "../../etc/passwd"\n' + STATE,
        FILE + "[task]\nfolder = 1000\n" + STATE,
        FILE + '[task]\nfile = "a.txt"\nfolder = 1\n' + STATE,
        FILE + "[time]\nlimit = -1\n" + STATE,
        FILE
        + '[time]\nfile = "/etc/config.json"\n[cameras.c]\npath = ".."\n'
        + STATE,
        FILE + STATE + '[vectors.action]\nnext_of = "nothing"',
        FILE + STATE + '[cameras.c]\npath = "x"\nsizes = [[1000000, 1000000]]',
        FILE + STATE + '[cameras."*"]\npath = "x/*"\nrename = { a = "../b" }',
        '[episodes]\nat = "file"\nfiles = "../**"\n' + STATE,
        '[episodes]\nat = "file"\nat_least = -5\n' + STATE,
        '[episodes]\nat = "data/*"\nends = "x"\n' + STATE,
    ],
)
def test_what_no_layout_may_say_is_refused(text):
    with pytest.raises(LayoutError, match="not complete or not consistent"):
        layout_of(text)


@pytest.mark.parametrize("fps", [0, -1, 1001, 10**12])
def test_absurd_rates_are_refused(tmp_path, fps):
    with pytest.raises(LayoutError, match="fps"):
        layout_of(FILE + STATE, HEAD + f"fps = {fps}\n")
    path = write(tmp_path / "a.hdf5", q=states(0, N, 3), rate=fps)
    with pytest.raises(BadEpisode, match="does not tell a rate"):
        opened(path, f'{FILE}[time]\nrate = "rate"\n{STATE}')


def test_files_beside_are_untrusted(tmp_path):
    (tmp_path / "in").mkdir()
    path = write(tmp_path / "in/a.hdf5", q=states(0, N, 3))
    rule = '[task]\nfile = "said.json"'
    (tmp_path / "secret.json").write_text('"a secret"')
    (tmp_path / "in/said.json").symlink_to("../secret.json")
    assert task_of(path, rule) is None
    (tmp_path / "in/said.json").unlink()
    (tmp_path / "in/said.json").write_text("[" * 100_000)
    with pytest.raises(BadEpisode, match="cannot be read"):
        task_of(path, rule)
    (tmp_path / "in/said.json").write_text('"' + "x" * (5 << 20) + '"')
    with pytest.raises(BadEpisode, match="4 MiB"):
        task_of(path, rule)
    np.save(tmp_path / "in/said.npy", np.array({"a": 1}), allow_pickle=True)
    with pytest.raises(BadEpisode, match="without pickles"):
        task_of(path, '[task]\nfile = "said.npy"')


def test_values_that_claim_absurd_sizes_are_refused(tmp_path):
    path = write(tmp_path / "a.hdf5", q=states(0, N, 3))
    with h5py.File(path, "r+") as file:
        file.create_dataset("said", shape=(10**12,), dtype="S8", chunks=(1024,))
    with pytest.raises(RecordingError, match="a size that no recording has"):
        task_of(path, '[task]\ntext = "said"')
