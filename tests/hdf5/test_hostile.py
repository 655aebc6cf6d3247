"""Files that mean harm: nothing outside is read or written, nothing hangs or fills the memory."""

import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from piperline.cli.hdf5_text import report_lines
from piperline.cli.prompt import answer_lines
from piperline.errors import (
    OutputError,
    PiperlineError,
    Place,
    RecordingError,
    UsageError,
)
from piperline.hdf5.copy import _copy_error, write_file
from piperline.hdf5.episode_table import count_episodes, episode_table
from piperline.hdf5.inspect import inspect
from piperline.hdf5.root_attributes import SOURCES
from piperline.hdf5.shell import Shell
from piperline.hdf5.split_repack import (
    find_files,
    repack_plan,
    split_plan,
    write_plan,
)
from piperline.hdf5.top_level import episodes, read_top
from piperline.hdf5.values import MOST_BYTES, preview
from tests.helpers.hostile import (
    HARMLESS,
    LEAKING,
    NAMES,
    UNREADABLE,
    damaged_group,
    names,
    no_groups,
    path_in_a_name,
)
from tests.helpers.recordings import write_aloha, write_piper
from tests.helpers.trees import tree


@pytest.mark.parametrize("build", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_opened_is_an_error(tmp_path, build):
    path = build(tmp_path)
    for do in (
        inspect,
        read_top,
        lambda path: split_plan(read_top(path), tmp_path / "out"),
    ):
        with pytest.raises(RecordingError) as caught:
            do(path)
        assert str(path) in str(caught.value)
        assert not (tmp_path / "out").exists()


def test_a_file_without_groups_cannot_be_split(tmp_path):
    with pytest.raises(RecordingError, match="no groups"):
        read_top(no_groups(tmp_path))


def test_a_name_that_is_a_path_leads_nowhere(tmp_path):
    source = path_in_a_name(tmp_path)
    out = tmp_path / "deep" / "a" / "b"
    top = read_top(source)
    assert [group.name for group in top.groups] == [b"..", b"good"]
    assert top.others == ["../../esc"]
    with pytest.raises(RecordingError, match="lies beside the groups"):
        split_plan(top, out)
    done = list(write_plan(split_plan(top, out, names=["..", "good"])))
    assert sorted(new.path.name for new, _ in done) == ["_.hdf5", "good.hdf5"]
    assert [path for path in tree(tmp_path) if path.endswith("esc.hdf5")] == []
    report = "\n".join(report_lines(inspect(source), 80))
    assert "../../esc" in report
    assert "tampered" in report


def test_every_name_becomes_a_usable_file_name(tmp_path):
    source, out = names(tmp_path), tmp_path / "out"
    done = [
        new
        for new, _ in write_plan(split_plan(read_top(source), out, prefix="p_"))
    ]
    assert len(done) == len(NAMES) + 1
    written = [path.name for path in out.iterdir()]
    assert len({name.casefold() for name in written}) == len(done)
    assert all(
        name.startswith("p_")
        and name.isprintable()
        and len(name.encode()) < 255
        for name in written
    )
    assert "p_ep0_2.hdf5" in written  # one that was there keeps its name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.h5", "out"]
    for new in done:
        with h5py.File(source) as old, h5py.File(new.path) as file:
            (name,) = (
                name if isinstance(name, bytes) else name.encode()
                for name in file
            )
            assert name == new.groups[0].group  # the group keeps its own name
            assert file[name]["x"][()] == old[name]["x"][()]


def test_names_are_printed_without_control_characters(tmp_path):
    lines = list(
        report_lines(inspect(names(tmp_path), attrs=True, previews=True), 80)
    )
    assert all(line.isprintable() for line in lines)
    assert any("\\x1b[31mred" in line for line in lines)


@pytest.mark.parametrize(
    "prefix", ["../", "/elsewhere/", "a/b", "\n", ".", "x" * 51]
)
def test_a_prefix_is_the_beginning_of_a_file_name(tmp_path, prefix):
    source = write_piper(tmp_path / "in.h5")
    with pytest.raises(UsageError):
        split_plan(read_top(source), tmp_path / "out", prefix=prefix)


def test_a_link_in_place_of_the_output_is_not_followed_out_of_the_folder(
    tmp_path,
):
    source, out = write_piper(tmp_path / "in.h5", episodes=1), tmp_path / "out"
    out.mkdir()
    (tmp_path / "precious").write_text("mine")
    (out / "episode_0.hdf5").symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError):
        list(write_plan(split_plan(read_top(source), out), overwrite=True))
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize("build", LEAKING.values(), ids=LEAKING)
def test_what_lies_outside_is_refused_unless_allowed(tmp_path, build):
    source, out = build(tmp_path), tmp_path / "out"
    with pytest.raises(RecordingError) as caught:
        list(write_plan(split_plan(read_top(source), out, names=["episode"])))
    assert "--allow-external" in str(caught.value)
    assert "/episode" in str(caught.value)
    assert list(out.iterdir()) == []
    list(
        write_plan(
            split_plan(read_top(source), out, names=["episode"]),
            allow_external=True,
        )
    )
    assert [path.name for path in out.iterdir()] == ["episode.hdf5"]


