"""How faults are told: about all episodes, whole sessions, single episodes, or frames."""

import pytest

from piperline.detectors.detect import notes, unexplained
from piperline.detectors.fault import Fault, fault, merged, told, with_sessions
from tests.helpers.reviews import collected
from tests.helpers.sessions import Style, clean_set


@pytest.fixture(scope="module")
def collection():
    return collected(
        clean_set(Style(sessions=3, episodes=2, frames=(75, 80))),
        pictures=False,
    )


def scopes(collection, which, **more):
    episodes = [collection.episodes[i] for i in which]
    (one,) = fault("spike", "error", episodes, "is wrong", **more)
    return [
        (f.numbers["scope"], str(f.place or ""), f.numbers.get("episodes"))
        for f in told(collection, one, "mend it")
    ]


def test_a_fault_of_all_is_told_once(collection):
    assert scopes(collection, range(6)) == [("all", "", None)]


def test_a_whole_session_is_told_instead_of_its_episodes(collection):
    assert scopes(collection, (3, 2, 4)) == [
        ("session", "file session_2.hdf5", [2, 3]),
        ("episode", "file session_3.hdf5, episode episode_0", [4]),
    ]


def test_a_span_is_told_by_its_first_and_last_frame(collection):
    (one,) = fault(
        "spike",
        "error",
        collection.episodes[1],
        "is wrong",
        span=(5, 9),
        camera="mid",
    )
    (finding,) = told(collection, one, "mend it")
    assert (
        str(finding.place)
        == "file session_1.hdf5, episode episode_1, camera mid, frame 5"
    )
    assert (finding.numbers["first_frame"], finding.numbers["last_frame"]) == (
        5,
        8,
    )


def test_faults_of_several_dimensions_are_one(collection):
    first = collection.episodes[:1]
    found = [
        Fault("wrap", "error", first, "jumps", dimension=d) for d in ("a", "b")
    ]
    other = Fault(
        "wrap", "error", collection.episodes[1:2], "jumps", dimension="a"
    )
    assert [f.message for f in merged([*found, other])] == [
        "a, b: jumps",
        "a: jumps",
    ]


def test_the_rest_of_a_session_goes_with_two_that_are_sure(collection):
    sure, against = collection.episodes[:2], collection.episodes[2:3]
    assert with_sessions(collection, sure, ()) == [*sure]
    assert with_sessions(collection, sure[:1], against) == [*sure[:1]]


def test_a_cause_explains_in_its_episodes_only(collection):
    cause = Fault("rows-slow", "error", collection.episodes[:1], "slow")
    same = Fault("other-speed", "warning", collection.episodes[:2], "speed")
    assert [(f.code, set(f.indices)) for f in unexplained([cause, same])] == [
        ("rows-slow", {0}),
        ("other-speed", {1}),
    ]


def test_what_is_not_compared_is_said(collection):
    said = "\n".join(notes(collection))
    assert "fewer than 8 episodes" in said
    assert "sessions" not in said
    assert "pictures were not looked at" in said
