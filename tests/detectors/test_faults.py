"""Each kind of fault is found by its code and in its place; sets without faults are silent."""

import pytest

from tests.helpers.faults import KINDS, STRENGTHS
from tests.helpers.reviews import found_in, named
from tests.helpers.sessions import Style, clean_set

CLEAN = {
    "as-usual": Style(),
    "one-session": Style(sessions=1, episodes=9, tables=1),
    "few-episodes": Style(sessions=2, episodes=2),
    "an-arm-holds-still": Style(still_arm=True, texts=2),
    "long-pauses": Style(pause=50, frames=(150, 190)),
    "other-lights": Style(lights=((0.4, 1.0), (0.9, 1.05), (0.5, 0.95))),
    "other-paces": Style(paces=(1.3, 0.85, 1.0), texts=3),
    "one-task": Style(texts=1, sessions=5, episodes=2),
    "no-noise": Style(noise=0.0, sessions=3),
    "simulated": Style(noise=0.0, simulated=True, still_arm=True, episodes=2),
    "slow-followers": Style(lag=5, texts=2, tables=4),
    "a-task-a-session": Style(texts=3, episodes=3, sessions=3, tables=1),
    "warm-light": Style(lights=((1, 1.1), (1, 0.92), (1.2, 1.05)), sessions=3),
}
"""Sets as they are recorded on good days."""

FAULTS = [
    pytest.param(
        name, strength, id=f"{name}-{STRENGTHS[strength]}", marks=marks
    )
    for name in KINDS
    for strength, marks in ((1, pytest.mark.unmeasured), (2, pytest.mark.slow))
]
"""The middle and the strong ones: all of them are to be found."""


@pytest.mark.unmeasured
@pytest.mark.parametrize("style", CLEAN.values(), ids=CLEAN)
def test_a_set_without_faults_is_silent(style):
    assert [str(finding) for finding in found_in(clean_set(style, 5))] == []


def test_an_arm_that_comes_to_rest_is_not_cut_off_and_its_camera_not_slow():
    """Without noise, a joint at rest reads the same, and so does a camera that hardly moves."""
    takes = clean_set(CLEAN["simulated"], 303)
    assert [str(finding) for finding in found_in(takes)] == []


def test_pictures_in_alphabetical_order_are_told_by_their_leaps():
    """Whether they fit the motion by chance differs from set to set."""
    takes = clean_set(Style(sessions=2, texts=2), 2000)
    findings = found_in(KINDS["pictures_alphabetical"].put(takes, 1))
    assert {f.code for f in findings} == {"pictures-unrelated"}
    assert all("alphabetical" in f.message for f in findings)


@pytest.mark.parametrize(("name", "strength"), FAULTS)
def test_a_fault_is_found_in_its_place(name, strength):
    kind = KINDS[name]
    takes = clean_set()
    findings = found_in(kind.put(takes, strength), pictures=kind.pictures)
    where = set(range(len(takes))) if kind.where is None else set(kind.where)
    hits = [named(f, len(takes)) for f in findings if f.code in kind.codes]
    covered = set[int]().union(*hits)
    assert len(covered & where) >= 0.75 * len(where), [str(f) for f in findings]
    assert len(covered - where) <= 1, [str(f) for f in findings]
    assert findings[0].code in kind.codes, [str(f) for f in findings]
