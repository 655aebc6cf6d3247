import pytest

from piperline.edits.numbers import (
    Moment,
    parse_episodes,
    parse_moment,
    parse_span,
)
from piperline.edits.pieces import KnownEpisode, Piece, fit
from piperline.edits.plan import EditPlan, EpisodeEdit, read_plan
from piperline.errors import UsageError

EPISODES = [
    KnownEpisode(100, "data/day_1.hdf5", "episode_0"),
    KnownEpisode(50, "data/day_1.hdf5", "episode_1"),
    KnownEpisode(80, "data/day_2.hdf5", "episode_0"),
    KnownEpisode(80, "more/day_2.hdf5", "episode_1"),
    KnownEpisode(30, "data/day_2.hdf5", "episode_1"),
]


def left(plan: EditPlan) -> list[tuple[int, int, int]]:
    return [
        (piece.index, piece.start, piece.stop)
        for piece in fit(plan, EPISODES, fps=10).pieces
    ]


def test_nothing_to_do_leaves_all_as_they_are():
    pieces = fit(EditPlan(), EPISODES, fps=10).pieces
    assert [piece.index for piece in pieces] == [0, 1, 2, 3, 4]
    assert all(piece.whole for piece in pieces)


def test_episodes_by_number_and_by_source():
    edits: dict[int | str, EpisodeEdit] = {
        1: EpisodeEdit(drop=True),
        "day_2.hdf5:episode_0": EpisodeEdit(start=Moment(1.5, in_seconds=True)),
        "data/day_2.hdf5:episode_1": EpisodeEdit(drop=True),
    }
    assert left(EditPlan(edits)) == [(0, 0, 100), (2, 15, 80), (3, 0, 80)]


def test_a_split_and_a_trim_of_one_episode():
    edit = EpisodeEdit(
        start=Moment(10), stop=Moment(90), cuts=(Moment(50), Moment(20))
    )
    plan = EditPlan({0: edit}, keep=(0, 4))
    assert left(plan) == [(0, 10, 20), (0, 20, 50), (0, 50, 90), (4, 0, 30)]


def test_a_trim_behind_the_end_cuts_nothing_off():
    assert left(EditPlan({4: EpisodeEdit(stop=Moment(300))}, keep=(4,))) == [
        (4, 0, 30)
    ]


def test_a_new_instruction_changes_no_frames():
    pieces = fit(
        EditPlan({0: EpisodeEdit(instruction="wave")}), EPISODES, fps=10
    ).pieces
    assert pieces[0] == Piece(0, 0, 100, whole=True, instruction="wave")


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (EditPlan({7: EpisodeEdit(drop=True)}), "no episode 7"),
        (
            EditPlan({"day_9.hdf5:x": EpisodeEdit(drop=True)}),
            "no episode day_9.hdf5:x",
        ),
        (
            EditPlan({"day_2.hdf5:episode_1": EpisodeEdit(drop=True)}),
            "names 2 episodes: 3, 4",
        ),
        (EditPlan({1: EpisodeEdit(start=Moment(50))}), "nothing is left"),
        (
            EditPlan({1: EpisodeEdit(cuts=(Moment(50),))}),
            "nothing to split at frame 50",
        ),
        (
            EditPlan({1: EpisodeEdit(drop=True)}, keep=(1,)),
            "to be kept, and to be dropped",
        ),
        (
            EditPlan({1: EpisodeEdit(start=Moment(3))}, keep=(0,)),
            "not among those that are kept",
        ),
    ],
)
def test_what_does_not_fit_is_told(plan, words):
    with pytest.raises(UsageError, match="does not fit") as raised:
        fit(plan, EPISODES, fps=10)
    assert words in str(raised.value)


