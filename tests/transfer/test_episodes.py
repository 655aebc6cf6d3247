"""Which episodes are taken over: chosen ones, and what becomes of bad ones."""

import json

import pytest

from piperline.errors import DatasetError, UsageError
from piperline.lerobot.dataset import open_dataset
from piperline.transfer import TransferOptions, aggregate, migrate
from tests.helpers.datasets import assert_holds, write_dataset
from tests.helpers.episodes import make_episode
from tests.helpers.trees import tree

KEY = "observation.images.mid"


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in")
    return [make_episode(folder, number, 3) for number in range(5)]


@pytest.fixture
def root(tmp_path, episodes):
    return write_dataset(tmp_path / "set", episodes)


def spoil(root, *numbers):
    for number in numbers:
        (root / f"videos/chunk-000/{KEY}/episode_{number:06d}.mp4").write_bytes(
            b"no video"
        )


@pytest.mark.parametrize(
    ("chosen", "numbers"),
    [
        ("0", [0]),
        ("1:3", [1, 2]),
        (":2,4", [0, 1, 4]),
        ("3:", [3, 4]),
        (" 4 , 0:1 ", [0, 4]),
    ],
)
def test_chosen_episodes(chosen, numbers, tmp_path, root, episodes):
    result = migrate(
        root,
        "v3.0",
        output=tmp_path / "out",
        options=TransferOptions(episodes=chosen),
    )
    assert result.episodes == len(numbers)
    assert_holds(
        open_dataset(tmp_path / "out"), [episodes[number] for number in numbers]
    )
    record = json.loads((tmp_path / "out/meta/piperline.json").read_text())
    assert len(record["episodes"]) == len(numbers)


def test_numbers_count_through_all_datasets(tmp_path, root, episodes):
    other = write_dataset(tmp_path / "other", episodes[:2], "v3.0")
    aggregate(
        [root, other], tmp_path / "out", options=TransferOptions(episodes="4:6")
    )
    assert_holds(open_dataset(tmp_path / "out"), [episodes[4], episodes[0]])


@pytest.mark.parametrize(
    "chosen", ["5", "9:", "3:3", "", "a", "-1", "1-2", "0,,1", "9" * 40]
)
def test_what_chooses_nothing(chosen, tmp_path, root):
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="names no episode"):
        migrate(
            root,
            "v3.0",
            output=tmp_path / "out",
            options=TransferOptions(episodes=chosen),
        )
    assert tree(tmp_path) == before


def test_all_bad_episodes_are_named_at_once(tmp_path, root):
    spoil(root, 1, 3)
    before = tree(tmp_path)
    for transfer in (
        lambda: migrate(root, "v3.0"),
        lambda: aggregate([root], tmp_path / "out"),
    ):
        with pytest.raises(
            DatasetError, match="2 episodes cannot be taken over"
        ) as caught:
            transfer()
        assert "episode 1: the video cannot be read" in str(caught.value)
        assert "episode 3: the video cannot be read" in str(caught.value)
        assert "--skip-bad" in str(caught.value)
        assert tree(tmp_path) == before


def test_one_bad_episode_is_told_as_it_is(tmp_path, root):
    spoil(root, 2)
    with pytest.raises(
        DatasetError, match="the video cannot be read"
    ) as caught:
        migrate(root, "v3.0", output=tmp_path / "out")
    assert str(caught.value).endswith(
        "make it anew; or leave this episode out with `--skip-bad`"
    )


@pytest.mark.parametrize("bad", [[0], [1, 3], [4], [0, 1, 2, 3]])
def test_bad_episodes_are_left_out_if_asked(bad, tmp_path, root, episodes):
    spoil(root, *bad)
    result = migrate(
        root,
        "v3.0",
        output=tmp_path / "out",
        options=TransferOptions(skip_bad=True),
    )
    good = [number for number in range(5) if number not in bad]
    assert result.episodes == len(good)
    assert len(result.left_out) == len(bad)
    assert f"episode {bad[0]}: the video cannot be read" in result.left_out[0]
    assert_holds(
        open_dataset(tmp_path / "out"), [episodes[number] for number in good]
    )
    record = json.loads((tmp_path / "out/meta/piperline.json").read_text())
    assert [left["episode"] for left in record["left_out"]] == bad
    assert len(record["episodes"]) == len(good)


def test_of_nothing_but_bad_episodes_nothing_is_made(tmp_path, root):
    spoil(root, *range(5))
    with pytest.raises(DatasetError, match="the video cannot be read"):
        migrate(
            root,
            "v3.0",
            output=tmp_path / "out",
            options=TransferOptions(skip_bad=True),
        )
    assert not (tmp_path / "out").exists()
