"""Staging: encoded episodes beside the output, each complete or to be made again.

OUT.work/plan.json         what the run does
OUT.work/published         which folder got the output's name, should the run end before this goes
OUT.work/episodes/<key>/   an episode; complete when its record is there (see `episode_folder`)
OUT.work/dataset-*/        the dataset while it is put together
OUT.work/shard_world_*/    the shards of a conversion on SLURM
"""

import contextlib
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from piperline.convert.edits import images_of, vectors_of
from piperline.convert.encode import encode_camera, episode_table
from piperline.convert.episode_folder import RECORD, EpisodeFolder
from piperline.convert.job import Job
from piperline.convert.plan import Plan, PlannedEpisode
from piperline.episode import Clip, EncodedEpisode
from piperline.errors import (
    BadEpisode,
    RecordingError,
    TaskFailed,
    VideoError,
)
from piperline.files import (
    make_below,
    remove,
    sweep_removed,
    write_whole,
)
from piperline.output.publish import restore_replaced
from piperline.output.workspace import remove_workspace, workspace
from piperline.recordings.recorded_episode import Episode
from piperline.recordings.recording import Recording
from piperline.signals.camera import CameraMeter, CameraSignals
from piperline.signals.episode import (
    EpisodeSignals,
    load_signals,
    save_signals,
)
from piperline.signals.recorded import measured_cameras, signals_of
from piperline.stats import FeatureStats

Progress = Callable[[int, int], None]

PLAN = "plan.json"
NAMES = (PLAN, "published", "episodes", "dataset-*", "shard-*", "shard_world_*")
"""What lies in a staging folder, as patterns."""


def work_folder(output: Path) -> Path:
    """Where the run that makes `output` keeps what is done."""
    return output.with_name(output.name + ".work")


