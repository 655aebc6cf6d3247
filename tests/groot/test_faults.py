"""One fault each in a good dataset gives exactly its finding; good datasets give none."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piperline.cli.app import app, run
from piperline.errors import Place
from piperline.groot.checks.modality import check_choice
from piperline.groot.checks.sampling import shards
from piperline.groot.config_files import prepare
from piperline.groot.modality_config import default_choice
from piperline.groot.preflight import preflight
from piperline.groot.settings import Launch
from piperline.groot.stats import write_groot_stats
from piperline.groot.versions import VERSIONS, target
from piperline.recordings.layout import load_layout
from piperline.seal.seal import SEAL
from piperline.transfer import aggregate
from tests.groot.datasets import make_dataset, picture, write_clip
from tests.helpers.pinned import assert_golden
from tests.helpers.videos import retime

VIDEO = "videos/chunk-000/observation.images.{}/episode_{:06d}.mp4"
DATA = "data/chunk-000/episode_{:06d}.parquet"


# --- tools: change one thing in a dataset ---


def edit_json(root, name, change):
    path = root / "meta" / name
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def edit_lines(root, name, change):
    path = root / "meta" / name
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def edit_column(root, column, change, episodes=None):
    """Change a column, float64 (rows, dimensions), in place or by return; refresh statistics."""
    for index, path in enumerate(sorted((root / "data").rglob("*.parquet"))):
        if episodes is not None and index not in episodes:
            continue
        table = pq.read_table(path)
        old = table[column].combine_chunks()
        values = np.array(old.to_pylist(), dtype=np.float64).reshape(
            len(table), -1
        )
        changed = change(values)
        values = (values if changed is None else changed).astype(np.float32)
        new = (
            pa.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1])
            if column != "timestamp"
            else values[:, 0]
        )
        pq.write_table(
            table.set_column(
                table.column_names.index(column), column, pa.array(new)
            ),
            path,
        )
    refresh(root)


def refresh(root):
    """Statistics of the changed data, so that these are not stale too."""
    write_groot_stats(root)


def states_as_actions(root, shift, noise=0.0):
    for path in sorted((root / "data").rglob("*.parquet")):
        table = pq.read_table(path)
        state = np.array(
            table["observation.state"].to_pylist(), dtype=np.float32
        )
        moved = state[np.clip(np.arange(len(state)) + shift, 0, len(state) - 1)]
        moved = moved + np.random.default_rng(0).normal(
            scale=noise, size=moved.shape
        ).astype(np.float32)
        new = pa.FixedSizeListArray.from_arrays(moved.ravel(), 14)
        pq.write_table(
            table.set_column(table.column_names.index("action"), "action", new),
            path,
        )
    refresh(root)


def video(root, camera, episode, pictures, **options):
    path = root / VIDEO.format(camera, episode)
    path.unlink()
    write_clip(path, pictures, **options)


# --- the faults: each changes the dataset in one way and names what must be found ---


def spike(values):
    values[10, 2] = 300


def first_of(value):
    def change(values):
        values[5, 3] = value

    return change


def stale(values):
    """The first row: with nothing before it, it is no spike."""
    values[0, 2] = -14


def unconnected(values):
    values[:, 13] = 0.03


def shut(values):
    values[:, 13] = 0


def smaller(values):
    values[:, 1] *= 0.1


def idle(values):
    values[:60] = values[60]


def set_span(part, group, start, end):
    return lambda root: edit_json(
        root,
        "modality.json",
        lambda v: v[part].update({group: {"start": start, "end": end}}),
    )


def info(change):
    return lambda root: edit_json(root, "info.json", change)


def modality(change):
    return lambda root: edit_json(root, "modality.json", change)


def rows(column, change):
    return lambda root: edit_column(root, column, change)


def upside_down(values):
    values[:, 0] *= -1


def shuffle(values):
    return np.random.default_rng(1).permutation(values)


def rest(values):
    values[:] = values[0]


def renamed(task):
    """Give all episodes another task."""

    def change(lines):
        return [
            json.dumps(json.loads(line) | {"tasks": [task]}) for line in lines
        ]

    return change


def degrees(values):
    values[:, 1] *= 57.3


def stuck(values):
    values[:, 4] = 0.25


def stray(root):
    shutil.copy(root / DATA.format(0), root / "data/chunk-000/leftover.parquet")
    refresh(root)


def cut_rows(root):
    path = root / DATA.format(1)
    pq.write_table(pq.read_table(path).slice(0, 43), path)
    refresh(root)


def promise(length):
    def change(lines):
        line = json.loads(lines[1]) | {"length": length}
        return [lines[0], json.dumps(line), *lines[2:]]

    def apply(root):
        edit_lines(root, "episodes.jsonl", change)
        refresh(root)

    return apply


def grown(root):
    """New data under old statistics."""
    kept = {
        name: (root / "meta" / name).read_bytes()
        for name in ("stats.json", "relative_stats.json")
    }

    def grow(values):
        values *= 1.1

    edit_column(root, "action", grow)
    edit_column(root, "observation.state", grow)
    for name, data in kept.items():
        (root / "meta" / name).write_bytes(data)
    (root / "meta/relative_stats.json").unlink()


def stale_relative(root):
    edit_json(
        root,
        "relative_stats.json",
        lambda v: v["left_arm"]["max"][3].__setitem__(2, 9.0),
    )


def foreign(root):
    """As lerobot 0.4 leaves it: quantiles that are means over episodes, and a count."""

    def change(stats):
        for entry in stats.values():
            entry["q01"] = [
                value + 0.05 * (high - value)
                for value, high in zip(entry["q01"], entry["max"], strict=True)
            ]
            entry["count"] = [120]

    edit_json(root, "stats.json", change)


def other_horizon(root):
    write_groot_stats(root, horizon=8)


def short_episode(root):
    path = root / DATA.format(2)
    pq.write_table(pq.read_table(path).slice(0, 10), path)
    edit_lines(
        root,
        "episodes.jsonl",
        lambda lines: [
            *lines[:2],
            json.dumps(json.loads(lines[2]) | {"length": 10}),
        ],
    )
    for camera in ("left_wrist", "mid", "right_wrist"):
        video(
            root,
            camera,
            2,
            [picture(2, 0, frame, (48, 64)) for frame in range(10)],
        )
    refresh(root)


def swapped(root):
    """A wooden scene with red and blue exchanged."""
    for episode, length in enumerate((40, 44, 36)):
        frames = []
        for frame in range(length):
            image = wooden(picture(episode, 1, frame, (48, 64)))
            frames.append(image[:, :, ::-1].copy())
        video(root, "mid", episode, frames)


def other_size(root):
    for episode, length in enumerate((40, 44, 36)):
        video(
            root,
            "mid",
            episode,
            [picture(episode, 1, frame, (64, 64)) for frame in range(length)],
        )
    edit_json(
        root,
        "info.json",
        lambda v: v["features"]["observation.images.mid"].update(
            shape=[64, 64, 3]
        ),
    )


def wrong_names(root):
    """Grippers that begin a joint too early: neither too long nor overlapping."""

    def change(value):
        for part in ("state", "action"):
            value[part].update(
                left_arm={"start": 0, "end": 5},
                left_gripper={"start": 5, "end": 7},
            )

    edit_json(root, "modality.json", change)
    refresh(root)


def damage(root):
    """Bytes of the pictures overwritten; the index in the header still right."""
    path = root / VIDEO.format("mid", 1)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 8
    data[start:] = bytes(len(data) - start)
    path.write_bytes(data)


def mpeg1(root):
    """A codec of the last century: no mistake of ours could write it."""
    for episode, length in enumerate((40, 44, 36)):
        with av.open(
            str(root / VIDEO.format("mid", episode)), "w"
        ) as container:
            stream = container.add_stream("mpeg1video", rate=30)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for frame in range(length):
                pixels = av.VideoFrame.from_ndarray(
                    picture(episode, 1, frame, (48, 64)), format="rgb24"
                )
                container.mux(stream.encode(pixels))
            container.mux(stream.encode())


def put(name, make):
    """Replace a column of one file."""

    def apply(root):
        path = root / DATA.format(1)
        table = pq.read_table(path)
        column = pa.array([make(row) for row in range(len(table))])
        pq.write_table(
            table.set_column(table.column_names.index(name), name, column), path
        )

    return apply


def no_rows(root):
    path = root / DATA.format(1)
    pq.write_table(pq.read_table(path).slice(0, 0), path)


def remove(root, name):
    (root / name).unlink()
    refresh(root)


def drop_column(root):
    path = root / DATA.format(1)
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["action"]), path)
    (root / "meta/piperline_stats.json").unlink()


def repeat_rows(root):
    """The second episode has the first one's rows."""
    first, second = (
        pq.read_table(root / DATA.format(number)) for number in (0, 1)
    )
    for name in ("action", "observation.state"):
        column = second.column_names.index(name)
        rows = first[name].slice(0, len(second))
        second = second.set_column(column, name, rows)
    pq.write_table(second, root / DATA.format(1))
    refresh(root)


