"""A dataset against its recordings, episode by episode: rows, instructions, packets and frames."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from piperline.edits.recorded import UNEDITED, Edited
from piperline.errors import DatasetError, Place, RecordingError
from piperline.features import camera_key
from piperline.finding import Finding
from piperline.recordings.image_spans import AskedVideo
from piperline.recordings.instructions import Spans
from piperline.seal.contents import Contents
from piperline.verify.decoded import DecodedFrames
from piperline.verify.depth import ComparedDepth, compare_depth
from piperline.verify.frames import (
    Candidate,
    Compared,
    DatasetClip,
    candidates,
    compare_frames,
    most_like,
    spread,
)
from piperline.verify.packets import (
    Held,
    compare_packets,
    may_be_kept,
    were_kept,
)
from piperline.verify.progress import Tally
from piperline.verify.recorded import (
    OpenEpisode,
    RecordedEpisode,
    Sources,
    open_episode,
)
from piperline.verify.report import Looked, Strip
from piperline.verify.rows import (
    Numbers,
    instruction_of_rows,
    instructions,
    numbers,
)
from piperline.verify.videos import frame_size
from piperline.video.decoder import probe

_SHARE = 30
"""One in so many encoded frames is compared, if not told otherwise."""
_LEAST = 4
_STRIPS = 3
_SEARCHED = 100
"""So many other episodes are looked through for what a wrong frame shows."""


@dataclass
class Comparison:
    """Holds episodes against recorded ones.

    Attributes:
        contents: the dataset.
        sources: the recordings.
        matched: the recorded episode of each episode.
        asked: the videos that were asked for when the dataset was made; None where that is not
            known.
        frames: how many frames of each clip are decoded; None for the usual share, 0 for all.
        looked: counts what is looked at.
        strips: keep pictures of the worst frames, or None.
        broken: files that are known to be damaged.
        edits: what was done to each episode since it was recorded; none if not given.
        decoded: takes down what was decoded.
        progress: told of what was passed.
        names: of cameras that were held against their recordings, and that are only in these.
    """

    contents: Contents
    sources: Sources
    matched: Sequence[RecordedEpisode | None]
    asked: AskedVideo | None
    frames: int | None
    looked: Looked
    strips: dict[str, list[Strip]] | None = None
    broken: frozenset[Path] = field(default=frozenset())
    edits: Sequence[Edited] = ()
    decoded: DecodedFrames = field(default_factory=DecodedFrames)
    progress: Tally = field(default_factory=Tally)
    names: tuple[set[str], set[str]] = field(
        default_factory=lambda: (set(), set())
    )

    def episode(self, episode: int) -> Iterator[Finding]:
        """Hold an episode against its recorded one."""
        recorded = self.matched[episode]
        if recorded is None:
            message = "there is no recorded episode for it among the recordings"
            yield Finding(
                "recording-missing", "error", message, self._place(episode)
            )
            return
        try:
            with self._open(episode, recorded) as opened:
                yield from self._episode(episode, opened)
            self.looked.episodes += 1
        except RecordingError as error:
            yield unreadable(error, error.place or Place(file=recorded.path))

    def _edited(self, episode: int) -> Edited:
        return self.edits[episode] if self.edits else UNEDITED

    def _open(
        self, episode: int, recorded: RecordedEpisode
    ) -> AbstractContextManager[OpenEpisode]:
        """The recorded episode of an episode, as edits left it, in the sizes of the videos."""
        edited, features = self._edited(episode), self.contents.info.features
        sizes = {
            _name(edited, key): frame_size(features[key])
            for key in self.contents.cameras
        }
        return open_episode(self.sources, recorded, edited, sizes)

    def _place(self, episode: int) -> Place:
        return Place(
            file=self.contents.data_path(episode), episode=str(episode)
        )

    def _episode(self, episode: int, opened: OpenEpisode) -> Iterator[Finding]:
        length = self.contents.episodes[episode].length
        if length != opened.length:
            what = "what edits left of the recorded one"
            what = what if self._edited(episode).is_cut else "the recorded one"
            message = f"the episode has {length} rows, {what} {opened.length}"
            numbers_ = {"rows": length, "recorded": opened.length}
            yield Finding(
                "length-differs",
                "error",
                message,
                self._place(episode),
                numbers_,
            )
        try:
            table = self.contents.rows(episode)
        except DatasetError:  # found in itself
            return
        yield from self._rows(episode, table, opened)
        yield from self._instruction(episode, table, opened)
        yield from self._cameras(episode, opened)

    def _rows(
        self, episode: int, table: pa.Table, opened: OpenEpisode
    ) -> Iterator[Finding]:
        compared = 0
        for key, recorded in opened.vectors().items():
            feature = self.contents.info.features.get(key)
            found = numbers(table, key, feature) if feature else None
            if found is None:  # found in itself
                continue
            if found.shape[1:] != recorded.shape[1:]:
                message = f"{key} has another shape than was recorded"
                yield Finding(
                    "rows-differ", "error", message, self._place(episode)
                )
                continue
            compared = min(len(found), len(recorded))
            yield from self._differences(
                episode, key, found[:compared], recorded[:compared]
            )
        self.looked.recorded_rows += compared

    def _differences(
        self, episode: int, key: str, found: Numbers, recorded: Numbers
    ) -> Iterator[Finding]:
        """Values that are not the recorded ones, bit by bit."""
        same = found.astype(np.float32).view(np.uint32) == recorded.view(
            np.uint32
        )
        wrong = np.argwhere(~same)
        if not len(wrong):
            return
        frame, dimension = (int(index) for index in wrong[0])
        values = {
            "rows": int((~same).any(axis=1).sum()),
            "feature": key,
            "dimension": dimension,
            "found": float(found[frame, dimension]),
            "recorded": float(recorded[frame, dimension]),
        }
        message = (
            f"{key}[{dimension}] is {values['found']!r}, recorded was {values['recorded']!r}; "
            f"{values['rows']} rows differ"
        )
        place = replace(self._place(episode), frame=frame)
        yield Finding("rows-differ", "error", message, place, values)

    def _instruction(
        self, episode: int, table: pa.Table, opened: OpenEpisode
    ) -> Iterator[Finding]:
        given, recorded = (
            self._edited(episode).instructions,
            opened.header.task,
        )
        if given is None and recorded is None:
            return  # there is nothing to hold it against
        self.looked.instructions += 1
        spans = opened.spans
        if spans and given is None:
            yield from self._changes(episode, table, spans)
            return
        used = instructions(self.contents, table)
        wanted = {recorded} if given is None else set(given)
        if used is not None and not (used and wanted.issuperset(used)):
            was = "recorded was" if given is None else "an edit made it"
            text = " / ".join(sorted(map(str, wanted)))
            message = f"the instruction is {' / '.join(used)!r}, {was} {text!r}"
            yield Finding(
                "instruction-differs", "error", message, self._place(episode)
            )

    def _changes(
        self, episode: int, table: pa.Table, spans: Spans
    ) -> Iterator[Finding]:
        """Hold instructions that change within an episode against the recorded ones."""
        used = instruction_of_rows(self.contents, table)
        if used is None:  # found in itself
            return
        starts = np.array([start for start, _ in spans])
        which = np.searchsorted(starts, np.arange(len(used)), side="right") - 1
        wrong = [
            frame
            for frame, (text, span) in enumerate(zip(used, which, strict=True))
            if text != spans[span][1]
        ]
        if wrong:
            frame = wrong[0]
            told = spans[which[frame]][1]
            message = (
                f"the instruction is {used[frame]!r}, recorded was {told!r}; "
                f"{len(wrong)} rows differ"
            )
            place = replace(self._place(episode), frame=frame)
            yield Finding("instruction-differs", "error", message, place)

    def _cameras(self, episode: int, opened: OpenEpisode) -> Iterator[Finding]:
        clips = self._clips(episode, opened)
        encoded = []
        for clip in clips:
            if opened.header.cameras[clip.camera].depth:
                yield from self._depth(episode, opened, clip)
                continue
            put_right = clip.camera in self._edited(episode).exchanged
            if self._copied and not (put_right or may_be_kept(opened, clip)):
                message = f"the video is {clip.codec}, and recorded images were to be kept"
                yield Finding(
                    "video-not-copied",
                    "error",
                    message,
                    self._clip_place(episode, clip),
                )
            try:
                held = self._held(episode, opened, clip)
            except DatasetError as error:
                yield from self._undecodable(episode, error)
                continue
            if held is None:
                encoded.append(clip)
            elif held.differing:
                yield self._other_packets(episode, clip, held)
        if encoded:
            yield from self._frames(episode, opened, encoded)

    def _depth(
        self, episode: int, opened: OpenEpisode, clip: DatasetClip
    ) -> Iterator[Finding]:
        """Hold a depth camera against the recorded distances."""
        feature = self.contents.info.features[clip.key]
        place = self._clip_place(episode, clip)
        if not feature.is_depth:
            message = "recorded were distances, the dataset has pictures"
            yield Finding("depth-differs", "error", message, place)
            return
        frames = self._frames_of(self._length(episode, opened))
        try:
            fps = self.contents.info.fps
            compared = compare_depth(opened, clip, feature, frames, fps)
        except DatasetError as error:
            yield from self._undecodable(episode, error)
            return
        except ValueError as error:
            yield Finding("depth-differs", "error", str(error), place)
            return
        self.looked.frames += compared.looked
        for frame in set(frames).difference(compared.absent):
            self.decoded.add(clip.path, clip.first + frame)
        self.progress.moved(self._length(episode, opened))
        if compared.wrong:
            yield _wrong_depth(compared, place)
        if compared.absent and clip.path not in self.broken:
            message = f"{len(compared.absent)} frames that are to be compared are not there"
            place = replace(place, frame=compared.absent[0])
            yield Finding("frame-missing", "error", message, place)

    def _frames_of(self, length: int) -> list[int]:
        """The frames of an episode that are decoded and compared."""
        usual = max(_LEAST, -(-length // _SHARE))
        count = usual if self.frames is None else self.frames or length
        return spread(length, count)

    @property
    def _copied(self) -> bool:
        """The dataset was made with recorded images kept."""
        return self.asked is not None and self.asked.mode == "copy"

    def _held(
        self, episode: int, opened: OpenEpisode, clip: DatasetClip
    ) -> Held | None:
        """The packets of a clip beside recorded ones; None where they are others by intent."""
        others = self.asked is not None and not self._copied
        jpeg_encoded = clip.codec == "mjpeg" and others
        if jpeg_encoded or not may_be_kept(opened, clip):
            return None
        held = compare_packets(
            opened,
            clip,
            self._length(episode, opened),
            self.contents.info,
            self.progress.moved,
        )
        asked = self.asked and were_kept(opened, clip, self.asked)
        if not (self._copied or held.first_equal or asked):
            return None
        self.looked.packets += held.compared
        return held

    def _other_packets(
        self, episode: int, clip: DatasetClip, held: Held
    ) -> Finding:
        place = replace(
            self._clip_place(episode, clip), frame=held.differing[0]
        )
        message = f"{len(held.differing)} packets are not the recorded ones; the first {held.text}"
        values = {"packets": len(held.differing), "of": held.compared}
        return Finding("packets-differ", "error", message, place, values)

    def _undecodable(
        self, episode: int, error: DatasetError
    ) -> Iterator[Finding]:
        """A finding for a video that cannot be read, unless there is one already or to come."""
        if self.frames == 0:  # decoding what is left to be decoded finds it
            return
        path = Path(str(error.place.file)) if error.place else None
        if path not in self.broken:
            message = f"the video cannot be read to its end: {error.found or error.message}"
            place = replace(error.place or Place(), episode=str(episode))
            yield Finding("video-undecodable", "error", message, place)

    def not_compared(self) -> Iterator[str]:
        """What the dataset has and the recordings have not, or the other way round."""
        if not self.looked.episodes:
            return
        vectors, columns = (
            self.sources.layout.vectors,
            self.contents.info.schema.columns,
        )
        kinds = {
            "cameras that the recordings do not have": set(
                self.contents.cameras
            )
            - self.names[0],
            "cameras that the dataset does not have": self.names[1],
            "columns that the recordings do not have": set(columns)
            - vectors.keys(),
            "vectors that the dataset does not have": vectors.keys()
            - set(columns),
        }
        for kind, names in kinds.items():
            if names:
                yield f"{kind}: {', '.join(sorted(names))}"

    def _length(self, episode: int, opened: OpenEpisode) -> int:
        return min(self.contents.episodes[episode].length, opened.length)

    def _clips(self, episode: int, opened: OpenEpisode) -> list[DatasetClip]:
        """The clips that were recorded and can be read; the others are found in itself."""
        clips = []
        edited = self._edited(episode)
        names = {_name(edited, key): key for key in self.contents.cameras}
        for camera in opened.header.cameras:
            if camera not in names:
                self.names[1].add(camera_key(camera))
                continue
            key = names[camera]
            self.names[0].add(key)
            path, first = self.contents.span(episode, key)
            try:
                info, _ = probe(path, pix_fmt="unknown")
            except DatasetError:
                continue
            if (info.width, info.height) != frame_size(
                self.contents.info.features[key]
            ):
                continue
            clips.append(DatasetClip(camera, key, path, first, info.codec))
        return clips

    def _clip_place(self, episode: int, clip: DatasetClip) -> Place:
        return Place(
            file=clip.path,
            episode=str(episode),
            camera=clip.key,
        )

    def _frames(
        self, episode: int, opened: OpenEpisode, clips: Sequence[DatasetClip]
    ) -> Iterator[Finding]:
        length = self._length(episode, opened)
        try:
            results = compare_frames(
                opened,
                clips,
                self._frames_of(length),
                episode=episode,
                fps=self.contents.info.fps,
                looked=self.looked,
                strips=self.strips is not None,
                moved=self.progress.moved,
                decoded=self.decoded,
            )
        except DatasetError as error:
            yield from self._undecodable(episode, error)
            return
        for result in results:
            self._keep(result)
            if result.bad:
                yield self._bad(episode, opened, clips, result)
            if result.absent and result.clip.path not in self.broken:
                place = replace(
                    self._clip_place(episode, result.clip),
                    frame=result.absent[0],
                )
                message = f"{len(result.absent)} frames that are to be compared are not there"
                yield Finding("frame-missing", "error", message, place)

    def _keep(self, result: Compared) -> None:
        if self.strips is not None:
            held = [
                *self.strips.get(result.clip.key, ()),
                *result.worst,
            ]
            self.strips[result.clip.key] = sorted(
                held, key=lambda strip: strip.psnr
            )[:_STRIPS]

    def _bad(
        self,
        episode: int,
        opened: OpenEpisode,
        clips: Sequence[DatasetClip],
        result: Compared,
    ) -> Finding:
        frame, seen = result.bad[0]
        clip = result.clip
        own = candidates(opened, clips, clip, frame)
        shown = most_like(
            seen, [*own, *self._of_other_episodes(episode, clip, frame)]
        )
        place = replace(self._clip_place(episode, clip), frame=frame)
        message = (
            f"frame {frame} {shown.text}; so or otherwise wrong are {len(result.bad)} of "
            f"{result.looked} frames that were compared"
        )
        values = {
            "frames": len(result.bad),
            "of": result.looked,
            "last": result.bad[-1][0],
        }
        return Finding(shown.code, "error", message, place, values)

    def _of_other_episodes(
        self, episode: int, clip: DatasetClip, frame: int
    ) -> Iterator[Candidate]:
        others = [
            number for number in range(len(self.matched)) if number != episode
        ]
        for other in others[:_SEARCHED]:
            recorded = self.matched[other]
            if recorded is None:
                continue
            try:
                with self._open(other, recorded) as opened:
                    if (
                        clip.camera in opened.header.cameras
                        and frame < opened.length
                    ):
                        view = opened.pictures(clip.camera).view(frame)
                        text = f"shows episode {other}"
                        yield Candidate("frame-episode", text, view.blocks)
            except RecordingError:  # it has a finding of its own
                continue


def unreadable(error: RecordingError, place: Place | None) -> Finding:
    """The finding for a recording that cannot be read, or not all of it."""
    found = f": {error.found}" if error.found else ""
    message = f"the recording cannot be read: {error.message}{found}"
    return Finding("recording-unreadable", "error", message, place)


def _name(edited: Edited, key: str) -> str:
    """The name that a camera of the dataset has in the recordings."""
    return edited.recorded_key(key).removeprefix(camera_key(""))


def _wrong_depth(compared: ComparedDepth, place: Place) -> Finding:
    shows = (
        "others than were recorded"
        if compared.shows is None
        else f"those of the recorded frame {compared.shows}"
    )
    count = len(compared.wrong)
    message = (
        f"frame {compared.wrong[0]} has distances that are {shows}; so or otherwise wrong are "
        f"{count} of {compared.looked} frames that were compared"
    )
    values = {
        "frames": count,
        "of": compared.looked,
        "pixels": compared.pixels,
    }
    place = replace(place, frame=compared.wrong[0])
    return Finding("depth-differs", "error", message, place, values)


def asked_by(made: Mapping[str, Any], fps: int) -> AskedVideo | None:
    """The videos that were asked for when a dataset was made; None where that is not known.

    Args:
        made: the dataset's record.
        fps: of the dataset.
    """
    video, size = made.get("video"), made.get("size")
    if not isinstance(video, dict):
        return None
    known = None
    if isinstance(size, list) and list(map(type, size)) == [int, int]:
        known = (size[0], size[1])
    return AskedVideo(str(video.get("mode")), fps, known)
