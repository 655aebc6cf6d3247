"""Views held against each other: more of them than each is compared with."""

import numpy as np

from piperline.detectors.pictures import exchanged_views


def test_red_and_blue_are_told_among_more_episodes_than_one_is_compared_with():
    rng = np.random.default_rng(0)
    scene = rng.normal(128, 30, (3, 30, 40))
    views = scene + rng.normal(0, 3, (150, *scene.shape))
    wrong = [3, 40, 41, 149]
    views[wrong] = views[wrong][:, [0, 2, 1]]
    found = np.flatnonzero(exchanged_views(views))
    assert found.tolist() == wrong


def test_grey_views_tell_nothing():
    rng = np.random.default_rng(0)
    views = rng.normal(128, 30, (10, 3, 30, 40))
    views[:, 1:] = 128
    assert not any(exchanged_views(views))


def test_robots_in_turn_do_not_hide_behind_the_choice_of_what_is_compared():
    rng = np.random.default_rng(1)
    scene = rng.normal(128, 30, (3, 30, 40))
    views = scene + rng.normal(0, 3, (191, *scene.shape))
    wrong = list(range(0, 191, 3))
    views[wrong] = views[wrong][:, [0, 2, 1]]
    found = np.flatnonzero(exchanged_views(views))
    assert found.tolist() == wrong