FAULTS = {
    "dataset-missing": lambda root: (root / "meta/info.json").unlink(),
    "dataset-v3": info(lambda v: v.update(codebase_version="v3.0")),
    "dataset-unsafe": lambda root: (root / "meta/notes").symlink_to(
        "/dev/null"
    ),
    "meta-missing": lambda root: (root / "meta/tasks.jsonl").unlink(),
    "meta-syntax": lambda root: edit_lines(
        root, "episodes.jsonl", lambda lines: [lines[0], "", *lines[1:]]
    ),
    "meta-syntax: info": lambda root: (root / "meta/info.json").write_text("{"),
    "meta-syntax: list": lambda root: (root / "meta/info.json").write_text(
        "[]"
    ),
    "meta-syntax: keys": info(lambda v: v.pop("data_path")),
    "meta-syntax: features": info(lambda v: v.update(features={"action": 3})),
    "meta-syntax: modality": lambda root: (
        root / "meta/modality.json"
    ).write_text(""),
    "meta-syntax: shape": info(
        lambda v: v["features"]["action"].update(shape=["14"])
    ),
    "meta-syntax: chunks": info(lambda v: v.update(chunks_size=-1)),
    "meta-syntax: template": info(
        lambda v: v.update(video_path="videos/{camera}.mp4")
    ),
    "meta-syntax: outside": info(
        lambda v: v.update(video_path="../{video_key}.mp4")
    ),
    "meta-syntax: task": lambda root: edit_lines(
        root, "tasks.jsonl", lambda _: ['{"task_index": 0, "task": null}']
    ),
    "modality-missing": lambda root: (root / "meta/modality.json").unlink(),
    "modality-syntax": modality(
        lambda v: v["state"].update(left_arm={"start": "0", "end": 6})
    ),
    "modality-syntax: empty": modality(lambda v: v.update(state={})),
    "modality-syntax: video": modality(
        lambda v: v.update(video={"mid": "observation.images.mid"})
    ),
    "modality-syntax: list": modality(lambda v: v.update(video=["mid"])),
    "modality-range": set_span("state", "right_gripper", 13, 20),
    "modality-overlap": set_span("action", "right_arm", 6, 12),
    "modality-cover": modality(
        lambda v: [v[part].pop("right_gripper") for part in ("state", "action")]
    ),
    "modality-names": wrong_names,
    "modality-column": modality(
        lambda v: v["state"].update(
            speed={"start": 0, "end": 7, "original_key": "x"}
        )
    ),
    "modality-video": modality(
        lambda v: v["video"].update(
            mid={"original_key": "observation.images.middle"}
        )
    ),
    "language-key": modality(lambda v: v.update(annotation={})),
    "language-column": modality(
        lambda v: v.update(annotation={"human.task_description": {}})
    ),
    "column-missing": drop_column,
    "column-type": info(
        lambda v: v["features"]["action"].update(dtype="int64")
    ),
    "data-missing": lambda root: remove(root, DATA.format(2)),
    "data-unreadable": lambda root: (root / DATA.format(1)).write_bytes(
        b"PAR1 and no more"
    ),
    "data-unreadable: text": put("action", lambda _: ["up"] * 14),
    "data-unreadable: ragged": put("action", lambda row: [0.5] * (row % 3 + 1)),
    "data-unreadable: empty": no_rows,
    "column-width": put("action", lambda row: [row / 10, 0.1]),
    "data-stray": stray,
    "episode-listed-twice": lambda root: edit_lines(
        root, "episodes.jsonl", lambda lines: [*lines, lines[0]]
    ),
    "meta-longer": promise(45),
    "meta-shorter": promise(42),
    "task-unknown": lambda root: edit_lines(
        root, "tasks.jsonl", lambda _: ['{"task_index": 7, "task": "wave"}']
    ),
    "task-unknown: half": put("task_index", lambda _: 0.5),
    "task-unknown: null": put("task_index", lambda row: row % 2 or None),
    "text-placeholder": lambda root: [
        edit_lines(
            root, "tasks.jsonl", lambda _: ['{"task_index": 0, "task": "..."}']
        ),
        edit_lines(root, "episodes.jsonl", renamed("...")),
    ],
    "task-differs": lambda root: edit_lines(
        root, "episodes.jsonl", renamed("wave")
    ),
    "frame-index": put("frame_index", lambda row: row ^ 1),
    "no-motion": lambda root: [
        edit_column(root, name, rest, episodes=[1])
        for name in ("action", "observation.state")
    ],
    "action-unrelated": rows("action", shuffle),
    "modality-crossed": modality(
        lambda v: v["video"].update(
            left_wrist=v["video"]["right_wrist"],
            right_wrist=v["video"]["left_wrist"],
        )
    ),
    "stats-version": lambda root: edit_json(
        root,
        "relative_stats.json",
        lambda v: v.update({"__fingerprints__": {"left_arm": "3f"}}),
    ),
    "nan": rows("action", first_of(np.nan)),
    "inf": rows("observation.state", first_of(np.inf)),
    "beyond-limits": lambda root: edit_column(
        root, "observation.state", spike, episodes=[1]
    ),
    "beyond-limits: degrees": rows("action", degrees),
    "no-command": rows("action", stuck),
    "action-copy": lambda root: states_as_actions(root, 0),
    "action-copy: next": lambda root: states_as_actions(root, 1),
    "action-copy: late": lambda root: states_as_actions(root, -2),
    "no-motion: all": lambda root: [
        edit_column(root, name, np.zeros_like)
        for name in ("action", "observation.state")
    ],
    "stats-syntax": lambda root: (root / "meta/stats.json").write_text(""),
    "stats-stale": grown,
    "stats-foreign": foreign,
    "stats-stale: no numbers": lambda root: edit_json(
        root, "stats.json", lambda v: v["action"].update(mean={"joint": "x"})
    ),
    "relative-stats-stale": stale_relative,
    "relative-stats-horizon": other_horizon,
    "episodes-short": short_episode,
    "video-path": info(lambda v: v.update(video_path=None)),
    "video-codec": mpeg1,
    "video-missing": lambda root: remove(root, VIDEO.format("mid", 1)),
    "video-unreadable": lambda root: (
        root / VIDEO.format("mid", 1)
    ).write_bytes(b"no video at all"),
    "video-undecodable": damage,
    "video-short": lambda root: video(
        root, "mid", 0, [picture(0, 1, frame, (48, 64)) for frame in range(39)]
    ),
    "video-long": lambda root: video(
        root, "mid", 0, [picture(0, 1, frame, (48, 64)) for frame in range(41)]
    ),
    "video-fps": lambda root: [
        video(
            root,
            "mid",
            e,
            [picture(e, 1, f, (48, 64)) for f in range(n)],
            fps=15,
        )
        for e, n in enumerate((40, 44, 36))
    ],
    "video-size": info(
        lambda v: v["features"]["observation.images.mid"].update(
            shape=[96, 128, 3]
        )
    ),
    "video-av1": lambda root: video(
        root,
        "mid",
        0,
        [picture(0, 1, f, (64, 64))[:48] for f in range(40)],
        mode="av1",
    ),
    "picture-black": lambda root: video(
        root, "left_wrist", 1, [np.zeros((48, 64, 3), dtype=np.uint8)] * 44
    ),
    "video-red-blue": swapped,
    "camera-sizes": other_size,
}


