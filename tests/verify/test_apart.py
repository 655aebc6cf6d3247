"""Recordings that crash HDF5, or make it hang, are findings of `verify`; the rest is looked at."""

import json
import pickle
import sys
import time

import h5py
import numpy as np
import pytest

from piperline.cli.app import app, run
from piperline.cli.verify_shown import WantedVerification, verified
from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.errors import BadEpisode, Place
from piperline.recordings.reader import Reader, elsewhere, reading_at, untrusted
from piperline.verify import VerifyOptions, verify
from tests.helpers.fatal import crashing, make_hang
from tests.helpers.recordings import write_piper
from tests.verify.sets import LENGTHS, Case

pytestmark = pytest.mark.measured


@pytest.fixture
def command(capsys):
    """Run `piperline verify --json`: exit code, document, standard error."""

    def typed(*words):
        code = run(app, ["verify", *map(str, words), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return typed


def findings(document):
    return [
        (found["code"], found["message"], found["place"]["episode"])
        for found in document["findings"]
    ]


def test_a_crash_costs_the_episode(tmp_path, command):
    case = Case(tmp_path / "set", tmp_path / "recordings")
    case.recordings.mkdir()
    write_piper(case.recordings / "a.hdf5", episodes=3, lengths=4)
    job = make_job(video="copy")
    convert([case.recordings], case.root, job, workers=1)
    with h5py.File(case.recordings / "a.hdf5", "a") as file:
        crashing(file, "episode_1")
    code, document, _ = command(case.root, "--source", case.recordings)
    assert code == 1
    text = "the recording cannot be read: reading this crashes or hangs: a crash (SIGSEGV)"
    assert findings(document) == [("recording-unreadable", text, "episode_1")]
    place = document["findings"][0]["place"]
    assert place["file"] == str(case.recordings / "a.hdf5")
    looked = document["looked_at"]
    assert looked["episodes"] == 2
    assert looked["packets"] == 3 * (4 + 4)
    assert looked["rows"] == 12


def test_what_is_done_is_not_done_again_behind_a_crash(tmp_path):
    """Seal, rows and videos are looked at once, however many episodes crash."""
    path = write_piper(tmp_path / "in.hdf5", episodes=5, lengths=4)
    convert([path], tmp_path / "set", make_job(video="copy"), workers=1)
    with h5py.File(path, "a") as file:
        for number in (1, 2, 4):
            crashing(file, f"episode_{number}")
    phases: list[str] = []

    def watch(state):
        if phases[-1:] != [state[0]]:
            phases.append(state[0])

    wanted = WantedVerification(
        tmp_path / "set", (path,), None, None, page=False, signed_by=None
    )
    shown = verified(wanted, watch)
    assert phases == ["seal", "itself", "recordings"]
    found = [episode for _, _, episode in findings(shown.document)]
    assert found == ["episode_1", "episode_2", "episode_4"]
    looked = shown.document["looked_at"]
    assert (looked["episodes"], looked["rows"]) == (2, 20)
    assert looked["packets"] == 3 * (4 + 4)


def test_a_verification_goes_on_from_wherever_it_was(good, monkeypatch):
    module = sys.modules[
        "piperline.verify.verify"
    ]  # verify, the function, hides it
    monkeypatch.setattr(module, "_KEPT_SECONDS", 0)
    case = good("copy")
    kept: list[bytes] = []
    options = VerifyOptions(
        (case.recordings,),
        keep=lambda passed: kept.append(pickle.dumps(passed)),
    )
    whole = verify(case.root, options)
    assert len(kept) == 1 + len(LENGTHS)
    for number, data in enumerate(kept):
        passed = pickle.loads(data)  # noqa: S301 - our own
        assert passed.episodes == number
        rest = verify(
            case.root, VerifyOptions((case.recordings,), passed=passed)
        )
        assert rest.document() == whole.document()


def test_a_hang_costs_the_recording(copy, command, monkeypatch):
    monkeypatch.setattr("piperline.recordings.reader.READER_SECONDS", 3)
    case = copy("copy")
    write_piper(case.recordings / "b.hdf5", episodes=1, first=2, lengths=4)
    make_hang(case.recordings / "b.hdf5")
    code, document, _ = command(case.root, "--source", case.recordings)
    text = "the recording cannot be read: reading this crashes or hangs: nothing for 3 seconds"
    assert code == 1
    assert findings(document)[0][:2] == ("recording-unreadable", text)
    assert document["looked_at"]["episodes"] == 2


def slow(path, how, seconds):
    """A function that says nothing for long, where it reads recordings or elsewhere."""
    elsewhere(path)
    if how == "elsewhere":
        time.sleep(seconds)
    else:
        with untrusted(path):
            time.sleep(seconds)
    return how


def test_only_where_recordings_are_read_may_a_process_not_be_silent(
    tmp_path, monkeypatch
):
    """Hashing a large file of a dataset takes as long as it takes."""
    with Reader(memory=None) as read:
        assert read(tmp_path, slow, tmp_path, "elsewhere", 0) == "elsewhere"
        monkeypatch.setattr("piperline.recordings.reader.READER_SECONDS", 4)
        assert read(tmp_path, slow, tmp_path, "elsewhere", 9) == "elsewhere"
        with pytest.raises(BadEpisode, match="nothing for 4 seconds"):
            read(tmp_path, slow, tmp_path, "recordings", 60)


def large(path, recording):
    """A recording takes more memory than it may, and then something else does."""
    elsewhere(path)
    if recording:
        with untrusted(path):
            reading_at(recording)
            np.empty(12 << 30, np.uint8)
    return np.empty(12 << 30, np.uint8).size


def test_only_where_recordings_are_read_is_memory_short(tmp_path):
    place = Place(file=tmp_path / "a.hdf5", episode="episode_1")
    with Reader(memory=None) as read:
        assert read(tmp_path, large, tmp_path, None) == 12 << 30
        with pytest.raises(BadEpisode, match="more memory") as caught:
            read(tmp_path, large, tmp_path, place)
    assert caught.value.place == place


def test_a_dataset_that_is_good_is_verified_apart(good, command):
    case = good("copy")
    code, document, _ = command(case.root, "--source", case.recordings)
    assert (code, document["findings"]) == (0, [])
    assert document["looked_at"]["packets"] == 3 * sum(LENGTHS)
