"""Recordings: HDF5 files seen through a layout.

Files are untrusted. Nothing outside a file is ever followed (external links, external storage,
virtual datasets), and sizes are checked before anything is read.
"""

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from piperline.errors import BadEpisode, LayoutMismatch, PiperlineError, Place
from piperline.recordings.datasets import REPAIR
from piperline.recordings.hdf5 import (
    describe,
    follow,
    is_there,
    lookup,
    matching,
    member_names,
    open_file,
    reading,
    resolve,
)
from piperline.recordings.layout import Layout, builtin_layouts, load_layout
from piperline.recordings.reader import reading_at
from piperline.recordings.recorded_episode import Episode, names_in
from piperline.text import is_utf8, listed, natural_key, printable

_TRIED = 20


@dataclass
class _Advice:
    """What was found out last about something that does not fit.

    Attributes:
        file: the path, its time of change, and the layout.
        text: the advice.
    """

    file: tuple[Path, int, Layout] | None = None
    text: str = ""


_advice = _Advice()


class Recording:
    """An open HDF5 file; a context manager.

    Args:
        path: the file.
        layout: what it should hold.
        file: the file, where it is open already.

    Raises:
        RecordingError: it is missing, not HDF5, cut short, damaged, or open for writing elsewhere.
    """

    def __init__(
        self, path: Path, layout: Layout, file: h5py.File | None = None
    ) -> None:
        self.path = path
        self.layout = layout
        self._file = file or open_file(path)
        self._place = Place(file=path)
        self._left_out: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def episodes(self) -> list[str]:
        """The names of the episodes in natural order; of one episode per file, the file's stem.

        Those that the layout's filters leave out are not among them: see `left_out`.

        Raises:
            LayoutMismatch: there is none.
        """
        names = list(self._roots())
        if not names:
            at = self.layout.episodes.at
            where = "at the top level" if at == "groups" else f"at {at}"
            raise LayoutMismatch(
                "the file holds no episodes",
                place=self._place,
                expected=f"a group for each episode {where} (layout {self.layout.name})",
                found=listed(member_names(self._file, self._place)),
                next_step=self._suggestion(),
            )
        self._left_out = {
            name: reason for name in names if (reason := self._unwanted(name))
        }
        return [name for name in names if name not in self._left_out]

    def left_out(self) -> dict[str, str]:
        """The episodes that the layout's filters leave out, and why; known after `episodes`."""
        return self._left_out

    def episode(self, name: str) -> Episode:
        """One episode.

        Raises:
            BadEpisode: it is a link out of the file, or not a group, or its name is not UTF-8.
        """
        return self._episode(name, self._suggestion)

    def _episode(
        self, name: str, suggestion: Callable[[], str] | None = None
    ) -> Episode:
        place = Place(file=self.path, episode=name)
        reading_at(place)
        if not is_utf8(name):
            raise BadEpisode(
                "the name of the episode is not UTF-8",
                place=place,
                expected="a name that the dataset can tell",
                found=printable(name),
                next_step="rename the group, or leave the episode out with --skip-bad",
            )
        rule = self.layout.episodes
        root: Any = self._file
        if rule.at != "file" and "{number}" not in rule.at:
            root = self._group(name, place)
        return Episode(
            root,
            name,
            self.layout,
            place,
            suggestion=suggestion,
            number=name.rpartition("_")[2] if "{number}" in rule.at else None,
            span=self._spans().get(name) if rule.ends else None,
        )

    def _group(self, name: str, place: Place) -> h5py.Group:
        at = self.layout.episodes.at
        path = name if at == "groups" else f"{at.rpartition('/')[0]}/{name}"
        found = resolve(self._file, path, place)
        if not isinstance(found, h5py.Group):
            raise BadEpisode(
                "the episode is not a group",
                place=place,
                expected="a group",
                found=describe(found),
                next_step=REPAIR,
            )
        return found

    def _roots(self) -> Iterable[str]:
        """The names of all episodes, in natural order, each looked at when it is asked for."""
        rule = self.layout.episodes
        if rule.ends:
            return self._spans()
        if rule.at == "file":
            return [self.path.stem]
        if "{number}" in rule.at:
            found = matching(
                self._file, rule.at.replace("{number}", "*"), self._place
            )
            return [
                f"episode_{star}"
                for star, _ in found
                if star.isascii() and star.isdigit()
            ]
        if rule.at == "groups":
            names = member_names(self._file, self._place)
            return filter(self._may_be_episode, sorted(names, key=natural_key))
        found = matching(self._file, rule.at, self._place)
        return [path.rpartition("/")[2] for _, path in found]

    def _may_be_episode(self, name: str) -> bool:
        """Groups are; links too, so that they are refused and not passed over."""
        with reading(self._place):
            found = follow(self._file, name)
        return not isinstance(found, (h5py.Dataset, h5py.Datatype))

    def _spans(self) -> dict[str, tuple[int, int]]:
        """The episodes of a stream that is cut: the half-open rows of each."""
        ends = self.layout.episodes.ends or ""
        values = lookup(self._file, ends, self._place)
        flags = np.asarray(values if values is not None else [])
        if flags.ndim != 1 or flags.dtype.kind not in "biuf":
            return {}
        stops = (np.flatnonzero(flags) + 1).tolist()
        starts = [0, *stops[:-1]]
        spans = zip(starts, stops, strict=False)
        return {f"episode_{number}": span for number, span in enumerate(spans)}

    # --- filters ----------------------------------------------------------------------------------

    def _unwanted(self, name: str) -> str | None:
        """Why an episode is left out; None if it is not."""
        rule = self.layout.episodes
        if not (
            rule.where or rule.listed_in or rule.at_least > 1
        ) or not is_utf8(name):
            return None
        if rule.listed_in is not None:
            listing = lookup(self._file, rule.listed_in, self._place)
            if listing is not None and name not in names_in(listing):
                return f"it is not listed in {rule.listed_in}"
        try:
            return self._unwanted_inside(name)
        except PiperlineError:
            return None  # told when it is converted

    def _unwanted_inside(self, name: str) -> str | None:
        rule = self.layout.episodes
        episode = self._episode(name)
        for reference in rule.where:
            value = lookup(episode.root, reference, episode.place)
            if value is not None and not _is_true(value):
                return (
                    f"{reference.lstrip('@')} is {printable(str(value))[:40]}"
                )
        if rule.at_least > 1:
            length = episode.header().length
            if length < rule.at_least:
                return f"{length} frames, fewer than {rule.at_least}"
        return None

    # --- other layouts ----------------------------------------------------------------------------

    def _suggestion(self) -> str:
        """What to do about something that does not fit the layout; found out once for a file.

        Also where each episode opens the file anew: with thousands of bad ones it would take hours.
        """
        file = (self.path, self.path.stat().st_mtime_ns, self.layout)
        if _advice.file != file:
            _advice.text = self._find_advice()
            _advice.file = file
        return _advice.text

    def _find_advice(self) -> str:
        if self.fits(self.layout):
            return REPAIR
        others = (
            load_layout(name)
            for name in builtin_layouts()
            if name != self.layout.name
        )
        fitting = [layout.name for layout in others if self.fits(layout)]
        if fitting:
            return f"the built-in layout {fitting[0]} fits this file: add --layout {fitting[0]}"
        command = f"piperline layout draft {shlex.quote(str(self.path))}"
        return f"describe the file in a layout of its own: {command}"

    def fits(self, layout: Layout) -> bool:
        """Whether one of the first episodes is what `layout` says, and has the signs of it."""
        return self.first_fitting(layout) is not None

    def first_fitting(
        self, layout: Layout, most: int | None = _TRIED
    ) -> Episode | None:
        """The first episode that is what `layout` says, among the first so many, or all."""
        other = Recording(self.path, layout, self._file)
        names = islice(other._roots(), most)
        found = (other._fitting(name) for name in names)
        try:
            return next(filter(None, found), None)
        except PiperlineError:
            return None

    def share_of(self, layout: Layout) -> float:
        """The share of a layout's datasets that are there in the first episode, 0 to 1."""
        other = Recording(self.path, layout, self._file)
        try:
            name = next(iter(other._roots()), None)
            return 0.0 if name is None else other._episode(name).share()
        except PiperlineError:
            return 0.0

    def _fitting(self, name: str) -> Episode | None:
        signs = self.layout.signs
        try:
            episode = self._episode(name)
            for reference in signs.has:
                if not is_there(episode.root, reference, episode.place):
                    return None
            for reference in signs.lacks:
                if is_there(episode.root, reference, episode.place):
                    return None
            episode.check_structure()
        except PiperlineError:
            return None
        return episode


def _is_true(value: object) -> bool:
    """Whether a recorded mark, a number or a word, says yes."""
    mark = np.asarray(value)
    if mark.dtype.kind in "biuf":
        return bool(mark.all())
    words = {str(word).lower() for word in names_in(value)}
    return not words & {"", "0", "no", "false", "fail", "failed", "failure"}