LONG_FAULTS = {
    "spike": lambda root: edit_column(
        root, "observation.state", spike, episodes=[1]
    ),
    "outlier": lambda root: [
        edit_column(root, "observation.state", stale, episodes=[1]),
        edit_json(root, "info.json", lambda v: v.update(robot_type="other")),
    ],
    "constant": lambda root: [
        edit_column(root, name, shut)
        for name in ("action", "observation.state")
    ],
    "dimension-still": lambda root: [
        edit_column(root, name, unconnected)
        for name in ("action", "observation.state")
    ],
    "action-late": lambda root: states_as_actions(root, -3, noise=0.0005),
    "action-units": rows("action", smaller),
    "action-inverted": rows("action", upside_down),
    "idle-start": lambda root: [
        edit_column(root, name, idle)
        for name in ("action", "observation.state")
    ],
    "episode-twice": repeat_rows,
}
"""They show in episodes of some seconds only."""


def codes(root, **options):
    return [finding.code for finding in preflight(root, **options).findings]


@pytest.fixture(scope="session")
def long(tmp_path_factory):
    """A clean dataset with episodes of some seconds, not to be changed."""
    root = tmp_path_factory.mktemp("groot") / "long"
    return make_dataset(root, lengths=(200, 190, 180), cameras=("mid",))


