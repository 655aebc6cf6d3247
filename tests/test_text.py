"""Text for people and files."""

from piperline.text import few_of_each, natural_key


def test_natural_order():
    names = ["e10", "e2", "e", "e02", "1" * 5000, "e2b"]
    assert sorted(names, key=natural_key) == [
        "1" * 5000,
        "e",
        "e02",
        "e2",
        "e2b",
        "e10",
    ]


def test_of_many_that_are_alike_a_few_are_told():
    """And what is unlike them is not lost among them."""
    words = [f"a{n}" for n in range(25)] + ["b0"]
    few, more = few_of_each(words, lambda word: word[0])
    assert few == [*(f"a{n}" for n in range(10)), "b0"]
    assert more == {"a": 15}
    assert few_of_each(words[:10], lambda word: word[0])[1] == {}
