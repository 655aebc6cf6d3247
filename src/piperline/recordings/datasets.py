"""The datasets of an episode, opened once each; and errors about those that do not fit."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np

from piperline.errors import BadEpisode, LayoutMismatch, Place
from piperline.recordings.hdf5 import (
    absurd,
    describe,
    is_link,
    matching,
    member_names,
    reading,
    refuse_foreign_storage,
    resolve,
)
from piperline.text import listed, printable

REPAIR = "repair the recording, or leave the episode out with --skip-bad"

_MAX_BYTES, _MAX_CHUNK = 1 << 30, 128 << 20


@dataclass(frozen=True)
class OpenDataset:
    """A dataset, and what h5py would look up at each use; without a shape it holds nothing."""

    data: h5py.Dataset
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Datasets:
    """The datasets below the group of an episode.

    Args:
        root: the group.
        layout: the name of the layout, for error messages.
        place: the file and the episode.
        number: what `{number}` stands for in paths.
        suggestion: tells which layout fits better, for error messages.
    """

    def __init__(
        self,
        root: h5py.Group,
        layout: str,
        place: Place,
        number: str | None = None,
        suggestion: Callable[[], str] | None = None,
    ) -> None:
        self.root, self.place = root, place
        self._layout, self._number, self._suggestion = (
            layout,
            number,
            suggestion,
        )
        self._opened: dict[str, OpenDataset] = {}

    @property
    def used(self) -> frozenset[str]:
        """The full paths of those that were opened."""
        return frozenset(found.name for found in self._opened.values())

    def first(self, paths: Sequence[str]) -> OpenDataset | None:
        """The first dataset that exists, or None.

        Raises:
            LayoutMismatch: there is a group in the place of one.
            BadEpisode: a link leaves the file or goes in circles, or the dataset lies elsewhere.
        """
        for path in map(self._numbered, paths):
            if path in self._opened:
                return self._opened[path]
            node = resolve(self.root, path, self.place)
            if node is not None:
                return self._open(path, node)
        return None

    def need(self, paths: Sequence[str]) -> OpenDataset:
        """The first dataset that exists.

        Raises:
            LayoutMismatch: there is none.
            BadEpisode: as `first`.
        """
        found = self.first(paths)
        if found is None:
            raise self.missing(paths)
        return found

    def matching(self, path: str) -> list[tuple[str, str]]:
        """What `*` stands for in a path, and the path, for all that matches, in natural order."""
        return matching(self.root, self._numbered(path), self.place)

    def at(self, path: str, frame: int | None = None) -> Place:
        """A place in the episode."""
        return replace(self.place, hdf5_path=path, frame=frame)

    def full(self, path: str) -> str:
        """A path from the top of the file."""
        return f"{self.root.name.rstrip('/')}/{self._numbered(path)}"

    def mismatch(
        self, message: str, path: str, expected: str, found: str
    ) -> LayoutMismatch:
        """The error for something that is not as the layout declares it."""
        return mismatch(
            message,
            self.at(path),
            f"{expected} (layout {self._layout})",
            found,
            self._suggestion,
        )

    def refuse_absurd(self, found: OpenDataset) -> None:
        """See that a dataset can be in memory as a whole.

        Raises:
            BadEpisode: it cannot.
        """
        size = found.dtype.itemsize * math.prod(found.shape)
        if size > _MAX_BYTES:
            raise absurd(found.data, self.at(found.name), size, _MAX_BYTES)
        chunk = found.dtype.itemsize * math.prod(found.data.chunks or (0,))
        if chunk > _MAX_CHUNK:  # HDF5 decompresses a chunk whole
            raise absurd(found.data, self.at(found.name), chunk, _MAX_CHUNK)

    def _numbered(self, path: str) -> str:
        return (
            path.replace("{number}", self._number)
            if self._number is not None
            else path
        )

    def _open(self, path: str, data: h5py.HLObject) -> OpenDataset:
        if not isinstance(data, h5py.Dataset):
            raise self.missing([path])
        name = data.name
        place = self.at(name)
        refuse_foreign_storage(data, place)
        with reading(place, BadEpisode):
            dtype, shape = data.dtype, data.shape
        found = self._opened[path] = OpenDataset(
            data,
            name,
            dtype,
            shape or (),
        )
        return found

    def missing(self, paths: Sequence[str]) -> LayoutMismatch:
        """The error for a dataset that is at none of its paths."""
        wanted = " or ".join(self._numbered(path) for path in paths)
        path = self._numbered(paths[0])
        expected, found = f"the dataset {wanted}", self.instead_of(path)
        return self.mismatch(
            "a dataset is missing", self.full(path), expected, found
        )

    def instead_of(self, path: str) -> str:
        """What there is where a dataset should be, or where its path breaks off."""
        with reading(self.place, BadEpisode):
            is_empty = len(self.root) == 0
        if is_empty:
            return "an empty group"
        there = resolve(self.root, path, self.place)
        if there is not None:
            return describe(there)
        group, parts = self.root, path.split("/")
        for part in parts:
            below = resolve(group, part, self.place)
            if not isinstance(below, h5py.Group):
                break
            group = below
        else:
            part = parts[-1]
        target = is_link(group, part, self.place)
        if target is not None:
            return f"a link to {printable(target)}, where nothing lies"
        names = listed(member_names(group, self.place))
        return (
            "beside it: " + names
            if group == self.root
            else f"{group.name} holds: {names}"
        )


def mismatch(
    message: str,
    place: Place,
    expected: str,
    found: str,
    suggestion: Callable[[], str] | None,
) -> LayoutMismatch:
    """The error for something that is not as the layout declares it."""
    step = suggestion() if suggestion else None
    return LayoutMismatch(
        message, place=place, expected=expected, found=found, next_step=step
    )