@pytest.mark.parametrize(
    "build",
    [LEAKING["external_storage"], LEAKING["virtual"], LEAKING["external_link"]],
)
def test_what_lies_outside_is_not_read(tmp_path, build):
    text = "\n".join(report_lines(inspect(build(tmp_path), previews=True), 80))
    assert "file" in text or "other datasets" in text
    assert "[115 101" not in text  # the first bytes of the secret
    assert "[0 1 2 3 4]" not in text


@pytest.mark.parametrize("build", HARMLESS.values(), ids=HARMLESS)
def test_what_only_looks_dangerous_is_shown_and_copied(tmp_path, build):
    source = build(tmp_path)
    assert list(report_lines(inspect(source, attrs=True, previews=True), 80))
    (done,) = write_plan(
        split_plan(read_top(source), tmp_path / "out", names=["episode"])
    )
    assert done[1] == "written"


def test_a_bomb_is_not_decompressed(tmp_path):
    with h5py.File(HARMLESS["bomb"](tmp_path)) as file:
        for selection in ("", "0, 5", "0:3, 0"):
            with pytest.raises(
                PiperlineError, match="one of its chunks claims 268"
            ):
                preview(file["episode/x"].id, selection)
        assert file["episode/x"].chunks[1] > MOST_BYTES


def test_a_damaged_group_is_told_and_not_copied(tmp_path):
    source = damaged_group(tmp_path)
    report = inspect(source)
    assert report.unreadable == 1
    assert "cannot be read" in "\n".join(report_lines(report, 80))
    with pytest.raises(RecordingError):
        list(write_plan(split_plan(read_top(source), tmp_path / "out")))
    # another process may have had it
    assert {path.name for path in tmp_path.glob("out/*.hdf5")} <= {"fine.hdf5"}
    with h5py.File(source) as file:
        shell = Shell(file)
        assert "cannot be read" in "\n".join(answer_lines(shell.run("ls"), 80))
        with pytest.raises(RecordingError, match="cannot be read"):
            shell.run("cd bad/y")


def test_equal_names_both_survive_and_the_map_is_kept(tmp_path):
    sources = [
        write_piper(tmp_path / f"{name}.hdf5", episodes=2, first=first)
        for name, first in (("b", 5), ("a", 0))
    ]
    for source in sources:
        with h5py.File(source, "r+") as file:
            file.move(f"episode_{5 if source.stem == 'b' else 0}", "episode")
    found = [group for source in sources for group in episodes(source)]
    (new,) = repack_plan(found, tmp_path / "out", per_file=9)
    list(write_plan([new]))
    with h5py.File(new.path) as file:
        assert list(file) == ["episode", "episode_6", "episode_2", "episode_1"]
        kept = json.loads(file.attrs[SOURCES])
        assert kept["episode"][:2] == ["b.hdf5", "episode"]
        assert kept["episode_2"][:2] == ["a.hdf5", "episode"]
        with h5py.File(sources[1]) as old:
            assert np.array_equal(file["episode_2/state"], old["episode/state"])


def test_a_group_under_two_names_is_stored_once(tmp_path):
    source = write_piper(tmp_path / "in.h5", episodes=1)
    with h5py.File(source, "r+") as file:
        file["again"] = file["episode_0"]
    (new,) = repack_plan(episodes(source), tmp_path, per_file=2)
    write_file(new)
    with h5py.File(new.path) as file:
        assert file["again"] == file["episode_0"]


