"""What is removed is what we made, and nothing that a link leads to."""

import errno
import os

import pytest

from piperline.files import copy_file, read_json, read_plain, remove_tree


def test_a_tree_goes_and_what_its_links_lead_to_stays(tmp_path):
    other = tmp_path / "other"
    (other / "inside").mkdir(parents=True)
    (other / "inside" / "file").touch()
    root = tmp_path / "root"
    for number in range(20):
        (root / "episodes" / str(number)).mkdir(parents=True)
        (root / "episodes" / str(number) / "file").touch()
    (root / "file").touch()
    (root / "link").symlink_to(other)
    (root / "episodes" / "link").symlink_to(other)
    (root / "episodes" / "0" / "link").symlink_to(other / "inside")
    remove_tree(root)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    assert (other / "inside" / "file").is_file()


def test_only_plain_files_of_a_size_are_read(tmp_path):
    (tmp_path / "deep").write_text("[" * 1_000_000)
    with pytest.raises(ValueError, match="nested too deep"):
        read_json(tmp_path / "deep")
    with pytest.raises(OSError, match="larger than such a file can be"):
        read_plain(tmp_path / "deep", 999_999)
    assert len(read_plain(tmp_path / "deep", 1_000_000)) == 1_000_000
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a plain file"):
        read_plain(tmp_path / "pipe")


@pytest.mark.parametrize("code", [None, errno.EXDEV, errno.ENOSYS])
def test_a_file_is_copied_where_the_system_cannot_copy_ranges(
    code, tmp_path, monkeypatch
):
    def cannot(*_):
        raise OSError(code, "no")

    if code:
        monkeypatch.setattr(os, "copy_file_range", cannot)
    data = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(data)
    copy_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == data
