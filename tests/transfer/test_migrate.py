import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pytest

from piperline.edits.pictures import Pictures
from piperline.episode import Clip
from piperline.errors import (
    DatasetError,
    OutputError,
    OutputExists,
    Place,
    UnsupportedVersion,
    UsageError,
)
from piperline.features import Feature
from piperline.files import identity
from piperline.lerobot import WRITERS
from piperline.lerobot.dataset import open_dataset
from piperline.lerobot.v21 import V21Writer
from piperline.output import publish
from piperline.output import workspace as place
from piperline.seal.seal import SEAL
from piperline.transfer import TransferOptions, aggregate, migrate
from piperline.video.decoder import probe
from piperline.video.images import encode_png
from tests.helpers.datasets import assert_holds, write_dataset
from tests.helpers.episodes import (
    FPS,
    codes_of,
    make_clip,
    make_episode,
    numbered_frame,
    schema_of,
)
from tests.helpers.trees import tree
from tests.helpers.videos import clip_packets

KEY = "observation.images.mid"
CAMERAS = ("mid", "left_wrist")


@pytest.fixture
def episodes(tmp_path):
    return [
        make_episode(
            tmp_path / "in",
            number,
            3 + number,
            cameras=CAMERAS,
            tasks=["pick", f"place {number}"],
        )
        for number in range(3)
    ]


@pytest.mark.parametrize(("old", "new"), [("v2.1", "v3.0"), ("v3.0", "v2.1")])
def test_there_and_back(old, new, tmp_path, episodes):
    first = write_dataset(tmp_path / "first", episodes, old)
    before = tree(first)
    result = migrate(first, new, output=tmp_path / "second")
    assert (result.format, result.episodes, result.frames, result.output) == (
        new,
        3,
        12,
        tmp_path / "second",
    )
    assert_holds(open_dataset(result.output), episodes)
    migrate(result.output, old, output=tmp_path / "third")
    assert tree(first) == before
    assert tree(tmp_path / "third") == before


def test_modality_is_kept_and_averaged_statistics_are_not(tmp_path, episodes):
    first = write_dataset(tmp_path / "first", episodes, "v3.0")
    migrate(first, "v2.1", output=tmp_path / "second")
    assert (tmp_path / "second/meta/modality.json").read_bytes() == (
        first / "meta/modality.json"
    ).read_bytes()
    assert not (tmp_path / "second/meta/stats.json").exists()
    assert (tmp_path / "second/meta/episodes_stats.jsonl").exists()
    assert (
        json.loads((tmp_path / "second/meta/piperline.json").read_text())[
            "format"
        ]
        == "v2.1"
    )


def test_without_an_output_the_dataset_is_replaced_and_kept(tmp_path, episodes):
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    before = tree(root)
    result = migrate(root, "v2.1")
    assert result.backup == tmp_path / "set_v30"
    assert tree(tmp_path / "set_v30") == before
    assert_holds(open_dataset(root), episodes)
    migrate(root, "v3.0")
    again = migrate(root, "v2.1")
    assert again.backup == tmp_path / "set_v30_2"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in",
        "set",
        "set_v21",
        "set_v30",
        "set_v30_2",
    ]


def test_a_file_system_without_exchange(tmp_path, episodes, monkeypatch):
    monkeypatch.setattr(publish, "_exchange", lambda _one, _other: False)
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    assert migrate(root, "v2.1").backup == tmp_path / "set_v30"
    assert_holds(open_dataset(root), episodes)


@pytest.mark.parametrize("exchanged", [False, True])
def test_a_swap_that_was_killed_is_finished(tmp_path, episodes, exchanged):
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    work = tmp_path / "set.partial"
    work.mkdir()
    (work / "lock").touch()
    write_dataset(work / "swap", episodes, "v2.1")
    (work / "new").write_text(identity(work / "swap"))
    if exchanged:
        assert publish._exchange(work / "swap", root)
        with pytest.raises(UnsupportedVersion, match=r"v2\.1 already"):
            migrate(root, "v2.1")
        assert open_dataset(tmp_path / "set_v30").version == "v3.0"
    else:
        migrate(root, "v2.1")
    assert open_dataset(root).version == "v2.1"
    assert not work.exists()
    assert not (tmp_path / "set_v21").exists()


def test_a_swap_of_a_damaged_dataset(tmp_path, episodes):
    """What is no dataset any more is kept, too, when a new one takes its place."""
    (tmp_path / "set/meta").mkdir(parents=True)
    (tmp_path / "set/meta/info.json").write_text("{")
    with place.workplace(tmp_path / "set") as work:
        work.dataset.rmdir()
        write_dataset(work.dataset, episodes)
        assert work.exchange() == tmp_path / "set_old"
    assert_holds(open_dataset(tmp_path / "set"), episodes)
    assert (tmp_path / "set_old/meta/info.json").read_text() == "{"