def test_what_hdf5_says_of_a_full_disk_becomes_an_error_of_the_system():
    words = (
        "Unable to flush (file write failed: time = now\n"
        ", errno = 28, error message = 'No space')"
    )
    found = _copy_error(RuntimeError(words), Place())
    assert isinstance(found, OSError)
    assert found.errno == 28
    damaged = _copy_error(RuntimeError("bad heap"), Place())
    assert isinstance(damaged, RecordingError)
    assert damaged.found == "bad heap"


def test_a_fault_of_our_own_keeps_its_traceback(tmp_path, monkeypatch):
    source = write_piper(tmp_path / "in.h5", episodes=1)
    (new,) = split_plan(read_top(source), tmp_path)
    monkeypatch.setattr("piperline.hdf5.copy._leaks", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_file(new)
    assert list(tmp_path.iterdir()) == [source]


def test_a_plan_without_room_or_with_a_file_in_the_way_is_refused_before_anything_is_written(
    tmp_path, monkeypatch
):
    source = write_piper(tmp_path / "in.h5", episodes=1)
    with pytest.raises(OutputError, match="in the place of a folder"):
        list(write_plan(split_plan(read_top(source), source)))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1))
    with pytest.raises(OutputError, match="not enough room"):
        list(write_plan(split_plan(read_top(source), tmp_path / "out")))
    assert list((tmp_path / "out").iterdir()) == []


def test_no_episode_in_a_file_is_no_plan(tmp_path):
    with pytest.raises(UsageError, match="at least 1"):
        repack_plan(
            episodes(write_piper(tmp_path / "in.h5")), tmp_path, per_file=0
        )


def test_damaged_attributes_and_references_do_not_become_wrong_ones(tmp_path):
    source = tmp_path / "in.h5"
    with h5py.File(source, "w") as file:
        group = file.create_group("episode")
        group["gone"] = 1
        references = group.create_dataset("references", (2,), h5py.ref_dtype)
        references[0] = group["gone"].ref
        group.create_dataset("regions", (1,), h5py.regionref_dtype)
        del group["gone"]
    (new,) = split_plan(read_top(source), tmp_path / "out")
    list(write_plan([new]))
    with h5py.File(new.path) as file:
        assert not any(
            bool(reference) for reference in file["episode/references"]
        )


def test_a_file_whose_top_is_damaged_has_no_groups(tmp_path):
    source = write_piper(tmp_path / "in.h5")
    data = source.read_bytes()
    source.write_bytes(data.replace(b"HEAP", b"PAEH", 1))
    with pytest.raises(RecordingError):
        read_top(source)
    with pytest.raises(RecordingError):
        find_files(tmp_path / "nowhere")


def test_groups_that_look_alike_are_not_one(tmp_path):
    """A control character is shown as an escape, which may be the name of another group."""
    source = tmp_path / "in.h5"
    with h5py.File(source, "w") as file:
        file["a\x1bb/x"], file["a\\x1bb/x"] = 1, 2
    done = [
        new
        for new, _ in write_plan(split_plan(read_top(source), tmp_path / "out"))
    ]
    found = {}
    for path in {new.path for new in done}:
        with h5py.File(path) as file:
            (name,) = file
            found[name] = int(file[name]["x"][()])
    assert found == {"a\x1bb": 1, "a\\x1bb": 2}
    (new,) = repack_plan(episodes(source), tmp_path / "out", per_file=9)
    write_file(new)
    with h5py.File(new.path) as file:
        assert (
            set(json.loads(file.attrs[SOURCES]))
            == set(file)
            == {"a\x1bb", "a\\x1bb"}
        )


def test_names_in_another_encoding_are_shown(tmp_path):
    path = write_piper(tmp_path / "in.hdf5", episodes=2)
    with h5py.File(path, "r+") as file:
        file.move(b"episode_1", "第1集".encode("gbk"))
    count = count_episodes(path)
    assert (count.episodes, count.misfits, count.frames) == (1, 1, 5)
    table = episode_table(path)
    assert table is not None
    assert "name of the episode is not UTF-8" in (table.rows[1].problem or "")
    assert inspect(path).groups == 2


def test_references_among_the_attributes_of_the_root_do_not_dangle(tmp_path):
    source = tmp_path / "in.h5"
    with h5py.File(source, "w", track_order=True) as file:
        file["episode/x"] = 1
        pair = np.dtype([("object", h5py.ref_dtype), ("number", "i4")])
        file.attrs["zebra"], file.attrs["apple"] = 1, 2
        file.attrs.create("objects", np.array([(file["episode"].ref, 3)], pair))
    (new,) = split_plan(read_top(source), tmp_path / "out")
    list(write_plan([new]))
    with h5py.File(new.path) as file:
        assert [name for name in file.attrs if name != SOURCES] == [
            "zebra",
            "apple",
        ]


