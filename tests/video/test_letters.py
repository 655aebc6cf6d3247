"""Captions in images."""

import string

import numpy as np

from piperline.video.letters import LETTER_WIDTH, LINE_HEIGHT, caption


def ink(text, **options):
    return caption(text, LETTER_WIDTH * len(text), **options)[..., 0] == 0


def test_letters_differ_from_each_other_and_from_a_box():
    letters = [*string.ascii_letters, *string.digits, *string.punctuation, "红"]
    assert len({ink(letter).tobytes() for letter in letters}) == len(letters)
    assert all(ink(letter).any() for letter in letters)
    assert not ink(" ").any()
    assert (ink("红") == ink("\x07")).all()


def test_an_l_is_drawn_upright():
    drawn = ink("L")
    assert drawn[1:8, 0].all()
    assert drawn[7, :5].all()
    assert not drawn[1:7, 1:].any()


def test_text_is_wrapped_to_the_width_and_none_is_lost():
    one_line = caption("ab cd ef", 8 * LETTER_WIDTH)
    assert one_line.shape == (LINE_HEIGHT, 8 * LETTER_WIDTH, 3)
    three = caption("ab cd ef", 3 * LETTER_WIDTH)
    assert three.shape == (3 * LINE_HEIGHT, 3 * LETTER_WIDTH, 3)
    assert (three == 0).sum() == (one_line == 0).sum()
    assert caption("", 5).shape == (LINE_HEIGHT, 5, 3)


def test_larger_letters():
    assert (
        ink("a", scale=1).repeat(2, 0).repeat(2, 1)[:, : 6 * 1]
        == ink("a", scale=2)[:, :6]
    ).all()
    assert caption("a", 100, scale=2).shape == (2 * LINE_HEIGHT, 100, 3)
    assert caption("a", 100).dtype == np.uint8