class Staging:
    """The folder in which a run keeps what is done.

    Args:
        root: `OUT.work`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.plan_file = root / PLAN
        self._noted: Plan | None = None
        self.published_file = root / "published"
        self.lock_file = root / "lock"

    @property
    def _episodes(self) -> Path:
        return self.root / "episodes"

    def names(self) -> frozenset[str]:
        """The keys of the episodes that have a record, without a look inside."""
        return frozenset(
            path.parent.name for path in self._episodes.glob(f"*/{RECORD}")
        )

    def discard(self, key: str) -> None:
        """Remove a damaged episode, so that it is made again."""
        shutil.rmtree(self._folder(key).path, ignore_errors=True)

    def begin(self, plan: Plan) -> None:
        """Take down the plan; what was staged for others is removed.

        So is what a process that was killed had put together of its dataset.
        """
        self.note_plan(plan)
        self.keep_only({episode.key for episode in plan.episodes})
        for path in self.root.glob("dataset-*"):
            remove(path)

    def note_plan(self, plan: Plan) -> None:
        """Take down the plan, unless it is the one that this has just taken down."""
        if plan is not self._noted:
            write_whole(self.plan_file, plan.to_json())
            self._noted = plan

    def keep_only(self, keys: Collection[str]) -> None:
        """Remove what was staged for other settings, or of recordings that have changed."""
        for path in self._episodes.glob("*"):
            if path.name not in keys:
                self.discard(path.name)

    def clear(self) -> None:
        """Remove every staged episode."""
        shutil.rmtree(self._episodes, ignore_errors=True)

    def remove(self) -> None:
        """Remove it, in one step for whoever still works in it, but not what a user put there."""
        remove_workspace(self.root, NAMES)

    def load(self, key: str) -> EncodedEpisode | None:
        """A staged episode; None where it is not complete."""
        return self._folder(key).load()

    def is_staged(self, episode: PlannedEpisode) -> bool:
        """Whether an episode is complete, with as many rows as planned; its rows are not read."""
        return self._folder(episode.key).is_complete(episode.length)

    def signals(self, key: str) -> EpisodeSignals | None:
        """What was measured of an episode; None where it was not, or not all of it."""
        return load_signals(self._folder(key).signals_file())

    def stage_camera(
        self,
        episode: PlannedEpisode,
        job: Job,
        camera: str,
        progress: Progress,
        *,
        measured: bool = False,
    ) -> None:
        """Encode one camera of an episode, unless that is done.

        Args:
            episode: what is planned.
            job: how.
            camera: its name.
            progress: told how much is done.
            measured: keep the signals of its images too, where they are decoded for the video.

        Raises:
            BadEpisode: an image is damaged, or the file has changed since the run was planned.
            VideoError: the encoder fails.
            TaskFailed: the staging folder was removed meanwhile.
        """
        folder = self._folder(episode.key)
        if folder.has_video(camera):
            return

        def encode(path: Path) -> tuple[Clip, FeatureStats]:
            with Recording(episode.file, job.layout) as recording:
                _check_unchanged(episode, recording)
                stream = images_of(
                    recording.episode(episode.name), episode, camera
                )
                header = episode.cameras[camera]
                wanted = measured and decodes_all(episode, job)
                meter = (
                    CameraMeter(header.height, header.width)
                    if wanted and header.depth is None
                    else None
                )
                fps = job.settings.fps // episode.frames.step
                settings = replace(job.settings, fps=fps)
                made = encode_camera(
                    stream, header, settings, path, progress, meter=meter
                )
            if meter:
                folder.add_signals(camera, meter.result())
            return made

        with self._while_it_exists(episode):
            make_below(self.root, folder.path)
            try:
                folder.add_video(camera, encode)
            except VideoError as error:
                error.place = replace(episode.place, camera=camera)
                raise

    def stage_episode(
        self,
        episode: PlannedEpisode,
        job: Job,
        progress: Progress,
        *,
        measured: bool = False,
    ) -> None:
        """Encode an episode, or what is left to do of it.

        Args:
            episode: what is planned.
            job: how.
            progress: told how much is done.
            measured: keep its signals too.

        Raises:
            BadEpisode: it cannot be converted, or the file has changed since the run was planned.
            VideoError: the encoder fails.
            TaskFailed: the staging folder was removed meanwhile.
        """
        if not self.is_staged(episode):
            self._complete(episode, job, progress, measured=measured)
        if measured:
            self._measure(episode, job)

    def _complete(
        self,
        episode: PlannedEpisode,
        job: Job,
        progress: Progress,
        *,
        measured: bool,
    ) -> None:
        # Cameras first, as several workers do it: of several errors the same one is told.
        for camera in episode.cameras:
            self.stage_camera(episode, job, camera, progress, measured=measured)
        with Recording(episode.file, job.layout) as recording:
            _check_unchanged(episode, recording)
            vectors = vectors_of(recording.episode(episode.name), episode)
        fps = job.settings.fps // episode.frames.step
        table = episode_table(vectors, episode.length, fps)
        folder = self._folder(episode.key)
        with self._while_it_exists(episode):
            make_below(self.root, folder.path)
            spans = episode.spans or ((0, episode.task),)
            folder.complete(table, list(episode.cameras), spans)

    def _measure(self, episode: PlannedEpisode, job: Job) -> None:
        """Keep the signals of an episode; what a review cannot read is not looked at."""
        folder = self._folder(episode.key)
        try:
            with Recording(episode.file, job.layout) as recording:
                _check_unchanged(episode, recording)
                recorded = recording.episode(episode.name)
                known = _measured_cameras(episode, recorded, job, folder)
                signals = signals_of(recorded, known)
        except RecordingError:
            return
        with self._while_it_exists(episode):
            save_signals(folder.signals_file(), signals)

    @contextlib.contextmanager
    def _while_it_exists(self, episode: PlannedEpisode) -> Iterator[None]:
        """Tell it as such if the root goes: another attempt at the same work has ended."""
        try:
            yield
        except (OSError, VideoError) as error:
            if self.root.is_dir():
                raise
            raise TaskFailed(
                "the staging folder was removed while this worked in it",
                place=episode.place,
                expected="the staging folder, which stays until the output is made",
                found=f"no folder {self.root}",
                next_step="see whether another run has made the output; if not, run this again",
            ) from error

    def _folder(self, key: str) -> EpisodeFolder:
        return EpisodeFolder(self._episodes / key)


def decodes_all(episode: PlannedEpisode, job: Job) -> bool:
    """Whether all pictures are decoded: what is copied as it is recorded is not looked at."""
    packets = [camera.packets for camera in episode.cameras.values()]
    return job.settings.video.codec is not None and not any(packets)


def _measured_cameras(
    episode: PlannedEpisode, recorded: Episode, job: Job, folder: EpisodeFolder
) -> Mapping[str, CameraSignals]:
    """The signals of the cameras: as kept, or measured where an earlier run did not.

    There are none where not all pictures are decoded.
    """
    if not decodes_all(episode, job):
        return {}
    pictures = [name for name, c in episode.cameras.items() if c.depth is None]
    kept = {
        camera: signals
        for camera in pictures
        if (signals := folder.signals_of(camera)) is not None
    }
    if len(kept) == len(pictures):
        return kept
    found = measured_cameras(recorded, job.layout, swapped=episode.swapped)
    return {camera: found[camera] for camera in pictures}


def _check_unchanged(episode: PlannedEpisode, recording: Recording) -> None:
    stat = episode.file.stat()
    if (stat.st_size, stat.st_mtime_ns) != (episode.size, episode.mtime_ns):
        raise BadEpisode(
            "the recording has changed since the run was planned",
            place=episode.place,
            expected=f"{episode.size} bytes",
            found=f"{stat.st_size} bytes, or another time of change",
            next_step="run the same command again when nothing writes to it any more",
        )
    told = episode.beside
    found = recording.episode(episode.name)
    if told.frames and found.beside(told.frames) != told:
        raise BadEpisode(
            "image files beside the recording have changed since the run was planned",
            place=episode.place,
            expected="the same names, sizes and times of change",
            found="others",
            next_step="run the same command again when nothing writes to them any more",
        )


@contextlib.contextmanager
def locked_staging(output: Path, root: Path | None = None) -> Iterator[Staging]:
    """The staging folder of `output`, for this process alone.

    Args:
        output: what is made with it; a replacement of it that was killed is finished.
        root: another folder than `OUT.work`.

    Raises:
        OutputExists: piperline did not make the folder, or another process is at work in it.
        OutputError: it cannot be written.
    """
    staging = Staging(root or work_folder(output))
    sweep_removed(staging.root)
    with workspace(staging.root, output, NAMES):
        restore_replaced(staging.root, output)
        yield staging


@contextlib.contextmanager
def staging_area(
    output: Path, plan: Plan, *, root: Path | None = None, resume: bool = True
) -> Iterator[Staging]:
    """The staging folder of `output`, for this process alone, with the plan in it.

    Args:
        output: what is made with it.
        plan: what the run does. Staged episodes of other keys are removed.
        root: another folder than `OUT.work`.
        resume: keep the episodes that an earlier run has staged.

    Raises:
        OutputExists: piperline did not make the folder, or another process is at work in it.
        OutputError: it cannot be written.
    """
    with locked_staging(output, root) as staging:
        if not resume:
            staging.clear()
        staging.begin(plan)
        yield staging