@pytest.mark.parametrize("name", LONG_FAULTS)
def test_a_fault_of_motion_gives_exactly_its_finding(long, tmp_path, name):
    root = tmp_path / "dataset"
    shutil.copytree(long, root)
    LONG_FAULTS[name](root)
    check_finding(root, name)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_gives_exactly_its_finding(copy, name):
    FAULTS[name](copy)
    check_finding(copy, name)


def check_finding(copy, name):
    report = preflight(copy)
    assert {finding.code for finding in report.findings} == {name.split(":")[0]}
    for finding in report.findings:
        assert finding.remedy
        assert (
            finding.place is None
            or str(copy) in str(finding.place)
            or finding.place.camera
        )
        assert (
            json.loads(json.dumps(finding.document()))["code"] == finding.code
        )
    text = "".join(f"{finding}\n" for finding in report.findings)
    assert_golden(
        f"groot/findings/{name.replace(': ', '.').replace(' ', '-')}",
        text.replace(str(copy), "DATASET"),
    )


CLEAN: dict[str, dict[str, Any]] = {
    "piper": {},
    "one episode": {"lengths": (60,)},
    "recorded JPEG": {"mode": "copy", "lengths": (40, 36)},
    "aloha": {
        "names": load_layout("aloha")
        .vectors["observation.state"]
        .dimension_names,
        "fps": 50,
    },
    "one arm, names of another robot": {
        "names": (
            "shoulder_pan",
            "shoulder_lift",
            "elbow_flex",
            "wrist_flex",
            "wrist_roll",
            "gripper",
        ),
        "cameras": ("front",),
    },
    "names that tell nothing": {
        "names": tuple(f"motor_{i}" for i in range(7)),
        "cameras": ("a", "b"),
    },
    "several tasks, one in Chinese": {
        "tasks": ("pick the cup", "拿起杯子", "Put it back!")
    },
    "float64, another size": {"dtype": "float64", "size": (72, 96)},
    "15 frames a second": {"fps": 15, "lengths": (80, 30)},
    "many short episodes": {"lengths": (20,) * 8, "cameras": ("mid",)},
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CLEAN)
def test_clean_datasets_give_no_finding(clean, name, version):
    assert preflight(clean(name), version=version).findings == ()


