"""What is removed is what we made, and nothing that a link leads to."""

from piperline.files import remove_tree


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
