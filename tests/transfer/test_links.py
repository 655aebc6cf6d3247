"""Videos that stay as they are: hard-linked, and sealed as they were sealed."""

import errno
import os

import pytest

from piperline.edits.numbers import Moment
from piperline.edits.plan import EditPlan, EpisodeEdit
from piperline.errors import DatasetError
from piperline.lerobot.dataset import open_dataset
from piperline.seal.seal import SEAL, Seal
from piperline.transfer import aggregate, edit, migrate
from piperline.verify import verify
from tests.helpers.datasets import assert_holds, write_dataset
from tests.helpers.episodes import make_episode
from tests.helpers.trees import tree

LENGTHS = (12, 7, 23)
KEY = "observation.images.mid"
DROPPED = EditPlan({1: EpisodeEdit(drop=True)})
TRIMMED = EditPlan({1: EpisodeEdit(start=Moment(3))})
SMALL = 0.001  # MiB: of v3.0, each episode takes a video file of its own


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return [make_episode(folder, n, length) for n, length in enumerate(LENGTHS)]


@pytest.fixture(params=["v2.1", "v3.0"])
def root(request, tmp_path, made):
    return write_dataset(tmp_path / "set", made, request.param, video_mb=SMALL)


def videos(folder):
    return sorted(folder.rglob("*.mp4"))


def linked(folder, source):
    """The videos of a dataset that are files of another one too."""
    inodes = {path.stat().st_ino for path in videos(source)}
    return [path for path in videos(folder) if path.stat().st_ino in inodes]


def damage(path):
    """Another byte in the middle of a video, which stays as long as it is."""
    data = bytearray(path.read_bytes())
    data[-20] ^= 0xFF
    path.unlink()
    path.write_bytes(data)


def sealed_findings(folder):
    """What `verify` finds of a dataset against its seal."""
    found = verify(folder).findings
    return [each for each in found if each.code.startswith("seal")]


def seal_of(folder):
    seal = Seal.from_disk(folder)
    assert seal is not None
    return seal


def test_the_episodes_that_stay_are_those_that_were(root, made, tmp_path):
    before = tree(root)
    edit(root, DROPPED, output=tmp_path / "out")
    assert_holds(open_dataset(tmp_path / "out"), [made[0], made[2]])
    assert verify(tmp_path / "out").verdict == verify(root).verdict
    assert tree(root) == before


def test_each_file_that_holds_only_what_stays_is_linked(root, tmp_path):
    files = videos(root)
    assert len(files) == len(LENGTHS)
    edit(root, DROPPED, output=tmp_path / "dropped")
    made = videos(tmp_path / "dropped")
    assert len(made) == 2
    assert linked(tmp_path / "dropped", root) == made
    edit(root, TRIMMED)
    assert len(linked(root, tmp_path / "dropped")) == 2


def test_a_file_that_loses_an_episode_is_written_anew(made, tmp_path):
    root = write_dataset(tmp_path / "set", made, "v3.0")
    edit(root, DROPPED, output=tmp_path / "out")
    assert len(videos(root)) == len(videos(tmp_path / "out")) == 1
    assert not linked(tmp_path / "out", root)
    edit(
        root,
        EditPlan({1: EpisodeEdit(instruction="wave")}),
        output=tmp_path / "told",
    )
    assert linked(tmp_path / "told", root) == videos(tmp_path / "told")


def test_transfers_link_too(made, tmp_path):
    root = write_dataset(tmp_path / "set", made)
    aggregate([root, root], tmp_path / "both")
    assert len(linked(tmp_path / "both", root)) == 6
    there = migrate(root, "v3.0", output=tmp_path / "v30").output
    aggregate([there], tmp_path / "again")
    assert linked(tmp_path / "again", there) == videos(tmp_path / "again")


def test_links_and_copies_have_the_same_bytes(root, tmp_path, monkeypatch):
    edit(root, DROPPED, output=tmp_path / "links")

    def refused(*_, **__):
        raise OSError(errno.EMLINK, "Too many links")

    monkeypatch.setattr(os, "link", refused)
    edit(root, DROPPED, output=tmp_path / "copies")
    assert not linked(tmp_path / "copies", root)
    assert tree(tmp_path / "copies") == tree(tmp_path / "links")


def test_what_belongs_to_somebody_else_is_copied(root, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    edit(root, DROPPED, output=tmp_path / "out")
    assert not linked(tmp_path / "out", root)


def test_links_inside_of_a_dataset_are_followed(root, tmp_path):
    first = videos(root)[0]
    first.rename(root / "elsewhere.mp4")
    first.symlink_to(root / "elsewhere.mp4")
    edit(root, DROPPED, output=tmp_path / "out")
    assert not any(path.is_symlink() for path in videos(tmp_path / "out"))
    assert len(linked(tmp_path / "out", root)) == 2


def test_the_seal_is_carried_over_and_is_that_of_reading_all(root, tmp_path):
    edit(root, DROPPED, output=tmp_path / "known")
    (root / SEAL).unlink()
    edit(root, DROPPED, output=tmp_path / "read")
    known, read = seal_of(tmp_path / "known"), seal_of(tmp_path / "read")
    assert known.episodes == read.episodes
    told = "meta/piperline.json"
    assert {**known.files, told: None} == {**read.files, told: None}


def test_damage_after_sealing_is_not_sealed_as_good(root, tmp_path):
    damage(videos(root)[0])
    (found,) = sealed_findings(root)
    assert found.code == "sealed-video-changed"
    edit(root, DROPPED, output=tmp_path / "out")
    (found,) = sealed_findings(tmp_path / "out")
    assert found.code == "sealed-video-changed"
    assert found.place is not None
    assert found.place.episode == "0"
    assert seal_of(tmp_path / "out").episodes[0] == seal_of(root).episodes[0]


def test_damage_in_a_file_that_is_written_anew_is_told(made, tmp_path):
    root = write_dataset(tmp_path / "set", made, "v3.0")
    damage(videos(root)[0])  # of the last episode
    with pytest.raises(DatasetError, match="changed since") as raised:
        edit(root, DROPPED, output=tmp_path / "out")
    place = raised.value.place
    assert place is not None
    assert (place.episode, place.camera) == ("2", KEY)
    assert not (tmp_path / "out").exists()
    edit(root, EditPlan(keep=(0, 1)), output=tmp_path / "out")
    assert not sealed_findings(tmp_path / "out")


def test_a_seal_that_is_damaged_tells_nothing(root, tmp_path):
    text = (root / SEAL).read_text().replace('"sha256"', '"sha512"', 1)
    (root / SEAL).write_text(text)
    edit(root, DROPPED, output=tmp_path / "out")
    assert not sealed_findings(tmp_path / "out")