@pytest.mark.parametrize("key", ["data_path", "video_path"])
@pytest.mark.parametrize(
    "template",
    [
        "a/{episode_index:01000000000d}",
        "a/{video_key.__class__}",
        "{episode_index!s:.0}/etc/passwd",
    ],
)
def test_a_hostile_template_is_refused(copy, key, template):
    edit_json(copy, "info.json", lambda info: info.update({key: template}))
    assert codes(copy) == ["meta-syntax"]


@pytest.mark.parametrize("robot", [[[1]], {}, 7])
def test_a_robot_of_no_name_is_no_fault_of_ours(copy, robot):
    edit_json(copy, "info.json", lambda info: info.update(robot_type=robot))
    assert "meta-syntax" not in codes(copy)


# --- faults that only show with certain settings ---


def test_shards_that_cannot_all_be_filled(copy):
    findings = preflight(copy, launch=Launch(shard_size=2)).findings
    assert [finding.code for finding in findings] == ["shards"]
    # 40 + 44 + 36 frames, 15 of each unusable; 3 episodes in 10 parts.
    assert findings[0].numbers == {"shards": 38, "parts": 30, "shard_size": 3}
    assert preflight(copy, launch=Launch(shard_size=3)).findings == ()


@pytest.mark.parametrize(
    ("launch", "code"),
    [
        (Launch(gpus=3), "batch"),
        (Launch(gpus=0), "batch"),
    ],
)
def test_settings_that_do_not_fit(good, launch, code):
    assert codes(good, launch=launch) == [code]


def test_a_read_only_dataset_stops_gr00t(good, monkeypatch):
    """The tests run as root, to whom every folder is writable: the system's answer is given."""
    monkeypatch.setattr(
        "os.access", lambda path, mode: mode != os.W_OK or path != good / "meta"
    )
    assert codes(good) == ["dataset-read-only"]
    assert codes(good, version="n1.5") == []


def test_holding_the_pose_is_what_a_model_must_beat(copy):
    def still(values):
        values[:] = 1

    def moving(values):
        values[:] = 1
        # 0 to 2 in each chunk
        values[:, 0] = 1 + np.arange(len(values)) % 16 / 7.5

    edit_column(copy, "observation.state", still)
    edit_column(copy, "action", moving)
    forecast = preflight(copy, videos=False).forecast
    assert forecast is not None
    chunks = [np.arange(length) % 16 / 7.5 for length in (40, 44, 36)]
    assert forecast.hold_error == pytest.approx(
        np.concatenate(chunks).mean() / 14, rel=1e-5
    )


def test_memory_above_the_limit_is_told(good, monkeypatch):
    monkeypatch.setattr("piperline.groot.checks.sampling._MEMORY_LIMIT", 1e9)
    assert codes(good) == ["memory"]


def test_an_output_folder_with_a_checkpoint(good, tmp_path):
    (tmp_path / "checkpoint-1000").mkdir()
    assert codes(good, launch=Launch(output=tmp_path)) == ["output-resumes"]
    assert codes(good, launch=Launch(output=tmp_path), version="n1.7") == []
    assert codes(good, launch=Launch(output=tmp_path / "none")) == []


def test_a_start_checkpoint_with_statistics_of_its_own(good, tmp_path):
    launch = Launch(base_model=tmp_path)
    assert codes(good, launch=launch) == []
    (tmp_path / "statistics.json").write_text('{"gr1": {}}')
    assert codes(good, launch=launch) == []
    (tmp_path / "statistics.json").write_text(
        '{"gr1": {}, "new_embodiment": {}}'
    )
    assert codes(good, launch=launch) == ["checkpoint-stats"]
    assert codes(good, launch=launch, version="n1.7") == []


@pytest.mark.parametrize(
    "change",
    [
        lambda video: video.pop("info"),
        lambda video: video.update(names=["rows", "columns", "channels"]),
        lambda video: video["info"].pop("video.channels"),
    ],
)
def test_n15_asks_info_json_for_the_videos(copy, change):
    edit_json(
        copy,
        "info.json",
        lambda v: change(v["features"]["observation.images.mid"]),
    )
    assert codes(copy, version="n1.5") == ["video-info"]
    assert codes(copy) == []