def test_all_that_is_wrong_is_told_at_once():
    edits: dict[int | str, EpisodeEdit] = {
        7: EpisodeEdit(drop=True),
        1: EpisodeEdit(start=Moment(60)),
        9: EpisodeEdit(drop=True),
    }
    with pytest.raises(UsageError) as raised:
        fit(EditPlan(edits), EPISODES, fps=10)
    assert "episode 9" in str(raised.value.__notes__)
    assert "nothing is left" in str(raised.value.__notes__)


def test_one_edit_by_number_and_by_source_is_one_edit():
    edits: dict[int | str, EpisodeEdit] = {
        0: EpisodeEdit(start=Moment(10)),
        "day_1.hdf5:episode_0": EpisodeEdit(instruction="wave"),
    }
    assert fit(EditPlan(edits), EPISODES, fps=10).pieces[0] == Piece(
        0, 10, 100, False, "wave"
    )
    edits["data/day_1.hdf5:episode_0"] = EpisodeEdit(start=Moment(20))
    with pytest.raises(UsageError, match="does not fit"):
        fit(EditPlan(edits), EPISODES, fps=10)


def test_what_people_write():
    assert parse_episodes("3, 7,10:15,a.hdf5:e_1") == [
        range(3, 4),
        range(7, 8),
        range(10, 15),
        "a.hdf5:e_1",
    ]
    assert parse_episodes("12:") == [range(12, -1)]
    assert parse_moment("30") == Moment(30)
    assert parse_moment("1.5s").frame(30) == 45
    assert parse_span(":2s") == (None, Moment(2, in_seconds=True))


@pytest.mark.parametrize(
    "text", ["", ":", "x:", "1.5:", "-3:", "3:4:5", "1e9s:", "30"]
)
def test_what_is_no_span(text):
    with pytest.raises(UsageError):
        parse_span(text)


PLAN = """
keep = [0, "day_1.hdf5:episode_1"]

[[episode]]
episode = "day_1.hdf5:episode_1"
trim = "1s:"
split = [20, "3s"]
instruction = "wave"
reason = "stands still"

[[episode]]
episode = 0
drop = true

[dataset]
rename_cameras = { mid = "top" }
reorder_dimensions = { action = ["b", "a"] }
every = 2
"""


def test_a_plan_from_a_file(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    plan = read_plan(path)
    assert plan.keep == (0, "day_1.hdf5:episode_1")
    assert plan.episodes[0] == EpisodeEdit(drop=True)
    edit = plan.episodes["day_1.hdf5:episode_1"]
    assert (edit.start, edit.cuts) == (
        Moment(1, True),
        (Moment(20), Moment(3, True)),
    )
    assert (edit.instruction, edit.reason) == ("wave", "stands still")
    assert plan.dataset.rename_cameras == {"mid": "top"}
    assert plan.dataset.reorder_dimensions == {"action": ("b", "a")}
    assert plan.dataset.every == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("= 3", "cannot be read"),
        ("drop = [3]", "keys that piperline does not know"),
        ("[[episode]]\ndrop = true", "names no episode"),
        ("[[episode]]\nepisode = -1\ndrop = true", "names no episode"),
        (
            "[[episode]]\nepisode = 1\ndrop = 1",
            "drop in the plan is of another kind",
        ),
        ("[[episode]]\nepisode = 1\ndrop = true\ntrim = '3:'", "contradict"),
        (
            "[[episode]]\nepisode = 1\ntrim = '3:'\n[[episode]]\nepisode = 1\ntrim = '4:'",
            "contradict",
        ),
        ("[dataset]\nevery = 0", "--every"),
        (
            "[dataset]\ndrop_cameras = ['a']\nrename_cameras = { a = 'b' }",
            "left out and renamed",
        ),
        ("[dataset]\nrename_cameras = { a = 'c', b = 'c' }", "one name"),
        ("episode = 3", "of another kind"),
    ],
)
def test_a_plan_that_says_nothing_sensible(tmp_path, text, words):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as raised:
        read_plan(path)
    assert words in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_plan_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="no plan"):
        read_plan(tmp_path / "plan.toml")
