"""Text for people and files."""

from piperline.text import natural_key


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