def dealt(usable, shard_size, splits):
    """GR00T's dealing: each part of an episode goes to the shard that is shortest so far."""
    shards = [0] * -(-sum(usable) // shard_size)
    for steps in usable:
        for part in range(splits):
            shards[shards.index(min(shards))] += len(range(part, steps, splits))
    return shards


@given(
    usable=st.lists(st.integers(0, 60), min_size=1, max_size=12).filter(any),
    shard_size=st.integers(1, 40),
    splits=st.sampled_from([1, 2, 10]),
)
def test_shards_are_predicted_as_gr00t_deals_them(usable, shard_size, splits):
    wanted, parts = shards(
        usable, Launch(shard_size=shard_size, sampling_rate=1 / splits)
    )
    found = dealt(usable, shard_size, splits)
    assert len(found) == wanted
    assert (min(found) > 0) == (wanted <= parts)


def test_horizons_that_are_too_long(copy):
    for name in ("stats.json", "relative_stats.json"):
        (copy / "meta" / name).unlink()
    assert codes(copy, horizon=41) == ["episodes-short"]
    assert codes(copy, horizon=51) == ["horizon-checkpoint", "horizon-too-long"]
    assert codes(copy, horizon=41, version="n1.7") == [
        "horizon-checkpoint",
        "episodes-short",
    ]
    assert codes(copy, horizon=36, version="n1.5", videos=False) == []
    assert codes(copy, horizon=0) == ["config-broken"]


def test_more_dimensions_than_the_checkpoint_takes(tmp_path):
    root = make_dataset(
        tmp_path / "set",
        names=[f"motor_{i}" for i in range(40)],
        cameras=("mid",),
        lengths=(40, 40),
    )
    assert codes(root, version="n1.5") == ["too-wide"]
    assert codes(root) == []


@pytest.mark.parametrize(
    "moved",
    [lambda _: 0.2, lambda frame: 0.015 * (frame % 3)],
    ids=["late", "variable"],
)
def test_times_of_videos_matter_to_n15_alone(moved, copy, tmp_path):
    for episode, length in enumerate((40, 44, 36)):
        times = [frame / 30 + moved(frame) for frame in range(length)]
        retime(copy / VIDEO.format("mid", episode), times, 90_000)
    assert codes(copy) == []
    (found,) = preflight(copy, version="n1.5").findings
    assert (found.code, found.severity) == ("video-times", "error")
    assert found.numbers["episodes"] == ["0", "1", "2"]
    assert found.remedy == f"piperline aggregate {copy} --output {copy}-times"
    (copy / SEAL).unlink(missing_ok=True)
    aggregate([copy], tmp_path / "out")
    assert codes(tmp_path / "out", version="n1.5") == []


def test_timestamps_matter_to_n15_alone(copy):
    edit_column(copy, "timestamp", lambda values: values + 0.01)
    assert codes(copy, version="n1.5") == ["timestamps"]
    assert codes(copy) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values + 1 / 30,
        lambda values: np.where(values > 0.5, np.nan, values),
        lambda values: values[::-1],
    ],
    ids=["shifted by a frame", "not a number", "backwards"],
)
def test_timestamps_on_the_grid_may_be_those_of_other_frames(copy, change):
    edit_column(copy, "timestamp", change)
    assert "timestamps" in codes(copy, version="n1.5")


def test_timestamps_that_are_rounded_down_are_told(copy):
    """As float32 rounds them: 42 of 107 lie before their frame at 30 frames a second."""
    edit_column(
        copy, "timestamp", lambda values: np.arange(len(values))[:, None] / 30
    )
    (found,) = preflight(copy, version="n1.5").findings
    assert (found.code, found.severity) == ("timestamps-early", "warning")
    times = [
        (np.arange(n) / 30, (np.arange(n) / 30).astype(np.float32))
        for n in (40, 44, 36)
    ]
    assert found.numbers["frames"] == sum(
        int((short < exact).sum()) for exact, short in times
    )
    repaired = copy.with_name("dataset-times")
    assert found.remedy == f"piperline aggregate {copy} --output {repaired}"
    assert run(app, found.remedy.split()[1:]) == 0
    assert "timestamps-early" not in codes(
        repaired, version="n1.5", videos=False
    )
    assert codes(copy) == []


def test_a_picture_that_stands_still_while_others_move_is_found(tmp_path):
    root = make_dataset(tmp_path / "set", lengths=(90,) * 6, cameras=("mid",))
    video(root, "mid", 2, [picture(2, 0, 0, (48, 64))] * 90)
    (found,) = preflight(root).findings
    assert (found.code, found.numbers["episodes"]) == ("camera-still", [2])
    assert found.place is not None
    assert found.place.file == str(root / VIDEO.format("mid", 2))