def test_sizes_are_at_most_those_of_the_file(tmp_path):
    """Of values in chunks, a few tell of all: here those that are there, of many that are not."""
    source = tmp_path / "in.h5"
    with h5py.File(source, "w") as file:
        rows = file.create_dataset(
            "episode/images",
            (20_000,),
            h5py.vlen_dtype(np.uint8),
            chunks=(100,),
        )
        for place in range(100):
            rows[place] = np.zeros(20_000, np.uint8)
    (group,) = read_top(source).groups
    assert group.stored_bytes <= source.stat().st_size
    assert inspect(source).stored_bytes <= source.stat().st_size


def test_a_large_attribute_of_the_root_in_which_files_differ_is_kept_once(
    tmp_path,
):
    """A group of the old kind cannot hold 64 KB in its header."""
    sources = [tmp_path / "a.hdf5", tmp_path / "b.hdf5"]
    tables = [np.full(20_000, number) for number in range(2)]
    for source, table in zip(sources, tables, strict=True):
        with h5py.File(source, "w", track_order=True) as file:
            file["episode/x"] = 1
            file["other/x"] = 2
            file.attrs["lookup"] = table
            file.attrs["operator"] = source.stem
    found = [group for source in sources for group in episodes(source)]
    (new,) = repack_plan(found, tmp_path / "out", per_file=9)
    list(write_plan([new]))
    with h5py.File(new.path) as file:
        assert set(file) == {"episode", "other", "episode_2", "other_2"}
        for source, table in zip(sources, tables, strict=True):
            assert np.array_equal(
                file.attrs[f"file:{source.name}:lookup"], table
            )
        assert file["other"].attrs["file:operator"] == "a"
        assert file["other_2"].attrs["file:operator"] == "b"
        assert "file:lookup" not in file["episode"].attrs


def test_a_large_attribute_that_all_files_have_stays_at_the_root(tmp_path):
    for name in ("a.hdf5", "b.hdf5"):
        with h5py.File(tmp_path / name, "w", track_order=True) as file:
            file["episode/x"] = 1
            file.attrs["lookup"] = np.arange(20_000)
    found = [group for path in find_files(tmp_path) for group in episodes(path)]
    (new,) = repack_plan(found, tmp_path / "out", per_file=9)
    list(write_plan([new]))
    with h5py.File(new.path) as file:
        assert np.array_equal(file.attrs["lookup"], np.arange(20_000))


def test_split_does_not_leave_datasets_of_the_root_out_unsaid(tmp_path):
    source = write_aloha(tmp_path / "fold.hdf5")
    with pytest.raises(RecordingError) as caught:
        split_plan(read_top(source), tmp_path / "out")
    assert caught.value.found == "action"
    assert str(caught.value).endswith("--groups observations")
    (new,) = split_plan(
        read_top(source), tmp_path / "out", names=["observations"]
    )
    assert new.path.name == "observations.hdf5"


def test_what_a_group_says_of_its_file_already_is_kept(tmp_path):
    sources = [tmp_path / "1.h5", tmp_path / "2.h5"]
    for number, source in enumerate(sources):
        with h5py.File(source, "w") as file:
            file.create_group("episode").attrs["file:operator"] = "the first"
            file.attrs["operator"] = f"the {number}."
    (new,) = repack_plan(
        [group for source in sources for group in episodes(source)],
        tmp_path / "out",
        per_file=9,
    )
    list(write_plan([new]))
    with h5py.File(new.path) as file:
        assert [group.attrs["file:operator"] for group in file.values()] == [
            "the first"
        ] * 2


def test_a_reference_out_of_a_group_is_told_with_its_place(tmp_path):
    source = tmp_path / "in.h5"
    with h5py.File(source, "w") as file:
        file["other/x"] = 1
        file.create_group("episode/inner").attrs["see"] = file["other"].ref
    (new,) = split_plan(read_top(source), tmp_path / "out", names=["episode"])
    with pytest.raises(
        RecordingError,
        match="/episode/inner/@see: a reference to something outside",
    ):
        list(write_plan([new]))
