"""Seals and digests: against plain sums, and what is no seal."""

import hashlib
import json
import threading
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from piperline.convert.verdict import looked_at
from piperline.episode import Digests
from piperline.errors import DatasetError
from piperline.lerobot import Origins
from piperline.lerobot.digests import rows_digest
from piperline.lerobot.folder import leaves
from piperline.seal import seal as seal_module
from piperline.seal.contents import Contents, files_below
from piperline.seal.digests import file_digest
from piperline.seal.known import known_parts
from piperline.seal.seal import (
    LOOKED_AT,
    SEAL,
    FileSeal,
    Seal,
    is_sealed,
    packets_of,
    write_seal,
)
from piperline.video.digests import digests_of, payloads_digest
from piperline.video.packets import packets
from tests.helpers.datasets import write_dataset
from tests.helpers.episodes import FPS, make_clip, make_episode


@pytest.fixture
def root(tmp_path):
    episodes = [make_episode(tmp_path / "in", number, 3) for number in range(2)]
    return write_dataset(tmp_path / "set", episodes)


def sha(data):
    return hashlib.sha256(data).hexdigest()


def test_digests_are_what_they_say():
    assert payloads_digest([b"ab", b"c"]) == sha(
        b"\2" + bytes(7) + b"ab" + b"\1" + bytes(7) + b"c"
    )
    values = np.arange(6, dtype=np.float32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(values), 2)
    table = pa.table({"b": pa.array([1, 2, 3]), "a": vectors})
    kind = str(vectors.type)
    numbers = np.arange(1, 4, dtype=np.int64)
    plain = (
        f"a {kind} 3\n".encode()
        + values.tobytes()
        + b"b int64 3\n"
        + numbers.tobytes()
    )
    assert rows_digest(table) == sha(plain)
    assert rows_digest(table.slice(1)) != rows_digest(table)


@pytest.mark.parametrize(
    "column", [["a", None], [[1, 2], [3]], [b"\0", b"\1"], [None, 1.5]]
)
def test_rows_of_other_kinds_have_digests(column):
    table = pa.table({"x": column})
    assert rows_digest(table) == rows_digest(pa.table({"x": column}))
    assert rows_digest(table) != rows_digest(pa.table({"x": column[::-1]}))


def test_a_video_is_read_once_for_the_file_and_its_packets(tmp_path):
    for mode in ("h264", "copy"):
        path = tmp_path / f"{mode}.mp4"
        clip = make_clip(path, range(9), mode)[0]
        digests = digests_of(path, FPS)
        assert digests
        data = path.read_bytes()
        assert (digests.sha256, digests.bytes) == (sha(data), len(data))
        payloads = packets(path, FPS, 0, clip.count)
        assert digests.packets == payloads_digest(payloads)
        path.write_bytes(data + b"\0")
        assert digests_of(path, FPS) is None


def test_videos_that_were_read_when_they_were_made_are_not_read_again(tmp_path):
    path = tmp_path / "a.mp4"
    clip = make_clip(path, range(4))[0]
    clip = replace(clip, digests=Digests("00" * 32, 7, "11" * 32))
    cut = replace(clip, count=3, whole=False)
    known = known_parts([], Origins({"v/a.mp4": str(path)}, [{"key": clip}]))
    assert known.taken == {"v/a.mp4": FileSeal("00" * 32, 7)}
    assert known.packets == {(0, "key"): "11" * 32}
    for origins in (
        Origins({"v/a.mp4": str(path)}, [{"key": cut}]),
        Origins({"v/a.mp4": str(tmp_path / "b.mp4")}, [{"key": clip}]),
    ):
        known = known_parts([], origins)
        assert (known.taken, known.packets) == ({}, {})


def test_a_seal_tells_every_file_and_episode(root):
    seal = Seal.from_disk(root)
    assert seal
    files = set(files_below(root))
    assert set(seal.files) == files - {str(SEAL)}
    for name, entry in seal.files.items():
        data = (root / name).read_bytes()
        assert (entry.sha256, entry.bytes) == (sha(data), len(data))
    contents = Contents.open(root)
    (key,) = contents.cameras
    assert [episode.length for episode in seal.episodes] == [3, 3]
    assert seal.episodes[1].packets == {key: packets_of(contents, 1, key)}
    assert seal.episodes[1].rows == rows_digest(contents.rows(1))