def test_the_same_version_is_refused(tmp_path, episodes):
    root = write_dataset(tmp_path / "set", episodes)
    with pytest.raises(UnsupportedVersion, match=r"v2\.1 already"):
        migrate(root, "v2.1", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ("set", UsageError),
        ("set/inside", UsageError),
        (".", UsageError),
        ("taken", OutputExists),
    ],
)
def test_an_output_that_cannot_be(output, error, tmp_path, episodes):
    root = write_dataset(tmp_path / "set", episodes)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/file").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(error):
        migrate(root, "v3.0", output=tmp_path / output)
    assert tree(tmp_path) == before


def test_a_foreign_partial_folder_is_kept(tmp_path, episodes):
    root = write_dataset(tmp_path / "set", episodes)
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial/notes").write_text("mine")
    with pytest.raises(OutputExists, match=r"\.partial holds"):
        migrate(root, "v3.0", output=tmp_path / "out")
    assert (tmp_path / "out.partial/notes").read_text() == "mine"


def test_a_workplace_whose_maker_was_killed_at_its_end_is_used(
    tmp_path, episodes
):
    root = write_dataset(tmp_path / "set", episodes)
    (tmp_path / "out.partial").mkdir()  # the lock goes last, then the folder
    migrate(root, "v3.0", output=tmp_path / "out")
    assert not (tmp_path / "out.partial").exists()


def test_what_a_killed_process_left_is_cleared(tmp_path, episodes):
    root = write_dataset(tmp_path / "set", episodes)
    left = tmp_path / "out.partial/dataset"
    left.mkdir(parents=True)
    (left.parent / "lock").touch()
    (left / "half").touch()
    migrate(root, "v3.0", output=tmp_path / "out")
    assert not left.parent.exists()
    assert not (tmp_path / "out/half").exists()


def test_two_processes_do_not_work_on_one_output(tmp_path, episodes):
    root = write_dataset(tmp_path / "set", episodes)
    with (
        place.workplace(tmp_path / "out"),
        pytest.raises(OutputExists, match="at work"),
    ):
        migrate(root, "v3.0", output=tmp_path / "out")


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize(
    ("version", "to"), [("v2.1", "v3.0"), ("v3.0", "v2.1")]
)
def test_a_video_that_is_cut_short(version, to, share, tmp_path, episodes):
    """Its header comes first and tells of all frames."""
    root = write_dataset(tmp_path / "set", episodes, version)
    video = max(root.rglob(f"*{KEY}*/**/*.mp4"), default=None) or max(
        root.rglob("*.mp4")
    )
    video.write_bytes(video.read_bytes()[: int(share * video.stat().st_size)])
    before = tree(tmp_path)
    for do in (
        lambda: migrate(root, to, output=tmp_path / "out"),
        lambda: aggregate([root], tmp_path / "out", format=version),
    ):
        with pytest.raises(
            DatasetError,
            match=r"cut short|cannot be read|does not have the frames",
        ):
            do()
        assert tree(tmp_path) == before


def test_a_missing_output_folder_is_not_made_for_nothing(tmp_path):
    with pytest.raises(DatasetError, match="there is no such dataset"):
        migrate(tmp_path / "none", "v2.1", output=tmp_path / "deep/er/out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_an_episode_that_readers_cannot_find_frames_of(version, tmp_path):
    limit = {"v2.1": 1024, "v3.0": 1000}[version]
    root = tmp_path / "set"
    root.mkdir()
    episode = make_episode(tmp_path / "in", 0, 3, cameras=())
    long = replace(
        episode,
        table=pa.table({"timestamp": np.zeros((limit + 1) * FPS, np.float32)}),
    )
    with pytest.raises(DatasetError, match="too long for LeRobot " + version):
        WRITERS[version](root, schema_of(episode)).add(long)


def test_a_damaged_dataset_changes_nothing(tmp_path, episodes):
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    (root / f"videos/{KEY}/chunk-000/file-000.mp4").write_bytes(b"")
    before = tree(tmp_path)
    with pytest.raises(DatasetError):
        migrate(root, "v2.1")
    assert tree(tmp_path) == before


def joined_without_key_frames(tmp_path):
    """A v3.0 dataset of two episodes whose video was encoded as one, with a single key frame."""
    path = tmp_path / "long.mp4"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264",
            rate=FPS,
            options={"bf": "0", "g": "100", "sc_threshold": "0"},
        )
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for code in [0, 1, 2, 3, 100, 101, 102]:
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(
                        numbered_frame(code), format="rgb24"
                    )
                )
            )
        container.mux(stream.encode())
    episodes = [
        make_episode(tmp_path / "in", 0, 4),
        make_episode(tmp_path / "in", 1, 3),
    ]
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    (root / f"videos/{KEY}/chunk-000/file-000.mp4").write_bytes(
        path.read_bytes()
    )
    (root / SEAL).unlink()
    return root, episodes


