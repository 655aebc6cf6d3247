"""A drafted layout converts files of unknown recorders; known ones are called by their name."""

import random

import h5py
import numpy as np
import pytest

from piperline.errors import LayoutError, Place
from piperline.recordings.check import check_layout
from piperline.recordings.draft import draft_layout
from piperline.recordings.find import find_recordings
from piperline.recordings.layout import parse_layout
from piperline.recordings.recording import Recording
from tests.helpers.recorders import LENGTH, RECORDERS

NAMES = (
    "arm",
    "slave",
    "observations",
    "obs",
    "cam",
    "image",
    "camera",
    "front",
    "head",
    "wrist",
)
MUTATED = 50


@pytest.mark.parametrize("recorder", RECORDERS)
def test_the_built_in_layout_is_named(tmp_path, recorder):
    recorded = RECORDERS[recorder](tmp_path)
    draft = draft_layout(find_recordings([recorded.source])[0][0])
    assert draft.builtin == (recorded.layout,)
    assert parse_layout(draft.text, Place()).name == recorded.layout


def mutate(path, rng):
    """Make another recorder's file of one: groups and datasets of other names and widths."""
    with h5py.File(path, "r+") as file:
        paths: list[str] = []
        file.visit(paths.append)
        episodes = {
            p.split("/")[0]
            for p in paths
            if p.split("/")[0].rstrip("0123456789")[-1] == "_"
        }
        renamed: dict[str, str] = {}  # the same in every episode
        for name in sorted(paths, key=lambda p: -p.count("/")):
            last = name.rpartition("/")[2]
            swap = next((word for word in NAMES if word in last), None)
            if swap and name not in episodes:
                other = rng.choice(["", "_x", "_main", "_a"])
                new = renamed.setdefault(
                    last, last.replace(swap, swap + other, 1)
                )
                if new != last:
                    file.move(name, f"{name.rpartition('/')[0]}/{new}")
        paths.clear()
        file.visit(paths.append)
        vectors = [
            p
            for p in paths
            if isinstance(file[p], h5py.Dataset) and file[p].ndim == 2
        ]
        wide = rng.random() < 0.4
        for name in vectors:
            data = file[name]
            if (
                wide
                and data.dtype.kind == "f"
                and data.shape[0] == LENGTH
                and data.shape[1] > 5
            ):
                values = np.concatenate([data[()], data[()][:, :1]], axis=1)
                del file[name]
                file[name] = values


def test_most_mutated_files_get_a_layout_that_works(tmp_path):
    """At least four of five; the others are told not to fit."""
    works, failed = 0, []
    for number in range(MUTATED):
        rng = random.Random(number)
        recorder = list(RECORDERS)[number % len(RECORDERS)]
        folder = tmp_path / str(number)
        folder.mkdir()
        path = find_recordings([RECORDERS[recorder](folder).source])[0][0]
        mutate(path, rng)
        draft = draft_layout(path)
        layout = parse_layout(draft.text, Place())
        with Recording(path, layout) as recording:
            episode = recording.episode(recording.episodes()[0])
            fine = draft.problem is None and usable(episode, layout)
        works += fine
        failed += [] if fine else [f"{recorder} {number}: {draft.problem}"]
    assert works >= MUTATED * 4 // 5, failed


def usable(episode, layout):
    """Whether a layout finds frames, a state, an action and cameras."""
    header = episode.header()
    rows = episode.vectors(header.length)
    images = [
        len(list(episode.stream(name, header.length)))
        for name in header.cameras
    ]
    return (
        header.length >= LENGTH - 1
        and {"observation.state", "action"} == set(layout.vectors) == set(rows)
        and all(len(values) == header.length for values in rows.values())
        and len(images) >= 1
        and set(images) == {header.length}
    )


def test_what_bytes_cannot_tell_is_asked(tmp_path):
    path = tmp_path / "odd.hdf5"
    with h5py.File(path, "w") as file:
        for number in range(2):
            group = file.create_group(f"take_{number}")
            group["joint_state"] = np.full((LENGTH, 6), 90.0)
            group["joint_command"] = np.full((LENGTH, 6), 90_000)
            group["torque"] = np.zeros((LENGTH, 6))
            group["top"] = np.zeros((LENGTH, 8, 8, 3), np.uint8)
            group.attrs["what"], group.attrs["task"] = 3, "turn it"
    draft = draft_layout(path)
    assert (draft.builtin, draft.problem) == ((), None)
    questions = " ".join(draft.questions)
    for words in (
        "frames a second",
        "rgb",
        "bgr",
        'unit = "deg"',
        'unit = "0.001 deg"',
    ):
        assert words in questions
    assert "torque: float64 of shape (6, 6)" in draft.text
    assert "text = \"@task\"  # 'turn it'" in draft.text
    found = check_layout(parse_layout(draft.text, Place()), path)
    assert (found.episodes, dict(found.problems)) == (2, {})
    assert found.first is not None
    assert [one.path for one in found.first.unused] == ["torque"]


def test_names_of_a_hostile_file_stay_inside_their_quotes(tmp_path):
    path = tmp_path / "odd\n[cameras.evil]\npath = 'x'.hdf5"
    with h5py.File(path, "w") as file:
        file["cam.era\n"] = np.zeros((LENGTH, 8, 8, 3), np.uint8)
        file['state"\n[cameras.evil]\npath = "x'] = np.zeros((LENGTH, 6))
        file["action\x7f"] = np.zeros((LENGTH, 6))
        file["note\n[task]"] = np.zeros(3)
        file.attrs["task"] = 'a"\n[time]\nrate = "x'
    layout = parse_layout(draft_layout(path).text, Place())
    assert list(layout.cameras) == ["cam_era"]
    assert layout.time.rate is None


def test_a_file_without_vectors_gets_no_layout(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["note"] = "nothing"
    with pytest.raises(LayoutError, match="looks like a vector"):
        draft_layout(tmp_path / "a.hdf5")
