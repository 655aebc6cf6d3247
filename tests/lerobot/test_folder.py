"""Files of somebody else's dataset: bounded, plain, and inside."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from piperline.errors import DatasetError
from piperline.lerobot.dataset import open_dataset
from piperline.lerobot.folder import DatasetFolder


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "secret").write_text("mine")
    root = tmp_path / "set"
    (root / "meta").mkdir(parents=True)
    return DatasetFolder(root)


def test_links_inside_are_followed(folder):
    (folder.root / "meta/a.json").write_text('{"a": 1}')
    (folder.root / "meta/b.json").symlink_to("a.json")
    (folder.root / "other").symlink_to("meta")
    assert folder.json("meta/b.json") == {"a": 1}
    assert folder.json("other/b.json") == {"a": 1}
    folder.check_links()


def test_the_dataset_may_be_a_link_itself(folder, tmp_path):
    (folder.root / "meta/a.json").write_text('{"a": 1}')
    (tmp_path / "link").symlink_to(folder.root)
    assert DatasetFolder(tmp_path / "link").json("meta/a.json") == {"a": 1}


def test_a_path_that_is_not_utf8(tmp_path):
    """Neither Parquet's readers nor scripts can name it."""
    root = tmp_path / "\udcff"
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    for path in (root, tmp_path / "link"):
        with pytest.raises(DatasetError, match="is not UTF-8") as caught:
            open_dataset(path)
        assert caught.value.next_step


@pytest.mark.parametrize("to", ["../../secret", "../.."])
def test_links_that_lead_out_are_refused(to, folder):
    (folder.root / "meta/out").symlink_to(to)
    path = "meta/out" if to.endswith("secret") else "meta/out/secret"
    for read in (lambda: folder.path(path), folder.check_links):
        with pytest.raises(
            DatasetError, match="leads out of the dataset"
        ) as caught:
            read()
        assert "cp -rL" in str(caught.value)


def test_links_in_a_circle(folder):
    (folder.root / "meta/a").symlink_to("b")
    (folder.root / "meta/b").symlink_to("a")
    with pytest.raises(DatasetError):
        folder.path("meta/a")


def test_a_pipe_does_not_hang(folder):
    os.mkfifo(folder.root / "meta/info.json")
    with pytest.raises(DatasetError, match="no plain file") as caught:
        folder.json("meta/info.json")
    assert caught.value.found == "a pipe"


def sparse(path: Path, size: int):
    with path.open("wb") as file:
        file.truncate(size)


def test_what_is_too_large_is_not_read(folder):
    sparse(folder.root / "meta/info.json", 1 << 40)
    sparse(folder.root / "meta/tasks.jsonl", 1 << 40)
    with pytest.raises(DatasetError, match="larger"):
        folder.json("meta/info.json")
    with pytest.raises(DatasetError, match="larger"):
        list(folder.lines("meta/tasks.jsonl"))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        '{"a": "\\ud800"}',
        '{"a": ' + "9" * 10_000 + "}",
        "{",
        "",
        "\0",
    ],
    ids=[
        "deep list",
        "deep object",
        "half a pair",
        "long number",
        "half",
        "nothing",
        "NUL",
    ],
)
def test_what_is_no_json(text, folder):
    (folder.root / "meta/info.json").write_text(text)
    with pytest.raises(DatasetError, match="not JSON"):
        folder.json("meta/info.json")


def test_what_this_user_may_not_read_is_told_in_full(folder):
    (folder.root / "meta/info.json").write_text("{}")
    (folder.root / "meta").chmod(0)
    read = (
        "from pathlib import Path; from piperline.lerobot.folder import DatasetFolder;"
        f"folder = DatasetFolder(Path({str(folder.root)!r}));"
        "assert folder.has('meta/info.json'); folder.document('meta/info.json')"
    )
    # root reads what it may not, unless it gives that power away
    no_power = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    command = [sys.executable, "-c", read]
    done = subprocess.run(
        [*no_power, *command] if os.geteuid() == 0 else command,
        capture_output=True,
        text=True,
        check=False,
    )
    (folder.root / "meta").chmod(0o755)
    said = done.stderr.splitlines()[-5:]
    assert said == [
        "piperline.errors.DatasetError: info.json cannot be read",
        f"where:    file {folder.root}/meta/info.json",
        "expected: a file that this user can read",
        "found:    Permission denied",
        "next:     give the permission, or run this as its owner",
    ]
