"""Output that cannot be written: one clear error, and what is done is kept."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from piperline.convert.assemble import assemble
from piperline.convert.job import make_job
from piperline.convert.run import plan_run
from piperline.convert.stage import staging_area
from piperline.lerobot.dataset import open_dataset
from tests.helpers.broken import EPISODES
from tests.helpers.pinned import assert_golden
from tests.helpers.recordings import write_piper
from tests.helpers.trees import tree

pytestmark = pytest.mark.usefixtures("workers_in_threads")

PIPERLINE = Path(sys.executable).with_name("piperline")


def may_mount() -> bool:
    """Whether a process may have file systems of its own here."""
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(
            ["unshare", "-rm", "true"], capture_output=True, check=False
        ).returncode
        == 0
    )


own_mounts = pytest.mark.skipif(
    not may_mount(), reason="no user namespaces here"
)


def shell(
    script: str, *arguments: object, mounts: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a script, with file systems of its own that end with it."""
    command = [
        *(["unshare", "-rm"] if mounts else []),
        "sh",
        "-c",
        script,
        "sh",
        *map(str, arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Two episodes that become about 40 kB of video each."""
    path = tmp_path_factory.mktemp("recording") / "day.hdf5"
    return write_piper(path, lengths=60, size=(120, 160))


FULL = """
mount -t tmpfs -o size=$4k tmpfs "$3" || exit 99
"$1" convert "$2" --output "$3/dataset" --workers 1 --format "$5" >/dev/null && exit 98
echo "code $?"; ls -A "$3"
mount -o remount,size=8m "$3"
"$1" convert "$2" --output "$3/dataset" --workers 1 --format "$5" >/dev/null
echo "code $?"; ls -A "$3"; ls "$3/dataset/meta/info.json"
"""


@own_mounts
@pytest.mark.parametrize(
    ("kilobytes", "version"),
    [(12, "v2.1"), (60, "v2.1"), (150, "v3.0"), (220, "v3.0")],
)
def test_a_full_disk_keeps_what_is_done_and_the_same_command_finishes_it(
    tmp_path, recording, kilobytes, version
):
    done = shell(FULL, PIPERLINE, recording, tmp_path, kilobytes, version)
    assert done.stdout.splitlines() == [
        "code 5",
        "dataset.work",
        "code 0",
        "dataset",
        f"{tmp_path}/dataset/meta/info.json",
    ], done.stderr
    assert "error: the disk is full" in done.stderr
    assert "\nexpected: room for the output" in done.stderr
    assert "the same command goes on from there" in done.stderr
    assert "Traceback" not in done.stderr


@own_mounts
def test_a_file_system_without_inodes(tmp_path, recording):
    script = (
        'mount -t tmpfs -o nr_inodes=18 tmpfs "$3" || exit 99\n'
        '"$1" convert "$2" --output "$3/dataset" --workers 1 >/dev/null\n'
        'echo "code $?"; ls -A "$3"; mount -o remount,nr_inodes=1000 "$3"\n'
        '"$1" convert "$2" --output "$3/dataset" --workers 1 >/dev/null\n'
        'echo "code $?"; ls -A "$3"\n'
        'used=$(df --output=iused "$3" | tail -1)\n'
        'mount -o remount,nr_inodes=$((used + 5)) "$3"\n'
        '"$1" migrate "$3/dataset" --to v3.0\n'
        'echo "code $?"; ls -A "$3"\n'
    )
    done = shell(script, PIPERLINE, recording, tmp_path)
    assert done.stdout.splitlines() == [
        "code 5",
        "dataset.work",
        "code 0",
        "dataset",
        "code 5",
        "dataset",
    ], done.stderr
    told = "error: the file system takes no more files"
    assert done.stderr.count(told) == 2  # also where what took them was removed
    assert "the same command goes on from there" in done.stderr
    assert "Traceback" not in done.stderr


@own_mounts
def test_a_read_only_file_system(tmp_path, recording):
    script = (
        'mount --bind "$3" "$3" && mount -o remount,ro,bind "$3"; '
        '"$1" convert "$2" --output "$3/a" --workers 1'
    )
    done = shell(script, PIPERLINE, recording, tmp_path)
    assert done.returncode == 5
    assert "error: the file system is read-only" in done.stderr
    assert "\nnext:     choose another folder" in done.stderr
    assert list(tmp_path.iterdir()) == []


@own_mounts
def test_an_output_that_is_a_mount_point(tmp_path, recording):
    """Also one that shows a folder of the same file system; it is told before anything is done."""
    script = (
        'mkdir "$3/real" "$3/out" && mount --bind "$3/real" "$3/out"; '
        '"$1" convert "$2" --output "$3/out" --workers 1'
    )
    done = shell(script, PIPERLINE, recording, tmp_path)
    assert done.returncode == 5
    assert "error: the output is a link or a mount point" in done.stderr
    assert "\nnext:     name a folder in it" in done.stderr
    assert sorted(tree(tmp_path)) == ["out", "real"]


@own_mounts
@pytest.mark.parametrize(
    "command", ["migrate --to v3.0", "edit --drop-camera mid"]
)
def test_a_dataset_at_a_mount_point_is_not_made_anew_in_place(
    tmp_path, convert, recording, command
):
    assert convert(recording, "--output", tmp_path / "real")[0] == 0
    before = tree(tmp_path / "real")
    word, *options = command.split()
    script = (
        'mkdir "$2/out" && mount --bind "$2/real" "$2/out"; '
        'program=$1 site=$2 word=$3; shift 3; "$program" $word "$site/out" "$@"'
    )
    done = shell(script, PIPERLINE, tmp_path, word, *options)
    assert done.returncode == 5, done.stderr
    assert "error: this is a mount point" in done.stderr
    assert "name another output (--output)" in done.stderr
    assert tree(tmp_path / "real") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "real"]


@own_mounts
@pytest.mark.parametrize("kind", ["--bind $3/other", "-t tmpfs none"])
def test_a_staging_folder_on_another_file_system(tmp_path, recording, kind):
    script = (
        f'mkdir "$3/other" "$3/out.work" && mount {kind} "$3/out.work"; '
        '"$1" convert "$2" --output "$3/out" --workers 1'
    )
    done = shell(script, PIPERLINE, recording, tmp_path)
    assert done.returncode == 5
    assert "error: out.work lies on another file system" in done.stderr
    assert "\nnext:     move it away" in done.stderr
    assert not (tmp_path / "out").exists()


@own_mounts
def test_what_came_with_a_container_cannot_be_renamed(
    tmp_path, convert, recording
):
    """The file system that containers have, overlayfs: its lower folders keep their names."""
    for name in ("lower", "upper", "inner", "merged"):
        (tmp_path / name).mkdir()
    output = tmp_path / "lower" / "out"
    assert convert(recording, "--output", output)[0] == 0
    before = tree(output)
    script = (
        "cd $3; mount -t tmpfs none inner && mkdir inner/upper inner/work && "
        "mount -t overlay overlay -o "
        "userxattr,lowerdir=lower,upperdir=inner/upper,workdir=inner/work merged "
        "|| exit 99; "
        '"$1" convert "$2" --output merged/out --workers 1 --video copy --overwrite; '
        'code=$?; ls merged/out/meta/info.json; "$1" verify merged/out; '
        "cp -r merged/out merged/copy; "
        '"$1" convert "$2" --output merged/copy --workers 1 --video copy --overwrite || exit 98; '
        "exit $code"
    )
    done = shell(script, PIPERLINE, recording, tmp_path)
    if done.returncode == 99:
        pytest.skip("no overlayfs here")
    assert done.returncode == 5, done.stderr
    assert "error: a folder cannot be renamed" in done.stderr
    assert "in a container make a copy of the old one first" in done.stderr
    assert "merged/out/meta/info.json" in done.stdout
    assert tree(output) == before


def test_a_limit_of_file_size(tmp_path, recording):
    script = 'ulimit -f 4; "$1" convert "$2" --output "$3/dataset" --workers 1'
    done = shell(script, PIPERLINE, recording, tmp_path, mounts=False)
    assert done.returncode == 5, done.stderr
    assert "error: the file size limit is reached" in done.stderr
    assert "next:     raise the limit, `ulimit -f unlimited`" in done.stderr
    assert not (tmp_path / "dataset").exists()


def test_a_path_through_a_file(tmp_path, convert, recording):
    (tmp_path / "file").write_text("mine")
    code, _, err = convert(recording, "--output", tmp_path / "file" / "dataset")
    assert code == 5
    assert tree(tmp_path).keys() == {"file"}
    assert_golden(
        "errors/output_below_a_file", err.replace(str(tmp_path), "<dir>")
    )


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
@pytest.mark.parametrize("name", ["file", "folder"])
def test_what_piperline_did_not_make_is_kept(
    tmp_path, convert, recording, name, overwrite
):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("mine")
    before = tree(tmp_path)
    code, _, err = convert(recording, "--output", tmp_path / name, *overwrite)
    assert code == 5
    assert tree(tmp_path) == before
    assert_golden(
        "errors/output_of_others",
        err.replace(str(tmp_path / name), "<dir>/there"),
    )


def test_a_dataset_is_replaced_only_on_demand(tmp_path, convert, recording):
    output = tmp_path / "dataset"
    assert convert(recording, "--output", output, "--episodes", "0")[0] == 0
    before = tree(output)
    code, _, err = convert(recording, "--output", output)
    assert code == 5
    assert tree(output) == before
    assert_golden("errors/output_exists", err.replace(str(tmp_path), "<dir>"))
    assert convert(recording, "--output", output, "--overwrite")[0] == 0
    assert len(open_dataset(output)) == 2
    assert list(tmp_path.iterdir()) == [output]


def test_a_link_in_the_place_of_the_output(tmp_path, convert, recording):
    """Its name cannot be given to a dataset: that is told before anything is encoded."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    for more in ((), ("--overwrite",), ("--dry-run",)):
        code, out, err = convert(
            recording, "--output", tmp_path / "link", *more
        )
        assert (code, out) == (5, "")
        assert "found:    a link to elsewhere" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "elsewhere",
        "link",
    ]


@own_mounts
def test_a_mount_point_in_the_place_of_the_output(tmp_path, recording):
    script = (
        'mkdir "$3/m" && mount -t tmpfs tmpfs "$3/m" && '
        '"$1" convert "$2" --output "$3/m" --workers 1'
    )
    done = shell(script, PIPERLINE, recording, tmp_path)
    assert done.returncode == 5
    assert "found:    a mount point" in done.stderr


@pytest.mark.parametrize(
    "name", [".", "/", "", "new/..", os.fsdecode(b"a\xff")]
)
def test_an_output_without_a_name_of_its_own(
    tmp_path, convert, recording, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    for more in ((), ("--dry-run",)):
        code, _, err = convert(recording, "--output", name, *more)
        assert code == 2
        assert "no name of its own" in err
    assert list(tmp_path.iterdir()) == []


def test_what_was_staged_for_other_settings_makes_room(tmp_path, convert):
    broken = EPISODES["corrupt_image"](tmp_path)
    assert convert(broken.path, "--output", tmp_path / "out")[0] == 3
    kept = set((tmp_path / "out.work/episodes").iterdir())
    assert convert(broken.path, "--output", tmp_path / "out")[0] == 3
    assert set((tmp_path / "out.work/episodes").iterdir()) == kept
    assert (
        convert(broken.path, "--output", tmp_path / "out", "--resize", "32x24")[
            0
        ]
        == 3
    )
    assert not kept & set((tmp_path / "out.work/episodes").iterdir())


def test_a_file_system_without_hard_links(
    tmp_path, recording, convert, monkeypatch
):
    """As exFAT is, on many a USB disk."""
    assert convert(recording, "--output", tmp_path / "there")[0] == 0
    plan = plan_run([recording], make_job())

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    with staging_area(tmp_path / "here", plan) as staging:
        for episode in plan.episodes:
            staging.stage_episode(
                episode, plan.job, lambda _frames, _size: None
            )
        assemble(staging, plan, tmp_path / "here")
    assert tree(tmp_path / "here") == tree(tmp_path / "there")


@pytest.mark.parametrize("name", ["truncated_image", "length_zero"])
def test_a_dataset_is_not_replaced_by_a_run_that_fails(
    tmp_path, convert, recording, name
):
    output = tmp_path / "dataset"
    assert convert(recording, "--output", output)[0] == 0
    before = tree(output)
    bad = EPISODES[name](tmp_path)
    assert convert(bad.path, "--output", output, "--overwrite")[0] == 3
    assert tree(output) == before


def test_a_folder_in_the_place_of_the_staging_folder(
    tmp_path, convert, recording
):
    (tmp_path / "dataset.work").mkdir()
    (tmp_path / "dataset.work" / "thesis.txt").write_text("mine")
    code, _, err = convert(recording, "--output", tmp_path / "dataset")
    assert code == 5
    assert tree(tmp_path).keys() == {"dataset.work", "dataset.work/thesis.txt"}
    assert_golden(
        "errors/staging_of_others", err.replace(str(tmp_path), "<dir>")
    )


@own_mounts
def test_the_demo_needs_room(tmp_path):
    script = (
        'mount -t tmpfs -o size=50m tmpfs "$2" && "$1" demo "$2/demo"; '
        'code=$?; ls -A "$2"; exit $code'
    )
    done = shell(script, PIPERLINE, tmp_path)
    assert done.returncode == 5
    assert done.stdout == ""
    assert_golden(
        "errors/demo_without_room", done.stderr.replace(str(tmp_path), "<dir>")
    )