def test_a_camera_that_stands_still_in_all_episodes_is_found(long, tmp_path):
    root = tmp_path / "dataset"
    shutil.copytree(long, root)
    for episode, length in enumerate((200, 190, 180)):
        video(root, "mid", episode, [picture(0, 1, 0, (48, 64))] * length)
    (found,) = preflight(root).findings
    assert (found.code, found.numbers["scope"]) == ("camera-still", "all")
    assert found.place == Place(file=str(root), camera="mid")


def test_a_wrist_camera_of_an_arm_that_rests_sees_nothing_move(tmp_path):
    """The left arm rests in one episode, and its camera stands still; the right arm moves."""
    root = make_dataset(
        tmp_path / "set", lengths=(90,) * 6, cameras=("left_wrist",)
    )
    for name in ("action", "observation.state"):
        edit_column(root, name, rest_left, episodes=[2])
    video(root, "left_wrist", 2, [picture(2, 0, 0, (48, 64))] * 90)
    assert codes(root) == []


def rest_left(values):
    values[:, :7] = values[0, :7]


def test_one_black_frame_is_enough(copy):
    frames = [picture(0, 1, frame, (48, 64)) for frame in range(40)]
    frames[20:30] = [np.zeros((48, 64, 3), dtype=np.uint8)] * 10
    video(copy, "mid", 0, [*frames[:15], *[frames[20]] * 10, *frames[25:]])
    (found,) = preflight(copy).findings
    assert found.code == "picture-black"
    assert found.message == "1 of the 3 frames looked at are black"


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("colour-red-blue", lambda image: image[:, :, ::-1].copy()),
        ("picture-dark", lambda image: image // 10),
    ],
)
def test_pictures_unlike_the_other_episodes_are_told(tmp_path, code, change):
    root = make_dataset(tmp_path / "set", lengths=(40,) * 5, cameras=("mid",))
    for episode in range(5):
        frames = [wooden(picture(0, 0, f, (48, 64))) for f in range(40)]
        shown = [change(f) for f in frames] if episode == 2 else frames
        video(root, "mid", episode, shown)
    (found,) = preflight(root).findings
    assert (found.code, found.severity) == (code, "warning")
    assert found.numbers["episodes"] == [2]


def wooden(image):
    brown = np.array([180, 120, 60], dtype=np.uint8)
    return np.where(image == 200, np.uint8(200), brown)


def test_findings_of_one_cause_are_one(copy):
    for episode, length in enumerate((40, 44, 36)):
        video(
            copy,
            "mid",
            episode,
            [np.zeros((48, 64, 3), dtype=np.uint8)] * length,
        )
    (found,) = preflight(copy).findings
    assert (found.code, found.numbers["scope"]) == ("picture-black", "all")


def test_keys_of_a_later_version_stop_n16_alone(copy):
    FAULTS["stats-version"](copy)
    assert codes(copy) == codes(copy, version="n1.7-april") == ["stats-version"]
    assert codes(copy, version="n1.7") == []
    write_groot_stats(copy)
    assert codes(copy) == []


def test_lerobot_statistics_are_worse_for_other_versions(copy):
    foreign(copy)
    severities = {
        version: preflight(copy, version=version).findings[0].severity
        for version in VERSIONS
    }
    assert severities == {
        "n1.5": "error",
        "n1.6": "warning",
        "n1.7-april": "error",
        "n1.7": "warning",
    }


POSE = (
    "left_x",
    "left_y",
    "left_z",
    "left_qx",
    "left_qy",
    "left_qz",
    "left_qw",
    "left_gripper",
)


def turning(values):
    """Unit quaternions of a slow turn about z."""
    angle = np.linspace(0.2, 1.2, len(values))
    values[:, 3:5] = 0.01 * np.sin(angle)[:, None]
    values[:, 5], values[:, 6] = np.sin(angle), np.cos(angle)


