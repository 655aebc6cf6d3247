"""What a repository of the Hub lacks of a dataset, and what it holds beside it."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from piperline.lerobot.info import PROVENANCE
from piperline.seal.digests import file_digest
from piperline.seal.seal import Seal

CONTENT = ("data/", "videos/", "meta/")
"""Where the files of a dataset lie; what else is in a repository is somebody's."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        size: in bytes.
        sha256: of its bytes, where they lie in LFS.
        git: the id that Git gives its bytes, where they do not.
    """

    size: int
    sha256: str | None
    git: str | None


@dataclass(frozen=True)
class Difference:
    """What is to be done to a repository: names of files."""

    add: tuple[str, ...]
    delete: tuple[str, ...]


def difference(
    root: Path, names: list[str], there: Mapping[str, RemoteFile]
) -> Difference:
    """What a repository needs to hold a dataset.

    The seal tells what sealed files hold, so that the videos are not read.

    Args:
        root: the dataset.
        names: its files that are for the repository.
        there: what the repository holds.
    """
    seal = Seal.from_disk(root)
    add = [
        name
        for name in names
        if name not in there or not _is(root, name, there[name], seal)
    ]
    return Difference(tuple(add), tuple(_gone(set(names), there)))


def _gone(names: set[str], there: Mapping[str, RemoteFile]) -> Iterator[str]:
    for name in there:
        if name.startswith(CONTENT) and name not in names:
            yield name


def is_of_others(there: Mapping[str, RemoteFile]) -> bool:
    """Whether a repository holds a dataset that piperline did not make."""
    content = any(name.startswith(CONTENT) for name in there)
    return content and str(PROVENANCE) not in there


def _is(root: Path, name: str, remote: RemoteFile, seal: Seal | None) -> bool:
    path = root / name
    size = path.stat().st_size
    if size != remote.size:
        return False
    if remote.sha256 is None:
        return _git_id(path) == remote.git
    sealed = seal.files.get(name) if seal else None
    if sealed and sealed.bytes == size:
        return sealed.sha256 == remote.sha256
    return file_digest(path) == remote.sha256


def _git_id(path: Path) -> str:
    data = path.read_bytes()
    digest = hashlib.sha1(b"blob %d\0" % len(data), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()
