"""Orders and choices hold for any names."""

from hypothesis import given
from hypothesis import strategies as st

from piperline.convert.selection import Selection
from piperline.text import natural_key

NAMES = st.text(st.characters(codec="utf-8"), max_size=12)


@given(st.lists(st.integers(0, 10**6), unique=True), NAMES)
def test_numbers_sort_as_numbers(numbers, stem):
    stem = stem.rstrip("0123456789")
    names = [f"{stem}_{number}" for number in numbers]
    assert sorted(names, key=natural_key) == [
        f"{stem}_{number}" for number in sorted(numbers)
    ]


@given(st.lists(NAMES), st.randoms())
def test_the_order_does_not_depend_on_the_order_of_the_input(names, random):
    mixed = random.sample(names, len(names))
    assert sorted(mixed, key=natural_key) == sorted(names, key=natural_key)


@given(NAMES, NAMES)
def test_different_names_never_sort_as_equal(one, other):
    assert (natural_key(one) == natural_key(other)) == (one == other)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 60))
def test_ranges_are_half_open(start, stop, number):
    assert Selection(f"{start}:{stop}")(number, "x") == (start <= number < stop)
    assert Selection(f"{start},{stop}")(number, "x") == (
        number in {start, stop}
    )
