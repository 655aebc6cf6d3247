"""The page of a review in a real Firefox, opened from the disk."""

from collections.abc import Iterator
from time import monotonic, sleep

import pytest

from piperline.edits.plan import EpisodeEdit, read_plan
from piperline.review.run import review
from tests.helpers.firefox import Firefox, firefox
from tests.helpers.recordings import read_code, write_piper

FRAMES = 20
READY = (
    "const all = [...document.querySelectorAll('video')];"
    " return all.length === 3 && all.every((video) => video.readyState > 1);"
)
_SECONDS = 60


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("firefox")
    write_piper(folder / "day 1.hdf5", lengths=FRAMES, names=["first", "2nd"])
    review([folder / "day 1.hdf5"], folder / "review", workers=1)
    return folder / "review"


@pytest.fixture(scope="module")
def page(reviewed, tmp_path_factory) -> Iterator[Firefox]:
    with firefox(tmp_path_factory.mktemp("profile"), reviewed / "saved") as one:
        one.open(reviewed / "index.html")
        yield one


def press(page: Firefox, key: str, *, shift: bool = False) -> None:
    held = "true" if shift else "false"
    page.run(
        "document.body.dispatchEvent(new KeyboardEvent('keydown', "
        f"{{key: '{key}', shiftKey: {held}, bubbles: true, cancelable: true}}));"
    )


def codes(page: Firefox) -> list[tuple[int, int, int]]:
    """The numbers that the pictures of all cameras carry, as they are seen."""
    boxes = page.run(
        "return [...document.querySelectorAll('video')].map(video => {"
        " const box = video.getBoundingClientRect();"
        " return [box.x, box.y, box.width, box.height].map(Math.round); });"
    )
    image = page.photo()
    return [
        read_code(image[y : y + height, x : x + width])
        for x, y, width, height in boxes
    ]


def test_the_frame_that_is_stepped_to_is_seen_and_the_plan_is_saved(
    page, reviewed
):
    page.run("document.querySelectorAll('.card')[1].click();")
    wait(lambda: page.run(READY))
    for key, shift, frame in (
        ("ArrowRight", False, 1),
        ("ArrowRight", True, 11),
        ("End", False, 19),
        ("ArrowLeft", False, 18),
    ):
        press(page, key, shift=shift)
        wanted = [(0, camera, frame) for camera in range(3)]
        wait(lambda wanted=wanted: codes(page) == wanted)
        clock = page.run("return document.querySelector('#clock').innerText;")
        assert clock.split()[0] == str(frame)
    press(page, "i")
    press(page, "s")
    saved = reviewed / "saved" / "plan.toml"
    wait(lambda: saved.exists() and saved.stat().st_size > 0)
    (edit,) = read_plan(saved).episodes.values()
    assert (str(edit.start), edit.stop) == ("18", None)
    assert isinstance(edit, EpisodeEdit)
    languages = []
    for _ in range(2):
        press(page, "l")
        languages.append(page.run("return document.documentElement.lang;"))
    assert sorted(languages) == ["en", "zh-CN"]


def wait(met) -> None:
    end = monotonic() + _SECONDS
    while not met():
        assert monotonic() < end
        sleep(0.1)
