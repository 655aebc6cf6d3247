"""Links in a dataset that lead out of it, or nowhere: every command refuses, and says which."""

import shutil

import pytest

from piperline.cli.app import app, run
from tests.helpers.datasets import write_dataset
from tests.helpers.episodes import make_episode
from tests.helpers.trees import tree

OUT, NOWHERE = "a link leads out of the dataset", "a link leads nowhere"


def to_a_file(link, secret):
    link.symlink_to(secret / "key")


def to_a_folder(link, secret):
    link.symlink_to(secret)


def in_a_chain(link, secret):
    link.with_name("second").symlink_to(secret / "key")
    link.symlink_to("second")


def to_nothing(link, _):
    link.symlink_to("nothing")


def to_nothing_outside(link, secret):
    link.symlink_to(secret / "nothing")


def in_a_circle(link, _):
    link.symlink_to(link.name)


LINKS = (
    ("meta/notes", to_a_file, OUT),
    ("meta/notes", to_a_folder, OUT),
    ("meta/notes", in_a_chain, OUT),
    ("meta/notes", to_nothing, NOWHERE),
    ("meta/notes", to_nothing_outside, NOWHERE),
    ("meta/notes", in_a_circle, NOWHERE),
    ("data/notes", to_a_folder, OUT),
    ("videos/notes", to_a_file, OUT),
    (".notes", to_a_file, OUT),
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    episode = make_episode(folder / "in", 0, 3)
    return {
        version: write_dataset(folder / version, [episode], version)
        for version in ("v2.1", "v3.0")
    }


@pytest.fixture(params=["v2.1", "v3.0"])
def root(request, tmp_path, sound):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("mine")
    return shutil.copytree(sound[request.param], tmp_path / "set")


def commands(root):
    out = ("--output", root.parent / "out")
    other = "v2.1" if (root / "meta/episodes").is_dir() else "v3.0"
    yield "migrate", root, "--to", other, *out
    yield "migrate", root, "--to", other
    yield "aggregate", root, root, *out
    yield "edit", root, "--task", "0=wave", *out
    yield "edit", root, "--task", "0=wave", "--dry-run"
    yield "review", root, *out
    if other == "v3.0":
        yield "groot", "stats", root
        yield "groot", "config", root, *out


def status_of(words):
    return run(app, [str(word) for word in words])


@pytest.mark.parametrize(("place", "make", "message"), LINKS)
def test_every_command_refuses_it(root, place, make, message, capsys):
    make(root / place, root.parent / "secret")
    before = tree(root.parent)
    for words in commands(root):
        assert status_of(words) == 4, words
        first, *others = capsys.readouterr().err.splitlines()
        assert first.startswith(f"error: {message}"), words
        labels = [line.partition(":")[0] for line in others]
        assert labels[:4] == ["where", "expected", "found", "next"], words
        assert tree(root.parent) == before
    assert status_of(["verify", root]) == 1
    assert "link-out" in capsys.readouterr().out
    assert tree(root.parent) == before