def test_the_same_dataset_has_the_same_seal(root):
    before = (root / SEAL).read_bytes()
    (root / "meta/stats.json").write_text("{}")  # GR00T's, written later
    write_seal(root)
    assert (root / SEAL).read_bytes() == before


def test_the_digest_of_many_files_and_episodes_is_that_of_one_text(root):
    files = {f"f{number}": FileSeal("00" * 32, number) for number in range(70)}
    seal = Seal.from_disk(root)
    assert seal
    replace(seal, files=files, episodes=seal.episodes * 40).to_disk(root)
    document = json.loads((root / SEAL).read_text())
    told = document.pop("digest")
    assert (len(document["files"]), len(document["episodes"])) == (70, 80)
    assert told == sha(json.dumps(document, sort_keys=True).encode())
    again = Seal.from_disk(root)
    assert again
    assert again.files == files


def test_large_files_are_read_by_several_threads(tmp_path, monkeypatch):
    episodes = [make_episode(tmp_path / "in", 0, 3)]
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    both = threading.Barrier(2, timeout=10)
    waited = iter(range(2))  # the first two wait for each other

    def read(path):
        if next(waited, None) is not None:
            both.wait()
        return file_digest(path)

    monkeypatch.setattr(seal_module, "usable_cpus", lambda: 2)
    monkeypatch.setattr(seal_module, "file_digest", read)
    before = (root / SEAL).read_bytes()
    write_seal(root)
    assert (root / SEAL).read_bytes() == before


def test_what_groot_writes_is_not_sealed_where_groot_reads():
    assert not is_sealed("meta/stats.json", "v2.1")
    assert is_sealed("meta/stats.json", "v3.0")
    assert is_sealed("meta/tasks.jsonl", "v2.1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"digest": 3}',
        "[" * 100_000,
        '{"digest": "x", "seal": 1}',
        "\0",
    ],
)
def test_what_is_no_seal(root, text):
    (root / SEAL).write_text(text)
    with pytest.raises(DatasetError, match="damaged, or was edited"):
        Seal.from_disk(root)


@pytest.mark.parametrize("size", [None, "7", [7], {}, 1.5, -1, 10**400])
def test_a_size_that_is_none_is_damage(root, size):
    seal = Seal.from_disk(root)
    assert seal
    replace(seal, files={"README.md": FileSeal("00" * 32, size)}).to_disk(root)
    with pytest.raises(DatasetError, match="damaged, or was edited"):
        Seal.from_disk(root)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "/a", "a/../../b"])
def test_a_name_that_no_file_of_a_dataset_can_have_is_damage(root, name):
    seal = Seal.from_disk(root)
    assert seal
    replace(seal, files={name: FileSeal("00" * 32, 7)}).to_disk(root)
    with pytest.raises(DatasetError, match="damaged, or was edited"):
        Seal.from_disk(root)


@pytest.mark.parametrize("proofs", [3, [None], [["a"]], [[float("inf"), 1, 2]]])
def test_what_was_looked_at_is_not_known_where_the_seal_tells_nonsense(
    root, proofs
):
    seal = Seal.from_disk(root)
    assert seal
    assert looked_at(replace(seal, verdict={LOOKED_AT: proofs})) is None


def test_there_is_none(root):
    (root / SEAL).unlink()
    assert Seal.from_disk(root) is None


def test_a_changed_letter_is_noticed(root):
    document = json.loads((root / SEAL).read_text())
    document["made_from"]["made_by"] = "someone else"
    (root / SEAL).write_text(json.dumps(document))
    with pytest.raises(DatasetError, match="edited"):
        Seal.from_disk(root)


def test_links_within_and_out(root):
    (root / "within").symlink_to("README.md")
    (root / "out").symlink_to(root.parent / "in")
    (root / "nowhere").symlink_to("nothing")
    links = [path for path in files_below(root) if (root / path).is_symlink()]
    assert {path: leaves(root, root / path) for path in links} == {
        "nowhere": True,
        "out": True,
        "within": False,
    }
