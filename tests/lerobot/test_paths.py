import pytest

from piperline.lerobot.info import V21_DATA_PATH, V30_VIDEO_PATH
from piperline.lerobot.paths import PathTemplate, check_key

FIELDS = ("episode_chunk", "episode_index", "video_key")


def test_paths_are_those_of_format_strings():
    where: dict[str, int | str] = {"episode_chunk": 0, "episode_index": 1234567}
    assert PathTemplate(V21_DATA_PATH).path(where) == V21_DATA_PATH.format(
        **where
    )
    where = {
        "video_key": "observation.images.mid",
        "chunk_index": 1,
        "file_index": 20,
    }
    assert PathTemplate(V30_VIDEO_PATH).path(where) == V30_VIDEO_PATH.format(
        **where
    )
    assert (
        PathTemplate("{episode_index}.mp4").path({"episode_index": 7})
        == "7.mp4"
    )


@pytest.mark.parametrize(
    "text",
    [
        "/etc/{episode_index}",
        "../{episode_index}",
        "data/{episode_index}/../../x",
        ".{episode_index!s:.0}./x",
        "{episode_index:.0}/x",
        "{episode_index:1000000000d}",
        "{episode_index:01000000000d}",
        "{episode_index:>9}",
        "{nothing}",
        "{episode_index.real}",
        "{episode_index[0]}",
        "{}",
        "{0}",
        "{{episode_index}}",
        "data/{episode_index",
        "data/episode_index}",
        "{video_key:03d}",
        "data//{episode_index}",
        "./{episode_index}",
        "a\0b",
        "",
    ],
)
def test_what_is_no_template(text):
    with pytest.raises(ValueError, match=r"."):
        PathTemplate(text).check(FIELDS)


@pytest.mark.parametrize("key", ["", ".", "..", "/etc", "a/b", "a/", "a\0b"])
def test_names_of_features_are_no_paths(key):
    with pytest.raises(ValueError, match=r"."):
        check_key(key)
