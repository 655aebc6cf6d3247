"""sync: the same bytes as a conversion from nothing, and nothing of what stands encoded again."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from piperline.convert.job import Job, make_job
from piperline.convert.run import convert, refuse_recordings_inside
from piperline.convert.stage import locked_staging
from piperline.edits.numbers import Moment
from piperline.edits.plan import (
    DatasetEdit,
    EditPlan,
    EpisodeEdit,
    fingerprint,
)
from piperline.errors import (
    DatasetError,
    OutputExists,
    RecordingError,
    UsageError,
)
from piperline.lerobot.dataset import open_dataset
from piperline.lerobot.histograms import HISTOGRAMS
from piperline.lerobot.info import PROVENANCE
from piperline.seal.seal import SEAL, write_seal
from piperline.sync import Changes, SyncOptions, preview, sync
from piperline.sync import run as sync_run
from piperline.sync.run import Workers
from piperline.verify.verify import VerifyOptions, verify
from piperline.video.decoder import decode
from tests.helpers.crash_points import InThisProcess, one_camera
from tests.helpers.recordings import read_code, write_piper
from tests.helpers.trees import tree

Counts = tuple[int, int, int, int, int]


class Site:
    """Recordings, and the dataset that is kept in step with them."""

    def __init__(self, folder: Path, job: Job) -> None:
        self.folder, self.job = folder, job
        self.data, self.out = folder / "data", folder / "out"
        self.data.mkdir()

    def record(self, name: str, number: int, *lengths: int) -> Path:
        """A recording whose frames carry the numbers of its episodes, from `number` on."""
        return write_piper(
            self.data / f"{name}.hdf5",
            episodes=len(lengths),
            first=number,
            lengths=list(lengths),
            names=[f"episode_{place}" for place in range(len(lengths))],
        )

    def convert(self, target: Path | None = None, **options: Any) -> Path:
        made = convert(
            self.data,
            target or self.out,
            self.job,
            pool=InThisProcess(),  # type: ignore[arg-type]
            **options,
        )
        return made.output

    def sync(self, **options: Any) -> Counts:
        result = sync(self.data, self.out, self.options(**options))
        return counts(result.changes)

    def options(self, **options: Any) -> SyncOptions:
        pool = cast("Workers", InThisProcess())
        return SyncOptions(pool=pool, **options)

    def from_nothing(self, **options: Any) -> dict[str, str]:
        """The files of a conversion of the recordings as they are."""
        target = self.folder / "anew"
        shutil.rmtree(target, ignore_errors=True)
        return tree(self.convert(target, **options))


def counts(changes: Changes) -> Counts:
    return (
        changes.new,
        changes.changed,
        changes.gone,
        changes.missing,
        changes.taken,
    )


@pytest.fixture
def site(tmp_path):
    """Three recordings and their dataset, of one camera."""
    made = Site(tmp_path, make_job(layout=one_camera(), video="copy"))
    for number, name in enumerate("bdf"):
        made.record(name, number, 4)
    made.convert()
    return made


@pytest.mark.parametrize("format_", ["v2.1", "v3.0"])
@pytest.mark.parametrize("video", ["h264", "copy"])
def test_every_change_gives_what_a_conversion_gives(tmp_path, format_, video):
    # in v3.0 a video file holds two or three episodes
    job = make_job(format=format_, video=video, video_mb=0.025)
    site = Site(tmp_path, job)
    site.record("b", 0, 12, 13)
    site.record("d", 2, 12)
    site.record("f", 3, 12, 14)
    site.convert()

    site.record("g", 5, 12)  # at the end
    assert site.sync() == (1, 0, 0, 0, 5)
    assert tree(site.out) == site.from_nothing()

    site.record("a", 6, 11)  # at the start, in the middle
    site.record("c", 7, 10)
    (site.data / "f.hdf5").unlink()
    site.record("d", 8, 15)
    assert site.sync() == (2, 1, 2, 0, 3)
    assert tree(site.out) == site.from_nothing()

    report = verify(site.out, VerifyOptions(sources=[site.data]))
    assert report.verdict == "verified"
    numbers = [6, 0, 1, 7, 8, 5]
    dataset = open_dataset(site.out)
    for episode, number in zip(dataset, numbers, strict=True):
        for camera, clip in enumerate(episode.clips.values()):
            codes = [read_code(frame) for frame in decode(clip.path)]
            wanted = [(number, camera, frame) for frame in range(clip.count)]
            assert codes[clip.first :][: clip.count] == wanted


def test_another_order_of_the_recordings_encodes_nothing(site):
    inputs = [site.data / f"{name}.hdf5" for name in "fbd"]
    result = sync(inputs, site.out, site.options())
    assert counts(result.changes) == (0, 0, 0, 0, 3)
    convert(
        inputs,
        site.folder / "anew",
        site.job,
        pool=InThisProcess(),  # type: ignore[arg-type]
    )
    assert tree(site.out) == tree(site.folder / "anew")


@pytest.mark.parametrize(
    ("format_", "video"), [("v2.1", "copy"), ("v3.0", "h264")]
)
def test_old_videos_are_links(tmp_path, format_, video):
    # in v3.0 a video file holds two episodes
    job = make_job(
        layout=one_camera(), video=video, format=format_, video_mb=0.006
    )
    site = Site(tmp_path, job)
    for number in range(4):
        site.record(f"r{number}", number, 12)
    site.convert()

    def files() -> dict[str, int]:
        videos = sorted(site.out.glob("videos/**/*.mp4"))
        return {path.name: path.stat().st_ino for path in videos}

    before = files()
    site.record("s", 4, 12)
    site.sync()
    after = files()
    kept = [name for name in before if after[name] == before[name]]
    # of v3.0 the last file is longer now
    assert len(kept) == len(before) - (format_ == "v3.0")
    assert len(before) > 1
    assert tree(site.out) == site.from_nothing()


@pytest.mark.parametrize("data_mb", [0.03, 100])
def test_of_v30_only_the_last_files_are_written(tmp_path, data_mb):
    # rows of the episode table are written 64 at a time
    job = make_job(
        layout=one_camera(),
        video="copy",
        format="v3.0",
        video_mb=0.01,
        data_mb=data_mb,
    )
    site = Site(tmp_path, job)
    site.record("a", 0, *[2] * 70)
    site.convert()

    def files(pattern: str) -> dict[str, int]:
        found = sorted(site.out.glob(pattern))
        return {str(path): path.stat().st_ino for path in found}

    patterns = ("data/**/*.pa*", "meta/episodes/**/*.pa*", "videos/**/*.mp4")
    before = list(map(files, patterns))
    site.record("b", 70, 2, 3)
    assert site.sync() == (2, 0, 0, 0, 70)
    after = list(map(files, patterns))
    assert tree(site.out) == site.from_nothing()
    for old, new in zip(before, after, strict=True):
        assert len(old) > 1 or data_mb > 1
        kept = [name for name in old if new[name] == old[name]]
        assert kept == list(old)[:-1]

    # the last of those that were there leaves, and others come behind them
    (site.data / "b.hdf5").unlink()
    site.record("c", 72, 3)
    assert site.sync() == (1, 0, 2, 0, 70)
    assert tree(site.out) == site.from_nothing()


@pytest.mark.parametrize("format_", ["v2.1", "v3.0"])
def test_what_another_arrow_wrote_is_written_anew(tmp_path, format_):
    job = make_job(layout=one_camera(), video="copy", format=format_)
    site = Site(tmp_path, job)
    site.record("a", 0, *[2] * 65)
    site.convert()
    for path in (*site.out.rglob("*.parquet"), site.out / HISTOGRAMS):
        pq.write_table(pq.read_table(path), path, write_page_index=True)
    write_seal(site.out)
    site.record("b", 65, 3)
    assert site.sync() == (1, 0, 0, 0, 65)
    assert tree(site.out) == site.from_nothing()


def test_what_is_in_step_is_left_alone_and_no_recording_is_opened(site):
    before = tree(site.folder)
    recording = site.data / "d.hdf5"
    stat, whole = recording.stat(), recording.read_bytes()
    recording.write_bytes(bytes(stat.st_size))  # it could not be read
    os.utime(recording, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    result = sync(site.data, site.out, site.options())
    assert (result.up_to_date, result.episodes, result.frames) == (True, 3, 12)
    recording.write_bytes(whole)
    assert tree(site.folder) == before


def test_a_preview_counts_and_writes_nothing(site):
    site.record("a", 3, 4)
    site.record("d", 4, 5)
    (site.data / "f.hdf5").unlink()
    before = tree(site.folder)
    seen = preview(site.data, site.out, site.options())
    assert counts(seen) == (1, 1, 1, 0, 1)
    assert tree(site.folder) == before


def test_episodes_without_recordings_stay_as_long_as_that_is_asked(site):
    (site.data / "d.hdf5").unlink()
    assert site.sync(keep_missing=True) == (0, 0, 0, 1, 2)
    site.record("c", 3, 4)
    site.record("e", 4, 4)
    assert site.sync(keep_missing=True) == (2, 0, 0, 1, 2)
    entries = json.loads((site.out / PROVENANCE).read_text())["episodes"]
    told = [(each["source"], each.get("missing", False)) for each in entries]
    assert told == [
        ("data/b.hdf5", False),
        ("data/d.hdf5", True),
        ("data/c.hdf5", False),
        ("data/e.hdf5", False),
        ("data/f.hdf5", False),
    ]
    assert verify(site.out).verdict == "verified"
    assert sync(site.data, site.out, site.options(keep_missing=True)).up_to_date
    assert site.sync() == (0, 0, 1, 0, 4)
    assert tree(site.out) == site.from_nothing()


def test_a_recording_that_comes_back_is_taken_over(site):
    recording = site.data / "d.hdf5"
    recording.rename(site.folder / "d.hdf5")
    site.sync(keep_missing=True)
    (site.folder / "d.hdf5").rename(recording)
    assert site.sync() == (0, 0, 0, 0, 3)
    assert tree(site.out) == site.from_nothing()


def edit_of(path: Path, name: str, **changes: Any) -> tuple[str, EpisodeEdit]:
    source, stat = f"{path.parent.name}/{path.name}", path.stat()
    made_of = fingerprint(source, stat.st_size, stat.st_mtime_ns, name)
    return f"{source}:{name}", EpisodeEdit(made_of=made_of, **changes)


def planned(
    folder: Path, *, job: Mapping[str, Any] | None = None, **dataset: Any
) -> tuple[Site, EditPlan]:
    """Recordings, and a plan for them that a conversion carried out."""
    how = job or {"video": "copy"}
    site = Site(folder, make_job(task="in general", **how))
    one, two = site.record("b", 0, 8, 8), site.record("d", 2, 8)
    edits = (
        edit_of(one, "episode_0", drop=True, reason="too slow"),
        edit_of(
            one,
            "episode_1",
            start=Moment(2),
            stop=Moment(7),
            instruction="other words",
        ),
        edit_of(two, "episode_0", cuts=(Moment(3),)),
    )
    plan = EditPlan(dict(edits), dataset=DatasetEdit(**dataset))
    site.convert(edits=plan)
    return site, plan


def test_a_plan_goes_on_applying(tmp_path):
    site, plan = planned(tmp_path, drop_cameras=("left_wrist",))
    site.record("a", 3, 6)
    assert site.sync() == (1, 0, 0, 0, 3)
    assert tree(site.out) == site.from_nothing(edits=plan)
    assert sync(site.data, site.out, site.options()).up_to_date
    (site.data / "d.hdf5").unlink()  # the plan names its episode
    assert site.sync(keep_missing=True) == (0, 0, 0, 2, 2)
    assert site.sync() == (0, 0, 2, 0, 2)
    before = tree(site.out)
    site.record("d", 4, 9)
    with pytest.raises(RecordingError, match="since the plan was made") as told:
        site.sync()
    assert "episode_0" in str(told.value)
    assert tree(site.out) == before


@pytest.mark.parametrize("format_", ["v2.1", "v3.0"])
@pytest.mark.parametrize("video", ["copy", "h264"])
def test_a_plan_for_the_whole_dataset_goes_on_applying(
    tmp_path, format_, video
):
    job = {"format": format_, "video": video}
    site, plan = planned(
        tmp_path, job=job, rename_cameras={"mid": "top"}, every=2
    )
    site.record("a", 3, 6)
    assert site.sync() == (1, 0, 0, 0, 3)
    assert tree(site.out) == site.from_nothing(edits=plan)
    assert sync(site.data, site.out, site.options()).up_to_date
    site.record("e", 4, 9)
    assert site.sync() == (1, 0, 0, 0, 4)
    assert tree(site.out) == site.from_nothing(edits=plan)
    (site.data / "a.hdf5").unlink()
    assert site.sync()[2] == 1
    assert tree(site.out) == site.from_nothing(edits=plan)


def test_episodes_that_were_chosen_are_chosen_again(tmp_path):
    site = Site(tmp_path, make_job(layout=one_camera(), video="copy"))
    for number, name in enumerate("bdf"):
        site.record(name, number, 4, 4)
    site.convert(episodes="0:3")
    site.record("a", 6, 4)
    assert site.sync() == (1, 0, 1, 0, 2)
    assert tree(site.out) == site.from_nothing(episodes="0:3")
    assert sync(site.data, site.out, site.options()).up_to_date


def test_what_is_bad_stops_it_or_is_left_out_until_it_changes(site):
    (site.data / "e.hdf5").write_bytes(b"no recording")
    before = tree(site.folder)
    with pytest.raises(RecordingError, match=r"e\.hdf5"):
        site.sync()
    assert tree(site.folder) == before
    assert site.sync(skip_bad=True) == (0, 0, 0, 0, 3)
    assert tree(site.out) == site.from_nothing(skip_bad=True)
    assert sync(site.data, site.out, site.options()).up_to_date
    site.record("e", 3, 4)
    assert site.sync() == (1, 0, 0, 0, 3)
    assert tree(site.out) == site.from_nothing()


def test_an_image_that_cannot_be_decoded_is_found_while_it_is_encoded(site):
    path = site.record("e", 3, 6)
    with h5py.File(path, "r+") as file:
        file["episode_0/image_mid"][3] = np.zeros(50, dtype=np.uint8)
    with pytest.raises(RecordingError):
        site.sync()
    assert site.sync(skip_bad=True) == (0, 0, 0, 0, 3)
    assert tree(site.out) == site.from_nothing(skip_bad=True)


def test_what_was_encoded_is_used_after_a_kill(site, monkeypatch):
    site.record("c", 3, 4)
    site.record("e", 4, 4)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(sync_run, "assemble", killed)
        with pytest.raises(KeyboardInterrupt):
            site.sync()
    result = sync(site.data, site.out, site.options())
    assert (result.reused, counts(result.changes)) == (2, (2, 0, 0, 0, 3))
    assert tree(site.out) == site.from_nothing()
    assert sorted(path.name for path in site.folder.iterdir()) == [
        "anew",
        "data",
        "out",
    ]


def test_two_at_once_are_told_apart(site):
    site.record("c", 3, 4)
    with locked_staging(site.out), pytest.raises(OutputExists, match="at work"):
        site.sync()
    site.sync()
    assert tree(site.out) == site.from_nothing()


def test_a_dataset_that_another_sync_has_just_made_is_looked_at_again(
    site, monkeypatch
):
    site.record("c", 3, 4)

    def after_another(output: Path) -> Any:
        monkeypatch.setattr(sync_run, "locked_staging", locked_staging)
        sync(site.data, output, site.options())
        return locked_staging(output)

    monkeypatch.setattr(sync_run, "locked_staging", after_another)
    assert site.sync() == (0, 0, 0, 0, 4)
    assert tree(site.out) == site.from_nothing()


def test_a_dataset_of_another_version_is_encoded_again(site):
    record = json.loads((site.out / PROVENANCE).read_text())
    record["encoded_by"] = "PyAV of yesterday"
    (site.out / PROVENANCE).write_text(json.dumps(record))
    write_seal(site.out)
    result = sync(site.data, site.out, site.options())
    assert counts(result.changes) == (0, 3, 0, 0, 0)
    assert "another version" in result.notes[0]
    assert tree(site.out) == site.from_nothing()


def remove_record(root: Path) -> None:
    (root / PROVENANCE).unlink()


def change_record(root: Path, **values: Any) -> None:
    record = json.loads((root / PROVENANCE).read_text())
    (root / PROVENANCE).write_text(json.dumps({**record, **values}))


def older_record(root: Path) -> None:
    record = json.loads((root / PROVENANCE).read_text())
    del record["encoded_by"]
    (root / PROVENANCE).write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (shutil.rmtree, "no dataset to keep in step"),
        (remove_record, "does not tell what it was made of"),
        (older_record, "does not tell how it was made"),
        (
            lambda root: change_record(root, edited=[{"applied_to": 1}]),
            "edited",
        ),
        (lambda root: change_record(root, layout={}), "how it was made"),
        (
            lambda root: change_record(root, recorded_fps="fast"),
            "how it was made",
        ),
        (lambda root: change_record(root, episodes=[]), "made of"),
        (lambda root: change_record(root, episodes=[{}]), "made of"),
        (
            lambda root: (root / PROVENANCE).write_text("[" * 100_000),
            "made of",
        ),
        (lambda root: (root / PROVENANCE).write_text("[]"), "made of"),
        (lambda root: (root / SEAL).unlink(), "no seal"),
        (
            lambda root: (root / "README.md").write_text("my own words"),
            r"README\.md",
        ),
        (lambda root: (root / "notes.txt").write_text("mine"), r"notes\.txt"),
        (
            lambda root: next(root.glob("videos/**/*.mp4")).unlink(),
            r"episode_00000.\.mp4",
        ),
        (
            lambda root: next(root.glob("videos/**/*.mp4")).write_bytes(b""),
            r"episode_00000.\.mp4",
        ),
    ],
)
def test_what_cannot_be_kept_in_step_is_refused_untouched(site, spoil, told):
    site.record("c", 3, 4)
    spoil(site.out)
    before = tree(site.out)
    with pytest.raises((DatasetError, OutputExists), match=told):
        site.sync()
    assert tree(site.out) == before


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.unlink()  # a link may share it
    path.write_bytes(bytes(data))


def test_damage_is_never_sealed_as_good(site):
    video = site.out / "videos/chunk-000/observation.images.mid"
    flip(video / "episode_000000.mp4", -9)
    flip(video / "episode_000001.mp4", -9)
    site.record("c", 3, 4)  # another place for the second
    site.sync()
    report = verify(site.out)
    assert report.verdict != "verified"
    found = "\n".join(report.lines())
    for index in (0, 2):
        assert f"episode_{index:06d}.mp4" in found


def test_damaged_rows_are_refused(site):
    path = site.out / "data/chunk-000/episode_000001.parquet"
    data = path.read_bytes()
    values = open_dataset(site.out).episode(1).table["action"][0].as_py()
    at = data.index(np.array(values, dtype=np.float32).tobytes()[:8])
    flip(path, at + 1)
    site.record("g", 3, 4)
    with pytest.raises(OutputExists, match="did not write into it") as told:
        site.sync()
    assert "episode_000001.parquet" in str(told.value)


def test_damage_of_a_file_that_is_written_anew_is_refused(tmp_path):
    site = Site(
        tmp_path, make_job(layout=one_camera(), video="copy", format="v3.0")
    )
    site.record("b", 0, 6, 6)
    site.convert()
    flip(next(site.out.glob("videos/**/*.mp4")), -9)
    site.record("c", 2, 6)
    with pytest.raises(DatasetError, match="has changed since"):
        site.sync()


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("part", ["data", "videos"])
def test_a_file_of_the_dataset_that_is_missing_is_told(tmp_path, version, part):
    options = {"format": version, "data_mb": 0.001, "video_mb": 0.001}
    job = make_job(layout=one_camera(), video="copy", **options)
    site = Site(tmp_path, job)
    site.record("b", 0, 6, 6, 6, 6)
    site.convert()
    below = (site.out / part).rglob("*")
    missing = max(path for path in below if path.is_file())
    missing.unlink()
    before = tree(site.out)
    site.record("c", 4, 6)
    with pytest.raises(DatasetError, match="missing") as caught:
        site.sync()
    assert str(missing) in str(caught.value)
    assert tree(site.out) == before


def test_recordings_that_are_not_there_change_nothing(site):
    before = tree(site.out)
    for path in site.data.iterdir():
        path.unlink()
    with pytest.raises(RecordingError, match="no HDF5 files"):
        site.sync()
    with pytest.raises(RecordingError, match="no such file"):
        sync(site.folder / "nowhere", site.out, site.options())
    assert tree(site.out) == before


@pytest.mark.parametrize("output", [".", "/", ".."])
def test_a_dataset_that_is_named_without_its_name_is_refused(
    site, output, monkeypatch
):
    monkeypatch.chdir(site.out)
    before = tree(site.folder)
    for run in (sync, preview):
        with pytest.raises(UsageError, match="has no name of its own"):
            run(site.data, Path(output), site.options())
    assert tree(site.folder) == before


def test_recordings_in_the_dataset_are_refused(site):
    shutil.copy(site.data / "b.hdf5", site.out)
    before = tree(site.out)
    with pytest.raises(UsageError, match="recordings lie in the output"):
        sync(site.out, site.out, site.options())
    assert tree(site.out) == before


def test_a_link_into_the_dataset_beside_other_recordings_is_refused(site):
    shutil.copy(site.data / "b.hdf5", site.out)
    (site.data / "z_link.hdf5").symlink_to(site.out / "b.hdf5")
    before = tree(site.out)
    with pytest.raises(UsageError, match="recordings lie in the output"):
        site.sync()
    assert tree(site.out) == before


def test_recordings_in_the_dataset_are_refused_behind_a_link_to_elsewhere(
    site,
):
    shutil.copy(site.data / "b.hdf5", site.out)
    (site.out / "a_link.hdf5").symlink_to(site.data / "b.hdf5")
    found = [(site.out / name, name) for name in ("a_link.hdf5", "b.hdf5")]
    refuse_recordings_inside(found[:1], site.out)
    with pytest.raises(UsageError, match="recordings lie in the output"):
        refuse_recordings_inside(found, site.out)


def test_all_that_is_left_is_bad(site):
    for path in site.data.iterdir():
        path.write_bytes(b"no recording")
    before = tree(site.out)
    with pytest.raises(RecordingError):
        site.sync(skip_bad=True)
    assert tree(site.out) == before


@pytest.mark.parametrize("format_", ["v2.1", "v3.0"])
def test_what_was_looked_at_is_still_told(tmp_path, format_):
    site = Site(
        tmp_path,
        make_job(
            layout=one_camera(), video="copy", format=format_, verify=True
        ),
    )
    site.record("b", 0, 6, 7)
    site.convert()
    site.record("a", 2, 5)
    assert site.sync() == (1, 0, 0, 0, 2)
    assert tree(site.out) == site.from_nothing()
    told = verify(site.out).when_made
    assert told is not None
    assert (told["packets"], "looked_at" in told) == (18, False)


def test_settings_that_a_conversion_was_given_are_those_of_a_sync(tmp_path):
    job = make_job(
        layout=one_camera(),
        task="in general",
        robot_type="two arms",
        license="cc-by-4.0",
        resize=(32, 24),
        groot=False,
    )
    site = Site(tmp_path, replace(job, data_mb=1))
    site.record("b", 0, 20)
    site.convert()
    site.record("c", 1, 20)
    assert site.sync() == (1, 0, 0, 0, 1)
    assert tree(site.out) == site.from_nothing()