def test_what_cannot_be_cut_is_named_and_encoded_only_when_asked(tmp_path):
    root, episodes = joined_without_key_frames(tmp_path)
    with pytest.raises(DatasetError, match="key frames") as caught:
        migrate(root, "v2.1", output=tmp_path / "out")
    assert "episode 1" in str(caught.value)
    assert f"camera {KEY}" in str(caught.value)
    assert "--reencode" in str(caught.value)
    result = migrate(
        root,
        "v2.1",
        output=tmp_path / "out",
        options=TransferOptions(reencode=True),
    )
    assert result.notes == ("1 piece of videos encoded again",)
    assert_holds(open_dataset(tmp_path / "out"), episodes)


def test_statistics_that_are_missing_are_measured(tmp_path, episodes):
    root = write_dataset(tmp_path / "set", episodes)
    (root / "meta/image_histograms.pq").unlink()
    result = migrate(root, "v3.0", output=tmp_path / "out")
    assert result.notes == (
        "image statistics of 6 clips taken from frames of their videos",
    )
    stats = json.loads((tmp_path / "out/meta/stats.json").read_text())
    exact = (
        np.mean([e.camera_stats[KEY].mean * e.length for e in episodes], axis=0)
        / 4
    )
    np.testing.assert_allclose(stats[KEY]["mean"], exact, atol=0.03)
    assert np.shape(stats[KEY]["q50"]) == (3, 1, 1)


def test_of_long_videos_some_key_frames_are_measured(tmp_path):
    episode = make_episode(tmp_path / "in", 2, 130)
    root = write_dataset(tmp_path / "set", [episode], "v3.0")
    (root / "meta/image_histograms.pq").unlink()
    migrate(root, "v2.1", output=tmp_path / "out")
    stats = next(iter(open_dataset(tmp_path / "out"))).camera_stats[KEY]
    assert stats.count == 8
    keys = [200 + key for key in (0, 20, 30, 50, 70, 90, 100, 120)]
    shown = (
        np.stack([numbered_frame(code) for code in keys]).reshape(-1, 3) / 255
    )
    np.testing.assert_allclose(
        stats.mean.ravel(), shown.mean(axis=0), atol=0.01
    )
    np.testing.assert_allclose(stats.std.ravel(), shown.std(axis=0), atol=0.01)


def test_limits_of_v30_files_are_options(tmp_path, episodes):
    root = write_dataset(tmp_path / "set", episodes)
    migrate(
        root,
        "v3.0",
        output=tmp_path / "out",
        options=TransferOptions(data_mb=1e-6, video_mb=1e-6),
    )
    assert len(list((tmp_path / "out").glob("data/*/*"))) == 3
    assert len(list((tmp_path / "out").glob(f"videos/{KEY}/*/*"))) == 3
    assert_holds(open_dataset(tmp_path / "out"), episodes)


def test_a_longer_file_is_cut_where_the_episode_ends(tmp_path):
    """Frames behind the last episode of a v3.0 file belong to nobody."""
    episodes = [make_episode(tmp_path / "in", 0, 4)]
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    make_clip(root / f"videos/{KEY}/chunk-000/file-000.mp4", range(9))
    migrate(root, "v2.1", output=tmp_path / "out")
    assert codes_of(
        tmp_path / f"out/videos/chunk-000/{KEY}/episode_000000.mp4"
    ) == [0, 1, 2, 3]


def test_the_real_v20_dataset(tmp_path):
    here = Path(__file__).resolve().parents[2]
    named = os.environ.get("PIPERLINE_REAL_DATASET")
    root = (
        Path(named)
        if named
        else here.parent / "shared" / "data" / "robot_sim.PickNPlace"
    )
    if not root.exists():
        pytest.skip(
            "the real v2.0 dataset is not here; PIPERLINE_REAL_DATASET names it"
        )
    with pytest.raises(DatasetError, match="egoview") as caught:
        migrate(root, "v2.1", output=tmp_path / "v21")
    assert "--drop-missing-cameras" in str(caught.value)
    options = TransferOptions(drop_missing_cameras=True)
    migrate(root, "v2.1", output=tmp_path / "v21", options=options)
    migrate(tmp_path / "v21", "v3.0", output=tmp_path / "v30", options=options)
    migrate(
        tmp_path / "v30", "v2.1", output=tmp_path / "again", options=options
    )
    assert tree(tmp_path / "v21").keys() == tree(tmp_path / "again").keys()
    original, again = open_dataset(root), open_dataset(tmp_path / "again")
    assert list(again.tasks) == list(original.tasks)
    for found, expected in zip(
        again, original.without(original.missing_cameras), strict=True
    ):
        assert found.table.equals(
            replace(
                expected, table=expected.table.cast(found.table.schema)
            ).table
        )
        assert found.tasks == expected.tasks
        key = "observation.images.ego_view"
        assert clip_packets(found.clips[key]) == clip_packets(
            expected.clips[key]
        )


