"""Staging: encoded episodes beside the output, each there whole or not at all.

    OUT.work/plan.json                        what the run does
    OUT.work/published                        which folder got the output's name, should the run end before this goes
    OUT.work/pieces/<key>/<camera>.mp4|json   cameras of episodes that are under way
    OUT.work/episodes/<key>/                  an episode, complete: it appears by one rename
    OUT.work/dataset-*/                       the dataset while it is put together

Several processes, also on several machines, may stage the same episode: their bytes are equal, every temporary
name is their own, and the first rename stands.
"""

import contextlib
import fcntl
import json
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

from piperline.convert.edits import images_of, vectors_of
from piperline.convert.encode import encode_camera, episode_table
from piperline.convert.job import Job
from piperline.convert.plan import Plan, PlannedEpisode
from piperline.episode import (
    Clip,
    EncodedEpisode,
    clip_record,
    load_clip,
    load_episode,
    save_episode,
)
from piperline.errors import BadEpisode, OutputExists, Place, VideoError, output_error
from piperline.features import camera_key
from piperline.files import (
    link_or_copy,
    make_below,
    own_name,
    remove_tree,
    sweep_removed,
    sync,
    write_whole,
)
from piperline.recordings.recording import Recording
from piperline.stats import FeatureStats

Progress = Callable[[int, int], None]

PLAN = "plan.json"


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
        self.published_file = root / "published"
        self.lock_file = root / "lock"

    def names(self) -> frozenset[str]:
        """The keys of the episodes that are there, without a look inside."""
        try:
            return frozenset(path.name for path in (self.root / "episodes").iterdir())
        except FileNotFoundError:
            return frozenset()

    def discard(self, key: str) -> None:
        """Remove a staged episode that has come to harm, so that it is made again."""
        shutil.rmtree(self._episode(key), ignore_errors=True)

    def keep_only(self, keys: Collection[str]) -> None:
        """Remove what was staged for other settings, or of recordings that have changed: it is not used again."""
        for folder in (self.root / "episodes", self.root / "pieces"):
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.name.rpartition(".")[2] not in keys:
                    shutil.rmtree(path, ignore_errors=True)

    def remove(self) -> None:
        """Remove all of it, in one step for whoever still works in it."""
        remove_tree(self.root)

    def is_foreign(self) -> bool:
        """Whether there is a folder in its place that piperline did not make."""
        if self.plan_file.exists() or self.published_file.exists() or not self.root.exists():
            return False
        unfinished = f".{PLAN}.tmp-"  # a run was killed before it had written its plan
        return any(
            path != self.lock_file and not path.name.startswith(unfinished)
            for path in self.root.iterdir()
        )

    def load(self, key: str) -> EncodedEpisode | None:
        """A staged episode; None where it is not there whole."""
        return load_episode(self._episode(key))

    def is_staged(self, episode: PlannedEpisode) -> bool:
        """Whether an episode is there whole, with as many rows as planned."""
        staged = self.load(episode.key)
        return staged is not None and staged.length == episode.length

    def stage_camera(
        self, episode: PlannedEpisode, job: Job, camera: str, progress: Progress
    ) -> None:
        """Encode one camera of an episode, unless that is done.

        Raises:
            BadEpisode: an image is damaged, or the file has changed since the run was planned.
            VideoError: the encoder fails.
        """
        with self._unless_staged(episode):
            self._stage_camera(episode, job, camera, progress)

    def _stage_camera(
        self, episode: PlannedEpisode, job: Job, camera: str, progress: Progress
    ) -> None:
        if self._piece(episode, camera) is not None:
            return
        folder = self._made(self._pieces(episode.key))
        own = folder / f"{own_name()}.{camera}"
        try:
            with Recording(episode.file, job.layout) as recording:
                _unchanged(episode)
                stream = images_of(recording.episode(episode.name), episode, camera)
                try:
                    made = encode_camera(
                        stream,
                        episode.cameras[camera],
                        job.settings,
                        own.with_suffix(".mp4"),
                        progress,
                    )
                except VideoError as error:
                    error.place = replace(episode.place, camera=camera)
                    raise
            clip, stats = made
            sync(clip.path)
            final = folder / f"{camera}.mp4"
            clip.path.replace(final)
            record = clip_record(Clip(final, 0, clip.count, clip.info), stats) | {
                "size": final.stat().st_size
            }
            own.write_text(json.dumps(record), encoding="utf-8")
            sync(own)
            own.replace(folder / f"{camera}.json")
        finally:
            own.unlink(missing_ok=True)
            own.with_suffix(".mp4").unlink(missing_ok=True)

    def stage_episode(self, episode: PlannedEpisode, job: Job, progress: Progress) -> None:
        """Encode an episode, or what is left to do of it, and make it appear whole.

        Raises:
            BadEpisode: it cannot be converted, or the file has changed since the run was planned.
            VideoError: the encoder fails.
        """
        with self._unless_staged(episode):
            self._stage_episode(episode, job, progress)

    def _stage_episode(self, episode: PlannedEpisode, job: Job, progress: Progress) -> None:
        with Recording(episode.file, job.layout) as recording:
            _unchanged(episode)
            vectors = vectors_of(recording.episode(episode.name), episode)
        table = episode_table(vectors, episode.length, job.settings.fps)
        for camera in episode.cameras:
            self.stage_camera(episode, job, camera, progress)
        pieces = {camera_key(camera): self._piece(episode, camera) for camera in episode.cameras}
        own = self._made(self.root / "episodes" / f"{own_name()}.{episode.key}")
        try:
            clips, stats = {}, {}
            for key, piece in pieces.items():
                if piece is None:
                    raise FileNotFoundError(
                        f"{self._pieces(episode.key)}: the clip of {key} has gone"
                    )
                clip, stats[key] = piece
                link_or_copy(clip.path, own / clip.path.name)
                clips[key] = Clip(own / clip.path.name, 0, clip.count, clip.info)
            save_episode(own, EncodedEpisode(table, clips, stats, (episode.task,)))
            sync(own)
            self._publish(own, episode)
        finally:
            shutil.rmtree(own, ignore_errors=True)
        shutil.rmtree(self._pieces(episode.key), ignore_errors=True)

    @contextlib.contextmanager
    def _unless_staged(self, episode: PlannedEpisode) -> Iterator[None]:
        """Pass over what goes wrong because another attempt has done the episode, and cleared its pieces away."""
        try:
            yield
        except (OSError, VideoError):
            if not self.is_staged(episode):
                raise

    def _made(self, folder: Path) -> Path:
        """Make a folder below the root. An attempt that outlives its run does not bring back the root."""
        make_below(self.root, folder)
        return folder

    def _publish(self, own: Path, episode: PlannedEpisode) -> None:
        final = self._episode(episode.key)
        if final.exists() and not self.is_staged(episode):
            shutil.rmtree(final)
        try:
            own.rename(final)
        except OSError:
            if not self.is_staged(episode):  # else another process was first, with the same bytes
                raise
        sync(final.parent)

    def _episode(self, key: str) -> Path:
        return self.root / "episodes" / key

    def _pieces(self, key: str) -> Path:
        return self.root / "pieces" / key

    def _piece(self, episode: PlannedEpisode, camera: str) -> tuple[Clip, FeatureStats] | None:
        folder = self._pieces(episode.key)
        try:
            record = json.loads((folder / f"{camera}.json").read_text(encoding="utf-8"))
            whole = (folder / f"{camera}.mp4").stat().st_size == record["size"]
        except (FileNotFoundError, ValueError):
            return None
        return load_clip(folder, record) if whole else None