def flip(values):
    turning(values)
    values[len(values) // 2 :, 3:7] *= -1


@pytest.fixture
def pose(tmp_path):
    root = make_dataset(tmp_path / "pose", names=POSE, cameras=("mid",))
    for column in ("observation.state", "action"):
        edit_column(root, column, turning)
    return root


def test_rotations_stay_absolute(pose):
    meta, choice, _ = prepare(pose, target("n1.6"))
    assert dict(zip(choice.action, choice.representations, strict=True)) == {
        "left_arm": "ABSOLUTE",
        "left_gripper": "ABSOLUTE",
    }
    asked = default_choice(meta, relative=["left_arm"])
    found = check_choice(meta, asked, Place(file=pose))
    assert [finding.code for finding in found] == ["relative-rotation"]


def test_quaternions_that_flip_are_found(pose):
    assert "quaternion-flip" not in codes(pose)
    edit_column(pose, "observation.state", flip, episodes=[1])
    (found,) = [
        f for f in preflight(pose).findings if f.code == "quaternion-flip"
    ]
    assert found.numbers == {"frames": 1}
    assert found.place == Place(file=pose / DATA.format(1), frame=22)


def test_a_group_without_names_is_absolute(tmp_path):
    root = make_dataset(
        tmp_path / "set", names=[f"m_{i}" for i in range(4)], cameras=("mid",)
    )
    _, choice, _ = prepare(root, target("n1.6"))
    assert (choice.action, choice.representations) == (
        ("robot",),
        ("ABSOLUTE",),
    )


def test_a_config_needs_a_camera(copy, monkeypatch):
    edit_json(copy, "modality.json", lambda value: value.update(video={}))
    assert codes(copy) == ["config-cameras"]
    (found,) = preflight(copy).findings
    assert "groot config" in str(found.remedy)

    def images(value):
        for feature in value["features"].values():
            if feature["dtype"] == "video":
                feature["dtype"] = "image"

    edit_json(copy, "info.json", images)
    findings = preflight(copy).findings
    (found,) = [f for f in findings if f.code == "config-cameras"]
    assert str(found.remedy).endswith(
        f"migrate {copy} --to v2.1 --images-to-videos --output {copy}_videos"
    )
    monkeypatch.chdir(copy)
    findings = preflight(Path()).findings
    (found,) = [f for f in findings if f.code == "config-cameras"]
    assert str(found.remedy).endswith(
        f"migrate . --to v2.1 --images-to-videos --output {copy}_videos"
    )


def idle_left(values):
    values[:60, :7] = values[60, :7]


def resting_arm(root):
    """The right arm hangs still, a little below its commanded pose; only noise changes."""
    pose = np.array([0.5, 0.5, -0.5, 0.5, 0.5, 0.5, 0.05])
    for name, below in (("observation.state", 1.0), ("action", 1.06)):
        noise = np.random.default_rng(len(name)).normal(
            scale=0.0005, size=(200, 7)
        )

        def rest(values, below=below, noise=noise):
            values[:, 7:] = below * pose + noise[: len(values)]

        edit_column(root, name, rest)


def test_an_arm_at_rest_is_no_fault_and_hides_none(long, tmp_path):
    copy = tmp_path / "dataset"
    shutil.copytree(long, copy)
    resting_arm(copy)
    assert codes(copy) == []
    for name in ("action", "observation.state"):
        edit_column(copy, name, idle_left)
    assert codes(copy) == ["idle-start"]


def test_tables_alone(copy):
    FAULTS["picture-black"](copy)
    assert preflight(copy, videos=False).findings == ()


def test_the_forecast_counts_as_gr00t_does(good):
    forecast = preflight(good, videos=False).forecast
    assert forecast is not None
    assert (
        forecast.episodes,
        forecast.frames,
        forecast.usable_steps,
        forecast.shards,
    ) == (
        3,
        120,
        75,
        1,
    )
    # Ten parts of each episode, each decoding all of it: 10 x 120 frames for 75 samples.
    assert forecast.decoded_frames_per_sample == pytest.approx(16)
    assert forecast.steps_per_epoch == pytest.approx(75 / 256)
    decoded, shards = 2 * 44 * 3 * 48 * 64 * 4, 2 * 75 * 3 * 256 * 256 * 3
    assert forecast.worker_memory_bytes == 2**30 + decoded + shards
    assert (
        forecast.all_workers_memory_bytes == 32 * forecast.worker_memory_bytes
    )


def test_parts_without_samples_are_decoded_too_before_june_2026(good):
    """A horizon of 40: of 40, 44 and 36 frames 1, 5 and 0 begin a sample, in ten parts each."""
    decoded = {
        version: preflight(
            good, version=version, horizon=40, videos=False
        ).forecast
        for version in ("n1.6", "n1.7-april", "n1.7")
    }
    per_sample = {
        version: found.decoded_frames_per_sample * found.usable_steps
        for version, found in decoded.items()
        if found is not None
    }
    assert per_sample == pytest.approx(
        {"n1.6": 1200, "n1.7-april": 1200, "n1.7": 40 + 5 * 44}
    )


def test_n15_draws_rows(good):
    forecast = preflight(good, version="n1.5", videos=False).forecast
    assert forecast is not None
    assert (forecast.usable_steps, forecast.lost_episodes, forecast.shards) == (
        120,
        0,
        0,
    )
    # H.264 with a key frame every 10: 1 to 10 frames, 5.5 on average.
    assert forecast.decoded_frames_per_sample == pytest.approx(5.5)


@pytest.fixture(scope="session")
def clean(tmp_path_factory):
    made: dict[str, Path] = {}

    def build(name):
        if name not in made:
            made[name] = make_dataset(
                tmp_path_factory.mktemp("clean") / "set", **CLEAN[name]
            )
        return made[name]

    return build