def with_images(episode):
    """`episode` with a column of PNG images and a matrix."""
    images = [
        {"bytes": encode_png(numbered_frame(number)), "path": None}
        for number in range(episode.length)
    ]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    grid = pa.array(
        [[[number, 1.0], [2.0, 3.0]] for number in range(episode.length)],
        pa.list_(pa.list_(pa.float32())),
    )
    table = episode.table.append_column(
        "picture", pa.array(images, kind)
    ).append_column("grid", grid)
    return replace(episode, table=table)


def test_images_and_matrices_in_columns(tmp_path):
    episodes = [
        with_images(make_episode(tmp_path / "in", number, 3))
        for number in range(2)
    ]
    root = tmp_path / "set"
    root.mkdir()
    schema = schema_of(episodes[0])
    more = {
        "picture": Feature("image", (48, 64, 3)),
        "grid": Feature("float32", (2, 2)),
    }
    writer = V21Writer(
        root, replace(schema, features={**schema.features, **more})
    )
    for episode in episodes:
        writer.add(episode)
    writer.finish()
    migrate(root, "v3.0", output=tmp_path / "there")
    migrate(tmp_path / "there", "v2.1", output=tmp_path / "back")
    back = open_dataset(tmp_path / "back")
    for found, expected in zip(back, episodes, strict=True):
        assert (
            found.table.select(["picture", "grid"]).to_pydict()
            == expected.table.select(["picture", "grid"]).to_pydict()
        )
        assert found.camera_stats["picture"].mean.shape == (3, 1, 1)
    stats = json.loads((tmp_path / "there/meta/stats.json").read_text())
    assert stats["grid"]["max"] == [[2.0, 1.0], [2.0, 3.0]]
    assert stats["grid"]["q50"] == [[1.0, 1.0], [2.0, 3.0]]


@pytest.fixture(params=["bytes", "packets"])
def written_by(request, monkeypatch):
    """Where a fault of the disk shows: in copying byte ranges, or in FFmpeg."""
    if request.param == "packets":
        monkeypatch.setattr("piperline.video.clips.read_track", lambda *_: None)
    return {
        "bytes": "piperline.video.mp4_writer._append",
        "packets": "piperline.video.splice.Joiner._mux",
    }[request.param]


def test_a_disk_without_room_changes_nothing(
    tmp_path, episodes, monkeypatch, written_by
):
    root = write_dataset(tmp_path / "set", episodes)
    before = tree(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    monkeypatch.setattr(written_by, full)
    with pytest.raises(OutputError, match="nothing was changed"):
        migrate(root, "v3.0")
    assert tree(tmp_path) == before


def test_other_faults_of_the_system_pass_as_they_are(
    tmp_path, episodes, monkeypatch, written_by
):
    root = write_dataset(tmp_path / "set", episodes)

    def broken(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(written_by, broken)
    with pytest.raises(OSError, match="Too many open files"):
        migrate(root, "v3.0")
    with pytest.raises(FileNotFoundError):
        publish._exchange(tmp_path / "nothing", tmp_path / "nowhere")


def test_what_is_encoded_again_is_described_as_it_is_then(tmp_path):
    path = tmp_path / "long.mp4"
    with av.open(str(path), "w", format="mp4") as container:
        options = {"x265-params": "bframes=0:keyint=999:log-level=none"}
        stream = container.add_stream("libx265", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for code in range(9):
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(
                        numbered_frame(code), format="rgb24"
                    )
                )
            )
        container.mux(stream.encode(None))
    info, _ = probe(path)
    made = make_episode(tmp_path / "in", 0, 4)
    episode = replace(made, clips={KEY: Clip(path, 3, 4, info, whole=False)})
    (tmp_path / "pieces").mkdir()
    pictures = Pictures(
        schema_of(episode), tmp_path / "pieces", quantiles=False, reencode=True
    )
    completed = pictures.complete(episode, Place(), "v2.1")
    pictures.close()
    assert codes_of(completed.clips[KEY].path) == [3, 4, 5, 6]
    codecs = [
        (pictures.schema_of(each).features[KEY].info or {})["video.codec"]
        for each in (episode, completed)
    ]
    assert codecs == ["hevc", "h264"]
