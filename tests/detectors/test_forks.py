"""Episodes measured by several processes: the same findings as by one."""

from dataclasses import replace

import pytest

from piperline.detectors.detect import detect
from tests.helpers.faults import KINDS
from tests.helpers.reviews import collected
from tests.helpers.sessions import Style, clean_set

FAULTS = ("camera_frozen", "spikes", "joint_of_opposite_sign", "episode_twice")


@pytest.fixture(scope="module")
def takes():
    takes = clean_set(Style(sessions=3, episodes=4, texts=2))
    for name in FAULTS:
        takes = KINDS[name].put(takes, 2)
    return takes


@pytest.mark.parametrize("processes", [2, 5])
def test_findings_do_not_depend_on_the_number_of_processes(
    takes, processes, monkeypatch
):
    collection = collected(takes)
    alone = detect(collection)
    monkeypatch.setattr("piperline.forks.FEWEST", 1)
    assert detect(replace(collection, processes=processes)) == alone
    assert len({finding.code for finding in alone}) > 2
