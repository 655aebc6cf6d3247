"""Staging: encoded episodes beside the output, each there whole or not at all.

    OUT.work/plan.json                        what the run does
    OUT.work/pieces/<key>/<camera>.mp4|json   cameras of episodes that are under way
    OUT.work/episodes/<key>/                  an episode, complete: it appears by one rename
    OUT.work/dataset/                         the dataset while it is put together

Several processes, also on several machines, may stage the same episode: their bytes are equal, every temporary
name is their own, and the first rename stands.
"""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from piperline.encode import encode_camera, episode_table
from piperline.episode import Clip, EncodedEpisode, clip_record, load_clip, load_episode, save_episode, sync
from piperline.errors import BadEpisode
from piperline.features import camera_key
from piperline.recording import Recording
from piperline.run.plan import Job, PlannedEpisode
from piperline.stats import FeatureStats

__all__ = ["Staging"]

Progress = Callable[[int, int], None]


class Staging:
    """The folder in which a run keeps what is done.

    Args:
        root: `OUT.work`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.plan_file = root / "plan.json"
        self.dataset = root / "dataset"

    def load(self, key: str) -> EncodedEpisode | None:
        """A staged episode; None where it is not there whole."""
        return load_episode(self._episode(key))

    def is_staged(self, episode: PlannedEpisode) -> bool:
        """Whether an episode is there whole, with as many rows as planned."""
        staged = self.load(episode.key)
        return staged is not None and staged.length == episode.length

    def stage_camera(self, episode: PlannedEpisode, job: Job, camera: str, progress: Progress) -> None:
        """Encode one camera of an episode, unless that is done.

        Raises:
            BadEpisode: an image is damaged, or the file has changed since the run was planned.
            VideoError: the encoder fails.
        """
        if self._piece(episode, camera) is not None:
            return
        folder = self._pieces(episode.key)
        folder.mkdir(parents=True, exist_ok=True)
        own = folder / f"{_own_name()}.{camera}"
        try:
            with Recording(episode.file, job.layout) as recording:
                _unchanged(episode)
                stream = recording.episode(episode.name).stream(camera, episode.length)
                made = encode_camera(stream, episode.cameras[camera], job.settings, own.with_suffix(".mp4"), progress)
            clip, stats = made
            sync(clip.path)
            final = folder / f"{camera}.mp4"
            clip.path.replace(final)
            record = clip_record(Clip(final, 0, clip.count, clip.info), stats) | {"size": final.stat().st_size}
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
        with Recording(episode.file, job.layout) as recording:
            _unchanged(episode)
            table = episode_table(recording.episode(episode.name), episode.length, job.settings.fps)
        for camera in episode.cameras:
            self.stage_camera(episode, job, camera, progress)
        pieces = {camera_key(camera): self._piece(episode, camera) for camera in episode.cameras}
        own = self.root / "episodes" / f"{_own_name()}.{episode.key}"
        own.mkdir(parents=True)
        try:
            clips, stats = {}, {}
            for key, piece in pieces.items():
                if piece is None:
                    raise FileNotFoundError(f"{self._pieces(episode.key)}: the clip of {key} has gone")
                clip, stats[key] = piece
                os.link(clip.path, own / clip.path.name)
                clips[key] = Clip(own / clip.path.name, 0, clip.count, clip.info)
            save_episode(own, EncodedEpisode(table, clips, stats, (episode.task,)))
            sync(own)
            self._publish(own, episode)
        finally:
            shutil.rmtree(own, ignore_errors=True)
        shutil.rmtree(self._pieces(episode.key), ignore_errors=True)

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


def _own_name() -> str:
    return f"tmp-{socket.gethostname()}-{os.getpid()}"


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