def _unchanged(episode: PlannedEpisode) -> None:
    stat = episode.file.stat()
    if (stat.st_size, stat.st_mtime_ns) != (episode.size, episode.mtime_ns):
        raise BadEpisode(
            "the recording has changed since the run was planned",
            place=episode.place,
            expected=f"{episode.size} bytes",
            found=f"{stat.st_size} bytes, or another time of change",
            next_step="run the same command again when nothing writes to it any more",
        )


@contextlib.contextmanager
def staging_area(output: Path, plan: Plan, *, resume: bool = True) -> Iterator[Staging]:
    """`OUTPUT.work`, for this process alone, with the plan in it.

    Raises:
        OutputExists: there is a folder of that name that piperline did not make, or another run is at work in it.
        OutputError: it cannot be written.
    """
    staging = Staging(work_folder(output))
    try:
        if staging.is_foreign():
            raise OutputExists(
                "there is a folder in the place of the staging folder",
                place=Place(file=staging.root),
                expected="nothing, or the staging folder of an earlier run",
                found="a folder without a plan",
                next_step="move it away, or name another output",
            )
        sweep_removed(staging.root)
        staging.root.mkdir(parents=True, exist_ok=True)
        with staging.lock_file.open("w") as lock:
            _lock(lock.fileno(), staging.root)
            if not resume:
                for name in ("episodes", "pieces"):
                    shutil.rmtree(staging.root / name, ignore_errors=True)
            write_whole(staging.plan_file, plan.to_json())
            staging.keep_only({episode.key for episode in plan.episodes})
            yield staging
    except OSError as error:
        known = output_error(error, output)
        if known is None:
            raise
        raise known from error


def _lock(descriptor: int, root: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputExists(
            "another run is at work on this output",
            place=Place(file=root),
            next_step="wait until it has ended",
        ) from error
