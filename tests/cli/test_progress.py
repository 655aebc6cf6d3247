"""How far a run is, where there is no terminal."""

import pytest

from piperline.cli.console import Output
from piperline.cli.progress import progress_bar, verify_bar
from piperline.convert.progress import Progress

pytestmark = pytest.mark.measured


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = {"seconds": 100.0}
    monkeypatch.setattr(
        "piperline.cli.progress.time.monotonic", lambda: now["seconds"]
    )
    return now


def encoding(done):
    return Progress(
        "stage",
        episodes=4,
        images=1000,
        images_done=done,
        size_done=1000 * done,
    )


def test_something_is_said_at_once(clock, capsys):
    with progress_bar(Output()) as watch:
        watch(Progress(files=40, files_done=1))
        clock["seconds"] += 1
        watch(Progress(files=40, files_done=2))
    assert capsys.readouterr().err == "looking at recordings: 1 of 40\n"


def test_no_time_is_foretold_from_the_first_images(clock, capsys):
    """Processes that still start make the first rate a lie."""
    with progress_bar(Output()) as watch:
        watch(encoding(1))
        clock["seconds"] += 4.9
        watch(encoding(50))
        clock["seconds"] += 5.1
        watch(encoding(200))
        clock["seconds"] += 1000
        watch(encoding(600))
    first, second, third = capsys.readouterr().err.splitlines()
    assert "left" not in first
    assert second.endswith(", 40 s left")  # 200 of 1000 in 10 s
    assert third.endswith(", 11 min 13 s left")  # 600 of 1000 in 1010 s


def test_quiet_is_quiet(clock, capsys, monkeypatch):
    monkeypatch.setattr(Output, "volume", "quiet")
    with progress_bar(Output()) as watch:
        for done in (1, 500):
            watch(encoding(done))
            clock["seconds"] += 10
    assert capsys.readouterr().err == ""


def test_a_verification_tells_its_rate_and_the_time_that_is_left(clock, capsys):
    with verify_bar(Output()) as watch:
        watch(("seal", 0, 5_000_000))
        clock["seconds"] += 6
        watch(("seal", 4_500_000, 5_000_000))
        watch(("recordings", 0, 900))
        clock["seconds"] += 10
        watch(("recordings", 300, 900))
    assert capsys.readouterr().err.splitlines() == [
        "the seal: 4.5 MB of 5.0 MB, 750.0 kB/s, 1 s left",
        "against the recordings: 300 of 900 frames, 30 frames/s, 20 s left",
    ]


def test_a_quiet_verification_says_nothing(capsys, monkeypatch):
    monkeypatch.setattr(Output, "volume", "quiet")
    with verify_bar(Output()) as watch:
        watch(("itself", 1, 3))
    assert capsys.readouterr().err == ""
