"""One episode of an open recording: its structure, its numbers and its images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.errors import BadEpisode, LayoutError, Place
from piperline.recordings.beside import Beside, fingerprint_beside
from piperline.recordings.cameras import FoundCamera, find_cameras, open_stream
from piperline.recordings.datasets import REPAIR, Datasets
from piperline.recordings.hdf5 import describe, lookup, resolve
from piperline.recordings.images import CameraHeader, ImageStream
from piperline.recordings.instructions import (
    Instruction,
    Spans,
    find_instruction,
    refuse_bad_text,
    spans_of,
)
from piperline.recordings.layout import Layout
from piperline.recordings.marks import Marks, read_marks
from piperline.recordings.rules import HIGHEST_RATE
from piperline.recordings.times import (
    Aligned,
    align,
    disagrees,
    measured_rate,
    read_times,
    recorded_rate,
)
from piperline.recordings.vector_rules import VectorRule
from piperline.recordings.vectors import (
    VectorPart,
    find_parts,
    read_vector,
    settled,
)
from piperline.text import listed, printable

_RAW_AXES = 4  # frames, height, width, colours
_LONGEST_NAME = 100  # bytes of a camera's name, which becomes a file's


@dataclass(frozen=True)
class EpisodeHeader:
    """What is known of an episode before its frames are read.

    Attributes:
        length: how many frames.
        task: its instruction, or None where it has none.
        cameras: by camera name, in the layout's order.
        no_task: what was found instead of an instruction.
        notes: what is worth knowing of rows that are left out, of rates and of clocks.
        spans: when the instruction changes, where it does.
    """

    length: int
    task: str | None
    cameras: Mapping[str, CameraHeader]
    no_task: str = ""
    notes: tuple[str, ...] = ()
    spans: Spans = ()


class Episode:
    """One episode of an open recording.

    Args:
        root: its group.
        name: how it is called.
        layout: what it should hold.
        place: where it is.
        suggestion: tells which layout fits better, for error messages.
        number: what `{number}` stands for in paths.
        span: the half-open rows that are the episode's, where it is a part of a stream.
    """

    def __init__(
        self,
        root: h5py.Group,
        name: str,
        layout: Layout,
        place: Place,
        *,
        suggestion: Callable[[], str] | None = None,
        number: str | None = None,
        span: tuple[int, int] | None = None,
    ) -> None:
        self.name = name
        self.place = place
        self._root, self._layout, self._suggestion = root, layout, suggestion
        self._span = span
        self._datasets = Datasets(root, layout.name, place, number, suggestion)

    def header(self) -> EpisodeHeader:
        """Check the episode's structure and read the first image of each camera.

        Raises:
            LayoutMismatch: something that the layout declares is missing or has another shape or
                type.
            BadEpisode: lengths disagree, the length is 0, the first image is damaged, or a link
                leaves the file.
        """
        notes: list[str] = []
        length = self._length(notes)
        told = find_instruction(self._layout.tasks, self._root, self.place)
        spans = self._spans(told, length, notes)
        cameras = {
            name: self.stream(name, length).header() for name in self._cameras
        }
        notes += self._time_notes(length)
        return EpisodeHeader(
            length,
            spans[0][1] if spans else told.text,
            cameras,
            told.instead,
            tuple(notes),
            spans if len(spans) > 1 else (),
        )

    def _spans(self, told: Instruction, length: int, notes: list[str]) -> Spans:
        """When the instruction changes, where a dataset has one for each frame."""
        if told.several:
            notes.append(
                f"{told.several} instructions in an attribute: the first is taken"
            )
        if not told.rows:
            return ()
        rows = self._text_rows(len(told.rows), length)
        if len(rows) and int(rows[-1]) < len(told.rows):
            texts = [told.rows[row] for row in rows]
            refuse_bad_text(texts, self.place)
            return spans_of(texts)
        changes = len({text for text in told.rows if text})
        notes.append(
            f"{changes} instructions in one episode: the first is taken for all"
        )
        return ()

    def _text_rows(self, count: int, length: int) -> NDArray[np.int64]:
        """The rows of a dataset of texts; of several clocks those of a stream of as many rows."""
        if self._aligned is None:
            return self._rows("", length)
        streams = (name for name, rows, _ in self._streams() if rows == count)
        name = next(streams, None)
        if name is None:
            return np.empty(0, dtype=np.int64)
        return self._rows(name, length)

    def check_structure(self) -> None:
        """See that all is there that the layout declares; no image is read.

        Images of others can crash HDF5, and this is asked outside of workers.

        Raises:
            LayoutMismatch: something that the layout declares is missing or has another shape or
                type.
            BadEpisode: lengths disagree, the length is 0, or a link leaves the file.
        """
        length = self._length([])
        for camera in self._cameras:
            self.stream(camera, length)

    def marks(self, length: int) -> Marks:
        """What the recorder noted beside the first `length` frames; no conversion needs it."""
        parts = next(
            (parts for parts in self._parts.values() if parts),
            None,
        )
        vector = parts[0].found.data if parts and self._span is None else None
        return read_marks(self._root, vector, length, self.place)

    def vectors(self, length: int) -> dict[str, NDArray[np.float32]]:
        """The vectors of the first `length` frames by feature name, float32, shape (length, D).

        Raises:
            BadEpisode: a value is not finite, or cannot be read.
        """
        return {
            key: self._values(key, rule, length)
            for key, rule in self._layout.vectors.items()
            if self._parts[rule.next_of or key]
        }

    def stream(self, camera: str, length: int) -> ImageStream:
        """The first `length` frames of a camera, read as they are asked for."""
        found = self._cameras[camera]
        table = (
            self._true_lengths(found.rule.lengths, length)
            if found.rule.lengths
            else None
        )
        return open_stream(
            found,
            table,
            place=replace(self.place, camera=camera),
            rows=self._rows(found.name, length),
            suggestion=self._suggestion,
        )

    def beside(self, length: int) -> Beside:
        """The files beside the recording that hold images of the first `length` frames."""
        folder = Path(self.place.file or "").resolve().parent
        files = [
            path
            for camera in self._cameras
            for path in self.stream(camera, length).files()
        ]
        return fingerprint_beside(folder, files, length)

    def settled_layout(self) -> Layout:
        """The layout with what only a recording tells: optional parts, names, the rate.

        Raises:
            LayoutMismatch: something that the layout declares is missing or has another shape or
                type.
        """
        found = {
            key: settled(key, rule, self._parts[key], self._datasets)
            for key, rule in self._layout.vectors.items()
            if self._parts.get(key)
        }
        vectors = {}
        for key, rule in self._layout.vectors.items():
            source = found.get(rule.next_of or key)
            if source is not None and rule.next_of:
                vectors[key] = replace(
                    rule, names=source.names, groups=source.groups
                )
            elif source is not None:
                vectors[key] = source
        if not vectors:
            step = self._suggestion() if self._suggestion else None
            raise LayoutError(
                "the recording has none of the layout's vectors",
                place=self.place,
                expected=f"a dataset of {listed(list(self._layout.vectors))}",
                next_step=step,
            )
        kept = {
            name: replace(rule, optional="*" in name and rule.optional)
            for name, rule in self._layout.cameras.items()
            if "*" in name or name in self._cameras
        }
        return replace(
            self._layout, vectors=vectors, cameras=kept, fps=self.rate()
        )

    def rate(self) -> int:
        """Frames a second: those that the recording tells, those of its clock, or the layout's."""
        rule = self._layout.time
        rate = recorded_rate(rule, self._root, self.place)
        if rate is None and rule.timestamps and not rule.align:
            found = self._datasets.first([rule.timestamps])
            rate = (
                measured_rate(read_times(found, rule, self._datasets))
                if found
                else None
            )
        usable = rate is not None and 1 <= round(rate) <= HIGHEST_RATE
        return round(rate) if rate and usable else self._layout.fps

    def share(self) -> float:
        """The share of the layout's datasets that are there, 0 to 1."""
        vectors = [
            part.paths
            for rule in self._layout.vectors.values()
            for part in rule.sources
        ]
        cameras = [
            rule.paths for rule in self._layout.cameras.values() if rule.path
        ]
        wanted = [*vectors, *cameras]
        return sum(any(map(self._is_there, paths)) for paths in wanted) / len(
            wanted
        )

    def _is_there(self, path: str) -> bool:
        if "*" in path:
            return bool(self._datasets.matching(path))
        return isinstance(self._at(path), h5py.Dataset)

    def _at(self, path: str) -> object:
        return resolve(self._root, path, self.place)

    @property
    def root(self) -> h5py.Group:
        """The group in which it lies."""
        return self._root

    @property
    def used(self) -> frozenset[str]:
        """The full paths of the datasets that the layout uses."""
        lengths = [
            rule.lengths
            for rule in self._layout.cameras.values()
            if rule.lengths
        ]
        tasks = [rule.text for rule in self._layout.tasks if rule.text]
        times = [
            rule
            for rule in (self._layout.time.timestamps, self._layout.time.rate)
            if rule
        ]
        episodes = self._layout.episodes
        others = [
            one
            for one in (episodes.length, episodes.ends, *episodes.where)
            if one
        ]
        for path in (*lengths, *tasks, *times, *others):
            inside = path.strip("/")
            if "@" not in path and isinstance(self._at(inside), h5py.Dataset):
                self._datasets.first([inside])
        _ = self._parts, self._cameras
        return self._datasets.used

    # --- structure --------------------------------------------------------------------------------

    @cached_property
    def _parts(self) -> dict[str, list[VectorPart]]:
        """What each recorded vector is made of."""
        return {
            key: find_parts(key, rule, self._datasets)
            for key, rule in self._layout.vectors.items()
            if not rule.next_of
        }

    @cached_property
    def _cameras(self) -> dict[str, FoundCamera]:
        return find_cameras(self._layout, self._datasets)

    def _true_lengths(self, path: str, length: int) -> h5py.Dataset | None:
        """The true lengths of padded images, (cameras, frames) or more frames, or None."""
        found = self._datasets.first([path])
        if found is None:
            return None
        if (
            found.dtype.kind not in "iuf"
            or len(found.shape) != 2  # noqa: PLR2004
            or found.shape[1] < length
        ):
            expected = f"numbers of shape (cameras, {length} or more)"
            message = "the table of true lengths does not fit the episode"
            raise self._datasets.mismatch(
                message, found.name, expected, describe(found.data)
            )
        self._datasets.refuse_absurd(found)
        return found.data

    # --- rows -------------------------------------------------------------------------------------

    def _streams(self) -> Iterator[tuple[str, int, str | None]]:
        """All that has rows: its name, how many, and the dataset with their times."""
        for key, parts in self._parts.items():
            of_vector = self._layout.vectors[key].timestamps
            for part in parts:
                yield (
                    part.found.name,
                    part.found.shape[0],
                    part.rule.timestamps or of_vector,
                )
        for camera in self._cameras.values():
            yield camera.name, camera.rows, camera.timestamps

    def _length(self, notes: list[str]) -> int:
        """How many frames the episode has."""
        rows = {name: count for name, count, _ in self._streams()}
        length = (
            self._aligned.length
            if self._aligned
            else self._rows_told(rows, notes)
        )
        if self._layout.drops_last:
            length -= 1
            notes.append("the last frame has no next one and is left out")
        if length < 1:
            raise BadEpisode(
                "the episode has no frames",
                place=self.place,
                expected="at least 1 frame",
                found=f"length {length}",
                next_step="leave it out with --skip-bad",
            )
        return length

    def _rows_told(
        self,
        rows: Mapping[str, int],
        notes: list[str],
    ) -> int:
        """How many rows count: as is declared, or of the datasets."""
        rule = self._layout.episodes.length
        shortest = min(rows, key=lambda name: rows[name])
        if self._span:
            length = self._span[1] - self._span[0]
            needed = self._span[1]
        elif rule == "shortest":
            length = needed = rows[shortest]
            longer = [
                f"{name} has {count}"
                for name, count in rows.items()
                if count > length
            ]
            if longer:
                notes.append(f"{length} rows count: {', '.join(longer)}")
        elif rule is None:
            if len(set(rows.values())) > 1:
                raise self._differing(rows)
            length = needed = rows[shortest]
        else:
            length = needed = self._told_length(rule)
        if rows[shortest] < needed:
            told = f", the episode's {rule.lstrip('@')}" if rule else ""
            raise BadEpisode(
                "a dataset is shorter than the episode",
                place=self._datasets.at(shortest),
                expected=f"at least {needed} rows{told}",
                found=f"{rows[shortest]} rows",
                next_step=REPAIR,
            )
        return length

    def _differing(self, rows: Mapping[str, int]) -> BadEpisode:
        known = ", ".join(f"{name} {count}" for name, count in rows.items())
        off_by_one = max(rows.values()) - min(rows.values()) == 1
        step = "let the shortest count: length = 'shortest' in the layout's [episodes]"
        return BadEpisode(
            "the datasets differ in length",
            place=self.place,
            expected="one length",
            found=known,
            next_step=step if off_by_one else REPAIR,
        )

    def _told_length(self, reference: str) -> int:
        value = lookup(self._root, reference, self.place)
        number = np.asarray(value).reshape(-1) if value is not None else None
        if number is None or len(number) != 1 or number.dtype.kind not in "iu":
            kind = "attribute" if "@" in reference else "dataset"
            name = reference.lstrip("@")
            found = (
                f"no such {kind}"
                if value is None
                else printable(repr(value))[:80]
            )
            message = f"the {kind} {name} does not tell the length"
            raise self._datasets.mismatch(
                message, self._root.name, "a whole number", found
            )
        return int(number[0])

    def _rows(
        self,
        name: str,
        length: int,
    ) -> NDArray[np.int64]:
        """The rows of a dataset for the first `length` frames."""
        if self._aligned:
            return self._aligned.rows[name][:length]
        start = self._span[0] if self._span else 0
        return np.arange(start, start + length, dtype=np.int64)

    def _values(
        self, key: str, rule: VectorRule, length: int
    ) -> NDArray[np.float32]:
        source = rule.next_of or key
        parts = self._parts[source]
        dropped = self._layout.drops_last
        count = length + 1 if rule.next_of and dropped else length
        rows = {
            part.found.name: self._rows(part.found.name, count)
            for part in parts
        }
        values = read_vector(key, parts, rows, self._datasets)
        if not rule.next_of:
            return values
        following = values[1:]
        return (
            following if dropped else np.concatenate([following, values[-1:]])
        )

    # --- time -------------------------------------------------------------------------------------

    @cached_property
    def _aligned(self) -> Aligned | None:
        """The rows of all streams on one clock; None where all have the same."""
        rule = self._layout.time
        if rule.align is None:
            return None
        times = {}
        for name, count, path in self._streams():
            stamps = self._datasets.need(
                [path or rule.timestamps or "timestamps"]
            )
            times[name] = read_times(stamps, rule, self._datasets)
            if len(times[name]) != count:
                raise self._differing(
                    {name: count, stamps.name: len(times[name])}
                )
        return align(times, rule, self._layout.fps, self.place)

    def _time_notes(self, length: int) -> list[str]:
        rule, fps = self._layout.time, self._layout.fps
        if self._aligned:
            return [
                _aligned_note(name, self._aligned)
                for name in self._aligned.rows
            ]
        notes = []
        rate = recorded_rate(rule, self._root, self.place)
        if disagrees(rate, fps):
            notes.append(
                f"the recording tells {rate:g} frames a second, {fps} are written"
            )
        found = (
            self._datasets.first([rule.timestamps]) if rule.timestamps else None
        )
        if found is not None:
            times = read_times(found, rule, self._datasets)[: length + 1]
            measured = measured_rate(times)
            if measured is not None and disagrees(measured, fps):
                notes.append(
                    f"its clock tells {measured:.2f} frames a second, {fps} are written"
                )
        return notes


def _aligned_note(name: str, aligned: Aligned) -> str:
    far = aligned.far[name]
    note = f"{name}: rows up to {aligned.errors[name] * 1000:.1f} ms from their frame"
    return (
        f"{note}, {far} of {aligned.length} farther than the limit"
        if far
        else note
    )


def names_in(value: object) -> Sequence[str]:
    """The names that a list of episodes holds."""
    values = np.asarray(value).ravel().tolist()
    return [
        v.decode("utf-8", "surrogateescape") if isinstance(v, bytes) else str(v)
        for v in values
    ]
