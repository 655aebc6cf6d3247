"""What a verification does is done once, and told while it is done."""

import shutil

import pytest

from piperline.verify import VerifyOptions, verify
from piperline.verify import frames as against
from piperline.verify import videos as alone
from tests.verify.sets import LENGTHS

FRAMES = 3 * sum(LENGTHS)


@pytest.fixture
def seen(monkeypatch):
    """Each frame of each file that is decoded, as often as it is."""
    seen = []

    def spy(pictures):
        def watched(path, fps, numbers):
            for number, picture in pictures(path, fps, numbers):
                seen.append((path, number))
                yield number, picture

        return watched

    for module in (against, alone):
        monkeypatch.setattr(module, "pictures", spy(module.pictures))
    return seen


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("video", ["h264", "copy"])
def test_every_frame_is_decoded_once(good, seen, video, version):
    case = good(video, version)
    report = verify(case.root, VerifyOptions((case.recordings,), frames=0))
    assert len(seen) == len(set(seen)) == FRAMES
    assert report.looked.decoded == FRAMES


def test_without_recordings_too(copy, seen, tmp_path, monkeypatch):
    case = copy("h264", "v3.0")
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(case.recordings)
    report = verify(case.root, VerifyOptions(frames=0))
    assert report.looked.frames == 0
    assert len(seen) == len(set(seen)) == report.looked.decoded == FRAMES


def test_frames_are_counted_once(good, seen):
    """A sample has the ends of clips, which are decoded to see that they can be, too."""
    case = good("h264", "v2.1")
    report = verify(case.root, VerifyOptions((case.recordings,), frames=4))
    assert report.looked.frames == 3 * 3 * 4
    assert report.looked.decoded == len(set(seen)) == 3 * 3 * 4


@pytest.mark.parametrize("video", ["h264", "copy"])
@pytest.mark.parametrize("frames", [None, 0])
def test_all_that_is_to_be_done_is_told_as_done(good, video, frames):
    states = []

    def watch(state):
        states.append((state.phase, state.done, state.total))

    case = good(video, "v3.0")
    verify(
        case.root, VerifyOptions((case.recordings,), frames=frames, watch=watch)
    )
    last = {phase: (done, total) for phase, done, total in states}
    assert (
        list(last)
        == ["seal", "itself", "recordings", "videos"][
            : 3 if frames is None else 4
        ]
    )
    assert all(done == total > 0 for done, total in last.values())
    assert last["recordings"] == (FRAMES, FRAMES)
    assert last["itself"] == (3, 3)
    for phase in last:
        done = [entry[1] for entry in states if entry[0] == phase]
        assert done == sorted(done)
