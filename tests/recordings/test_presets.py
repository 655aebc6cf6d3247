"""Recorders' files become exact datasets, and nobody has to name a layout."""

import numpy as np
import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.errors import Place
from piperline.lerobot.dataset import open_dataset
from piperline.recordings.detect import fitting_layouts
from piperline.recordings.find import find_recordings
from piperline.recordings.layout import (
    builtin_layouts,
    layout_text,
    load_layout,
    parse_layout,
)
from piperline.recordings.recording import Recording
from piperline.video.decoder import decode
from tests.helpers.recorders import RECORDERS
from tests.helpers.recordings import has_true_colors, read_code

pytestmark = pytest.mark.usefixtures("workers_in_threads")

TASK = "do what is shown"


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_recorders_files_convert_without_a_layout(tmp_path, recorder):
    (tmp_path / "in").mkdir()
    recorded = RECORDERS[recorder](tmp_path / "in")
    job = make_job(inputs=[recorded.source], task=TASK)
    assert (job.layout.name, job.settings.fps) == (
        recorded.layout,
        recorded.fps,
    )
    result = convert([recorded.source], tmp_path / "out", job, workers=1)
    assert not [note for note in result.notes if "frames a second" in note]
    dataset = open_dataset(result.output)
    assert dataset.schema.fps == recorded.fps
    keys = [f"observation.images.{name}" for name in recorded.cameras]
    assert list(dataset.schema.cameras) == keys
    assert list(dataset.schema.columns) == ["observation.state", "action"]
    assert len(dataset) == len(recorded.state)
    for index, (state, action) in enumerate(
        zip(recorded.state, recorded.action, strict=True)
    ):
        episode = dataset.episode(index)
        assert np.array_equal(
            rows(episode, "observation.state"), state.astype(np.float32)
        )
        assert np.array_equal(
            rows(episode, "action"), action.astype(np.float32)
        )
        assert episode.tasks == (recorded.tasks[index] or TASK,)
        for number, key in enumerate(keys):
            clip = episode.clips[key]
            frames = list(decode(clip.path, clip.first, clip.count))
            codes = [read_code(frame) for frame in frames]
            assert [code[1:] for code in codes] == [
                (number, t) for t in range(len(state))
            ]
            assert {code[0] for code in codes} == {number_of(recorder, index)}
            assert all(has_true_colors(frame, tolerance=40) for frame in frames)


def rows(episode, key):
    return np.stack(episode.table[key].to_numpy())


def number_of(recorder, index):
    """The number that the frames of a dataset's episode carry."""
    numbers = {"cobot-magic": (2, 10), "xpolicylab": (3,), "isaaclab": (0, 2)}
    return numbers.get(recorder, (0, 1))[index]


@pytest.mark.parametrize("recorder", RECORDERS)
def test_exactly_one_layout_fits(tmp_path, recorder):
    recorded = RECORDERS[recorder](tmp_path)
    path = find_recordings([recorded.source])[0][0]
    assert [layout.name for layout in fitting_layouts(path)] == [
        recorded.layout
    ]


@pytest.mark.parametrize("recorder", ["cobot-magic", "agilex-paths"])
def test_the_lines_that_take_depth_do_so(tmp_path, recorder):
    """The preset holds them as a comment."""
    recorded = RECORDERS[recorder](tmp_path)
    text = layout_text(recorded.layout)
    lines = text.partition("\n#\n")[2].splitlines()
    taken = [line.removeprefix("# ") for line in lines[:3]]
    left_out = text[text.index("\n[left_out]") + 1 :]
    layout = parse_layout(
        text.replace(left_out, "\n".join(taken)), Place(file="mine.toml")
    )
    path = find_recordings([recorded.source])[0][0]
    with Recording(path, layout) as recording:
        episode = recording.episode(recording.episodes()[0])
        names = [f"{name}_depth" for name in recorded.cameras]
        if recorder == "cobot-magic":
            cameras = episode.header().cameras
            assert {cameras[name].depth for name in names} == {"mm"}
        assert [*layout.cameras] == ["*", "*_depth"]
        episode.check_structure()


@pytest.mark.parametrize(
    "below", ["", "put_the_cup", "put_the_cup/success_episodes"]
)
def test_failed_episodes_are_no_recordings_wherever_one_stands(tmp_path, below):
    RECORDERS["robomind"](tmp_path)
    pattern = load_layout("robomind").episodes.files
    found = find_recordings([tmp_path / below], pattern)
    parts = [path.relative_to(tmp_path).parts for path, _ in found]
    assert [part[1:3] for part in parts] == [
        ("success_episodes", "train"),
        ("success_episodes", "val"),
    ]
    assert len({source for _, source in found}) == 2


@pytest.mark.parametrize("below", ["", "demo_clean", "demo_clean/data"])
def test_a_folder_is_walked_in_natural_order(tmp_path, below):
    root = RECORDERS["robotwin"](tmp_path).source
    for number in (10, 2):
        (root / f"demo_clean/data/episode{number}.hdf5").write_bytes(b"")
    (root / "demo_clean/.hidden").mkdir()
    (root / "demo_clean/.hidden/data.hdf5").write_bytes(b"")
    found = find_recordings(
        [root / below], load_layout("robotwin").episodes.files
    )
    assert [path.stem for path, _ in found] == [
        "episode0",
        "episode1",
        "episode2",
        "episode10",
    ]


def test_every_built_in_layout_is_tried():
    names = {"mobile-aloha": "aloha"}
    known = {names.get(name, name).replace("-", "_") for name in RECORDERS}
    for name in builtin_layouts():
        assert any(
            recorder.startswith(name.removesuffix("_data_tools"))
            for recorder in known
        )
