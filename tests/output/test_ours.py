"""What `--overwrite` takes for ours: the files of the seal, with the same bytes."""

import os
import shutil

import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.errors import OutputExists
from piperline.output.ours import check_bytes, state
from tests.helpers.recordings import write_piper
from tests.helpers.trees import tree


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    site = tmp_path_factory.mktemp("made")
    (site / "data").mkdir()
    write_piper(site / "data/one.hdf5", episodes=1, lengths=[4])
    convert([site / "data"], site / "out", make_job(), workers=1)
    return site


@pytest.fixture
def site(made, tmp_path):
    shutil.copytree(made, tmp_path / "site")
    return tmp_path / "site"


def again(site) -> None:
    """The same recordings otherwise, in the place of the dataset."""
    job = make_job(video="copy")
    convert([site / "data"], site / "out", job, workers=1, overwrite=True)


def add_a_file(out):
    (out / "notes.txt").write_text("mine")


def add_a_folder(out):
    (out / "raw").mkdir()


def add_a_link(out):
    (out / "link").symlink_to("/")


def a_link_in_the_place_of_a_file(out):
    (out / "README.md").rename(out.parent / "README.md")
    (out / "README.md").symlink_to(out.parent / "README.md")


def change_a_file(out):
    with (out / "README.md").open("a") as file:
        file.write("What I noted.")


def change_bytes_of_the_same_number(out):
    path = out / "data/chunk-000/episode_000000.parquet"
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)


CHANGES = {
    add_a_file: "notes.txt",
    add_a_folder: "raw",
    add_a_link: "link",
    a_link_in_the_place_of_a_file: "README.md",
    change_a_file: "README.md",
    change_bytes_of_the_same_number: "data/chunk-000/episode_000000.parquet",
}


@pytest.mark.parametrize(
    ("change", "name"), CHANGES.items(), ids=[one.__name__ for one in CHANGES]
)
def test_what_is_not_ours_stops_us_by_name(site, change, name):
    change(site / "out")
    before = tree(site)
    with pytest.raises(OutputExists, match="did not write into it") as caught:
        again(site)
    assert caught.value.found == name
    assert tree(site) == before


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("meta/piperline_seal.json", "it has no seal"),
        ("meta/piperline.json", "something that piperline did not make"),
    ],
)
def test_what_nobody_can_tell_is_kept(site, name, why):
    (site / "out" / name).unlink()
    before = tree(site)
    with pytest.raises(OutputExists) as caught:
        again(site)
    assert caught.value.found == why
    assert tree(site) == before


@pytest.mark.parametrize("shard", [None, "[]", "{}"])
def test_a_folder_that_merely_looks_like_ours_is_kept(site, shard):
    """Only a shard without episodes has no seal, and it says who made it."""
    shutil.rmtree(site / "out")
    (site / "out/meta").mkdir(parents=True)
    (site / "out/meta/piperline.json").write_text('{"mine": true}')
    if shard is not None:
        (site / "out/meta/shard.json").write_text(shard)
    before = tree(site)
    with pytest.raises(OutputExists, match="nobody can say"):
        again(site)
    assert tree(site) == before


def test_a_seal_that_was_edited_is_none(site):
    path = site / "out/meta/piperline_seal.json"
    path.write_text(path.read_text().replace("README.md", "README.MD"))
    with pytest.raises(OutputExists, match="nobody can say"):
        again(site)


def test_what_we_write_later_and_what_is_gone_does_not_stop_us(site):
    out = site / "out"
    (out / "meta/stats.json").write_text("{}")  # as GR00T would
    (out / "meta/piperline_seal.json.sig").write_text("signed")
    (out / "README.md").unlink()
    # its folder is empty now
    min(out.rglob("*.mp4")).unlink()
    before = tree(out)
    again(site)
    assert tree(out) != before
    assert sorted(path.name for path in site.iterdir()) == ["data", "out"]


def test_a_change_while_the_new_one_is_made_is_seen(site):
    out = site / "out"
    before = state(out)
    assert check_bytes(out) == before
    (out / "meta/stats.json").write_text("{}")
    out.rename(site / "moved")
    assert state(site / "moved") == before
    os.utime(site / "moved/README.md")
    assert state(site / "moved") != before
    assert state(out) == ""


def test_how_far_the_check_is_gets_told(site):
    told = []
    check_bytes(site / "out", lambda done, size: told.append((done, size)))
    done, sizes = zip(*told, strict=True)
    assert sorted(done) == list(done)
    assert {done[-1]} == set(sizes)
