import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.edits.numbers import Moment
from piperline.edits.plan import DatasetEdit, EditPlan, EpisodeEdit
from piperline.errors import DatasetError, OutputExists, UsageError
from piperline.features import frame_times
from piperline.lerobot.dataset import open_dataset
from piperline.seal.seal import SEAL
from piperline.transfer import (
    EditOptions,
    aggregate,
    edit,
    migrate,
    preview_edit,
)
from piperline.verify import verify
from piperline.video.clips import ClipReader
from piperline.video.encoder import MODES
from piperline.video.recut import Work, encode_clip
from tests.helpers.datasets import assert_holds, write_dataset
from tests.helpers.episodes import (
    FPS,
    codes_of,
    make_episode,
    numbered_frame,
)
from tests.helpers.recordings import write_piper
from tests.helpers.trees import tree
from tests.helpers.videos import clip_packets

KEY = "observation.images.mid"
WRIST = "observation.images.left_wrist"
LENGTHS = (24, 5, 31)
VERSIONS = ("v2.1", "v3.0")


def episodes_in(folder, mode="h264"):
    return [
        make_episode(
            folder,
            number,
            length,
            cameras=("mid", "left_wrist"),
            tasks=[f"put {number}"],
            mode=mode,
        )
        for number, length in enumerate(LENGTHS)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return episodes_in(tmp_path_factory.mktemp("made"))


@pytest.fixture(params=VERSIONS)
def root(request, tmp_path, made):
    return write_dataset(tmp_path / "set", made, request.param)


def plan(**changes):
    return EditPlan(dataset=DatasetEdit(**changes))


def trim(index, start=None, stop=None):
    return EditPlan({index: EpisodeEdit(start=start, stop=stop)})


def codes(dataset, key=KEY):
    clips = [episode.clips[key] for episode in dataset]
    return [codes_of(clip.path, clip.first, clip.count) for clip in clips]


def states(dataset):
    """The first value of the state of each frame, as it was recorded: number + frame / 1000."""
    return [
        [
            round(float(value[0].as_py()), 3)
            for value in episode.table["observation.state"]
        ]
        for episode in dataset
    ]


def record(folder):
    return json.loads((folder / "meta/piperline.json").read_text())


def test_dropped_and_kept_episodes(root, made, tmp_path):
    before = tree(root)
    result = edit(
        root, EditPlan({1: EpisodeEdit(drop=True)}), output=tmp_path / "out"
    )
    assert (result.episodes, result.frames, result.backup) == (2, 55, None)
    assert result.work == Work(2 * 55, 0)
    assert_holds(open_dataset(tmp_path / "out"), [made[0], made[2]])
    edit(root, EditPlan(keep=(0, 2)), output=tmp_path / "kept")
    kept = tree(tmp_path / "kept")
    told = {"meta/piperline.json", str(SEAL)}
    assert {name: text for name, text in kept.items() if name not in told} == {
        name: text
        for name, text in tree(tmp_path / "out").items()
        if name not in told
    }
    assert tree(root) == before


def test_a_trim_encodes_only_frames_before_a_key_frame(root, made, tmp_path):
    edit(root, trim(0, Moment(7), Moment(22)), output=tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    first, *others = dataset
    assert codes(dataset)[0] == list(range(7, 22))
    assert codes(dataset, WRIST)[0] == list(range(1007, 1022))
    assert (
        clip_packets(first.clips[KEY])[3:]
        == clip_packets(made[0].clips[KEY])[10:22]
    )
    assert states(dataset)[0] == [
        round(frame / 1000, 3) for frame in range(7, 22)
    ]
    assert first.table["frame_index"].to_pylist() == list(range(15))
    np.testing.assert_array_equal(
        first.table["timestamp"], frame_times(np.arange(15), FPS)
    )
    for episode, unchanged in zip(others, made[1:], strict=True):
        for key, clip in unchanged.clips.items():
            assert clip_packets(episode.clips[key]) == clip_packets(clip)
    entries = record(tmp_path / "out")["episodes"]
    assert entries[0] == {"length": 15, "frames": [7, 22]}
    assert entries[1] == {"length": 5}


def test_a_cut_at_a_key_frame_encodes_nothing(root, made, tmp_path):
    result = edit(root, trim(2, Moment(20), None), output=tmp_path / "out")
    assert result.work is not None
    assert result.work.encoded == 0
    last = open_dataset(tmp_path / "out").episode(2)
    assert (
        clip_packets(last.clips[KEY]) == clip_packets(made[2].clips[KEY])[20:]
    )


def test_image_statistics_of_what_was_cut_are_those_of_its_frames(
    root, tmp_path
):
    edit(root, trim(0, Moment(10), Moment(20)), output=tmp_path / "out")
    whole, cut = (
        open_dataset(root).episode(0),
        open_dataset(tmp_path / "out").episode(0),
    )
    assert cut.camera_stats[KEY].count == 10
    assert (cut.camera_stats[KEY].mean != whole.camera_stats[KEY].mean).any()
    fresh = make_episode(tmp_path / "fresh", 0, 10)
    rest = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert fresh.table["frame_index"].to_pylist() == rest


@pytest.mark.parametrize("mode", ["copy", "av1"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_trim_of_other_codecs(version, mode, tmp_path):
    episodes = episodes_in(tmp_path / "in", mode)
    root = write_dataset(tmp_path / "set", episodes, version)
    result = edit(root, trim(0, Moment(7), None), output=tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert codes(dataset) == [
        list(range(7, 24)),
        codes(open_dataset(root))[1],
        list(range(200, 231)),
    ]
    assert result.work is not None
    assert result.work.encoded <= (0 if mode == "copy" else 2 * 2)
    packets = clip_packets(dataset.episode(0).clips[KEY])
    assert packets[2:] == clip_packets(episodes[0].clips[KEY])[9:]


def test_a_split(root, tmp_path):
    split = EditPlan(
        {2: EpisodeEdit(cuts=(Moment(10), Moment(0.5, in_seconds=True)))}
    )
    edit(root, split, output=tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert codes(dataset)[2:] == [
        list(range(200, 210)),
        list(range(210, 215)),
        list(range(215, 231)),
    ]
    assert [row.length for row in dataset.episodes] == [24, 5, 10, 5, 16]
    assert [
        entry.get("frames") for entry in record(tmp_path / "out")["episodes"]
    ] == [
        None,
        None,
        [0, 10],
        [10, 15],
        [15, 31],
    ]


def test_cuts_of_what_was_cut_tell_the_frames_of_the_source(root, tmp_path):
    edit(root, trim(2, Moment(10), None), output=tmp_path / "a")
    edit(tmp_path / "a", trim(2, Moment(5), Moment(15)), output=tmp_path / "b")
    assert record(tmp_path / "b")["episodes"][2] == {
        "length": 10,
        "frames": [15, 25],
    }
    assert codes(open_dataset(tmp_path / "b"))[2] == list(range(215, 225))
    thinned = edit(tmp_path / "b", plan(every=3), output=tmp_path / "c")
    assert record(thinned.output)["episodes"][2] == {
        "length": 4,
        "frames": [15, 25],
        "every": 3,
    }


def test_instructions(root, tmp_path):
    changes = EditPlan(
        {2: EpisodeEdit(instruction="wave")},
        dataset=DatasetEdit(
            rename_instructions={"put 0": "place", "put 1": "place"}
        ),
    )
    result = edit(root, changes, output=tmp_path / "out")
    assert result.tasks == ("place", "wave")
    assert [episode.tasks for episode in open_dataset(tmp_path / "out")] == [
        ("place",),
        ("place",),
        ("wave",),
    ]


def test_cameras_and_dimensions(root, tmp_path):
    names = [f"joint_{number}.pos" for number in range(14)]
    turned = (*names[7:], *names[:7])
    changes = plan(
        drop_cameras=("left_wrist",),
        rename_cameras={"mid": "top"},
        rename_dimensions={"joint_0.pos": "waist.pos"},
        reorder_dimensions={"action": turned},
    )
    (root / "meta/modality.json").write_text(
        json.dumps(
            {
                "state": {"all": {"start": 0, "end": 14}},
                "action": {
                    "left": {"start": 0, "end": 7},
                    "right": {"start": 7, "end": 14},
                },
                "video": {
                    "mid": {"original_key": KEY},
                    "wrist": {"original_key": WRIST},
                },
            }
        )
    )
    edit(root, changes, output=tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.info.schema.cameras == ("observation.images.top",)
    assert dataset.schema.features["observation.state"].names == (
        "waist.pos",
        *names[1:],
    )
    action = np.array(dataset.episode(1).table["action"].to_pylist())
    before = np.array(open_dataset(root).episode(1).table["action"].to_pylist())
    np.testing.assert_array_equal(action, np.roll(before, 7, axis=1))
    modality = json.loads((tmp_path / "out/meta/modality.json").read_text())
    assert modality["action"] == {
        "left": {"start": 7, "end": 14},
        "right": {"start": 0, "end": 7},
    }
    assert modality["video"] == {
        "top": {"original_key": "observation.images.top"}
    }


@pytest.mark.parametrize("mode", ["h264", "copy"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_lower_rate(version, mode, tmp_path):
    root = write_dataset(
        tmp_path / "set", episodes_in(tmp_path / "in", mode), version
    )
    result = edit(root, plan(every=3), output=tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.info.fps == 10
    assert codes(dataset) == [
        list(range(0, 24, 3)),
        [100, 103],
        list(range(200, 231, 3)),
    ]
    assert states(dataset)[1] == [1.0, 1.003]
    np.testing.assert_array_equal(
        dataset.episode(0).table["timestamp"], frame_times(np.arange(8), 10)
    )
    assert result.work == (Work(42, 0) if mode == "copy" else Work(0, 42))
    assert (dataset.info.features[KEY].info or {})["video.fps"] == 10


def test_in_place_the_old_dataset_is_kept(root, tmp_path):
    before, version = tree(root), open_dataset(root).version
    result = edit(root, trim(0, Moment(7), None))
    assert result.output == root
    backup = tmp_path / f"set_{version.replace('.', '')}"
    assert result.backup == backup
    assert tree(backup) == before
    assert codes(open_dataset(root))[0] == list(range(7, 24))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "set",
        backup.name,
    ]


def test_the_plan_stands_in_the_record(root, tmp_path):
    edit(root, trim(0, Moment(7), None), output=tmp_path / "out")
    edited = record(tmp_path / "out")["edited"]
    assert [each["plan"] for each in edited] == [
        {"episode": [{"episode": 0, "trim": "7:"}]}
    ]
    assert (
        edited[0]["applied_to"]["episodes"],
        edited[0]["applied_to"]["frames"],
    ) == (3, 60)
    assert (tmp_path / "out" / SEAL).is_file()


def test_episodes_by_their_source(root, tmp_path):
    document = record(root)
    for number, entry in enumerate(document["episodes"]):
        entry |= {"source": "day/a.hdf5", "episode": f"episode_{number}"}
    (root / "meta/piperline.json").write_text(json.dumps(document))
    edit(
        root,
        EditPlan({"a.hdf5:episode_1": EpisodeEdit(drop=True)}),
        output=tmp_path / "out",
    )
    assert [row.length for row in open_dataset(tmp_path / "out").episodes] == [
        24,
        31,
    ]
    assert record(tmp_path / "out")["episodes"][1]["episode"] == "episode_2"


def test_a_dry_run_tells_the_work_and_writes_nothing(root, tmp_path):
    before = tree(tmp_path)
    changes = EditPlan(
        {0: EpisodeEdit(start=Moment(5)), 1: EpisodeEdit(drop=True)}
    )
    seen = preview_edit(root, changes)
    assert tree(tmp_path) == before
    result = edit(root, changes, output=tmp_path / "out")
    assert (
        (seen.episodes, seen.frames)
        == (result.episodes, result.frames)
        == (2, 50)
    )
    assert seen.work == result.work == Work(2 * 45, 2 * 5)
    assert [(each.index, each.start, each.stop) for each in seen.changed] == [
        (0, 5, 24)
    ]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        (EditPlan(), UsageError),
        (EditPlan({3: EpisodeEdit(drop=True)}), UsageError),
        (
            EditPlan({"other.hdf5:episode_0": EpisodeEdit(drop=True)}),
            UsageError,
        ),
        (EditPlan(keep=()), UsageError),
        (trim(1, Moment(5), None), UsageError),
        (EditPlan({1: EpisodeEdit(drop=True)}, keep=(1,)), UsageError),
        (plan(every=4), UsageError),
        (plan(every=0), UsageError),
        (plan(drop_cameras=("top",)), UsageError),
        (
            plan(drop_cameras=("mid",), rename_cameras={"mid": "top"}),
            UsageError,
        ),
        (plan(rename_cameras={"mid": "../../stolen"}), UsageError),
        (plan(rename_cameras={"mid": "left_wrist"}), UsageError),
        (plan(rename_instructions={"never said": "wave"}), UsageError),
        (plan(reorder_dimensions={"action": ("a", "b")}), UsageError),
    ],
)
@pytest.mark.parametrize("in_place", [True, False])
def test_what_does_not_fit_touches_nothing(
    changes, error, in_place, tmp_path, made
):
    root = write_dataset(tmp_path / "set", made[:2])
    before = tree(tmp_path)
    with pytest.raises(error):
        edit(root, changes, output=None if in_place else tmp_path / "out")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("output", [".", "/", ".."])
def test_an_output_without_a_name_of_its_own_is_refused(
    root, output, monkeypatch
):
    monkeypatch.chdir(root)
    before = tree(root.parent)
    for run in (
        lambda: edit(root, trim(0, Moment(1), None), output=Path(output)),
        lambda: migrate(root, "v3.0", output=Path(output)),
        lambda: aggregate([root], Path(output)),
    ):
        with pytest.raises(UsageError, match="has no name of its own"):
            run()
    assert tree(root.parent) == before


def test_what_lies_at_the_output_is_kept(root, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(OutputExists):
        edit(root, trim(0, Moment(7), None), output=tmp_path / "out")
    assert (tmp_path / "out/notes.txt").read_text() == "mine"


EARLIER = {
    "superfast": {"preset": "superfast", "crf": "23", "g": "10", "bf": "0"},
    "without CABAC": {
        "preset": "superfast",
        "crf": "23",
        "g": "8",
        "bf": "0",
        "x264-params": "cabac=0:no-deblock=1:weightp=0:aq-mode=0:psy=0",
    },
}


@pytest.mark.parametrize("earlier", EARLIER.values(), ids=EARLIER)
def test_a_dataset_of_earlier_settings_is_cut_with_them(
    tmp_path, made, earlier
):
    """Headers of other settings are others."""
    reader = ClipReader()
    clips = {
        key: encode_clip(
            reader,
            clip,
            tmp_path / f"{key}.mp4",
            replace(MODES["h264"], options=earlier),
        )
        for key, clip in made[0].clips.items()
    }
    reader.close()
    root = write_dataset(tmp_path / "set", [replace(made[0], clips=clips)])
    document = record(root)
    document["video"] = {"mode": "h264", "options": earlier}
    (root / "meta/piperline.json").write_text(json.dumps(document))
    result = edit(root, trim(0, Moment(5), None), output=tmp_path / "out")
    head = int(earlier["g"]) - 5
    assert result.work == Work(2 * (19 - head), 2 * head)
    assert codes(open_dataset(tmp_path / "out"))[0] == list(range(5, 24))


def test_headers_of_another_encoder_need_reencode(tmp_path, made):
    """Packets of another encoder cannot follow what ours encodes: their headers differ."""
    root = write_dataset(tmp_path / "set", made)
    document = record(root)
    document["video"] = {
        "mode": "h264",
        "options": {"preset": "veryslow", "crf": "10"},
    }
    (root / "meta/piperline.json").write_text(json.dumps(document))
    cut = trim(0, Moment(7), None)
    with pytest.raises(DatasetError, match="cannot be cut here") as raised:
        edit(root, cut, output=tmp_path / "out")
    assert raised.value.place is not None
    assert raised.value.place.episode == "0"
    assert not (tmp_path / "out").exists()
    result = edit(
        root, cut, output=tmp_path / "out", options=EditOptions(reencode=True)
    )
    assert result.work == Work(2 * 36, 2 * 17)
    assert codes(open_dataset(tmp_path / "out"))[0] == list(range(7, 24))


def test_a_record_cannot_make_the_encoder_write_files(tmp_path, made):
    root = write_dataset(tmp_path / "set", made)
    document = record(root)
    options = {
        "x264-params": f"pass=1:stats={tmp_path}/stolen",
        "stats": f"{tmp_path}/stolen",
    }
    document["video"] = {"mode": "h264", "options": options}
    (root / "meta/piperline.json").write_text(json.dumps(document))
    edit(root, trim(0, Moment(7), None), output=tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "set"]


def test_every_episode_split_is_the_same_for_equal_plans(root, tmp_path):
    changes = EditPlan(
        {0: EpisodeEdit(cuts=(Moment(3),)), 2: EpisodeEdit(cuts=(Moment(13),))}
    )
    edit(root, changes, output=tmp_path / "a")
    edit(root, replace(changes), output=tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_left_is_what_a_conversion_makes(version, tmp_path):
    """The bytes of a conversion of the rest, the statistics of GR00T too."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    write_piper(tmp_path / "one/a.hdf5", episodes=1, lengths=[20])
    write_piper(tmp_path / "two/b.hdf5", episodes=2, first=1, lengths=[18, 21])
    job = make_job(format=version)
    convert(
        [tmp_path / "one", tmp_path / "two"], tmp_path / "all", job, workers=1
    )
    convert([tmp_path / "two"], tmp_path / "two_only", job, workers=1)
    result = edit(
        tmp_path / "all", EditPlan({"a.hdf5:episode_0": EpisodeEdit(drop=True)})
    )
    made, expected = tree(result.output), tree(tmp_path / "two_only")
    assert made.keys() == expected.keys()
    others = {name for name in made if made[name] != expected[name]}
    assert others == {"meta/piperline.json", str(SEAL)}
    assert (
        verify(result.output).verdict == verify(tmp_path / "two_only").verdict
    )
    back = edit(result.output, EditPlan({0: EpisodeEdit(cuts=(Moment(10),))}))
    assert back.backup == tmp_path / (
        "all_v21_2" if version == "v2.1" else "all_v30_2"
    )
    assert ("meta/stats.json" in tree(back.output)) == (
        "meta/stats.json" in expected
    )


def test_what_lerobot_does_not_know_is_kept(tmp_path, made):
    episodes = [
        replace(episode, own={"operator": f"o{n}"})
        for n, episode in enumerate(made)
    ]
    columns = {"operator": pa.string()}
    root = write_dataset(
        tmp_path / "set", episodes, "v3.0", own_columns=columns
    )
    (root / "meta/notes.txt").write_text("mine")
    (root / f"{SEAL}.sig").write_text("a signature of the old seal")
    edit(root, trim(2, Moment(7), None), output=tmp_path / "out")
    kept = open_dataset(tmp_path / "out").episodes
    assert [row.own["operator"] for row in kept] == ["o0", "o1", "o2"]
    assert (tmp_path / "out/meta/notes.txt").read_text() == "mine"
    assert not (tmp_path / f"out/{SEAL}.sig").exists()


@pytest.mark.parametrize(
    "group",
    [
        {},
        {"start": 0},
        {"start": 9, "end": 3},
        {"start": 0, "end": 99},
        {"start": 3, "end": 9},
    ],
)
def test_a_modality_that_cannot_follow(root, group, tmp_path):
    names = [f"joint_{number}.pos" for number in range(14)]
    (root / "meta/modality.json").write_text(
        json.dumps({"action": {"arm": group}})
    )
    before = tree(tmp_path)
    with pytest.raises(UsageError, match=r"arm"):
        edit(
            root, plan(reorder_dimensions={"action": (*names[7:], *names[:7])})
        )
    assert tree(tmp_path) == before


def with_b_frames(path, numbers):
    """A video of numbered frames, a key frame every 6, with B-frames between them."""
    with av.open(str(path), "w", format="mp4") as container:
        options = {"bf": "2", "g": "6", "sc_threshold": "0"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in numbers:
            picture = av.VideoFrame.from_ndarray(
                numbered_frame(number), format="rgb24"
            )
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("version", VERSIONS)
def test_b_frames_are_cut_at_key_frames(version, tmp_path):
    episodes = [make_episode(tmp_path / "in", n, 18) for n in range(2)]
    for number, episode in enumerate(episodes):
        path = episode.clips[KEY].path
        with_b_frames(path, range(number * 100, number * 100 + 18))
    root = write_dataset(tmp_path / "set", episodes, version)
    packets = clip_packets(open_dataset(root).episode(1).clips[KEY])
    middle = EpisodeEdit(start=Moment(6), stop=Moment(12))
    result = edit(root, EditPlan({1: middle}), output=tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert codes(dataset) == [list(range(18)), list(range(106, 112))]
    assert clip_packets(dataset.episode(1).clips[KEY]) == packets[6:12]
    assert result.work == Work(18 + 6, 0)
    inside = EditPlan({1: EpisodeEdit(start=Moment(4))})
    with pytest.raises(DatasetError, match="cannot be cut here") as raised:
        edit(root, inside, output=tmp_path / "inside")
    assert "--reencode" in str(raised.value)
    assert not (tmp_path / "inside").exists()
    options = EditOptions(reencode=True)
    edit(root, inside, output=tmp_path / "inside", options=options)
    assert codes(open_dataset(tmp_path / "inside"))[1] == list(range(104, 118))
