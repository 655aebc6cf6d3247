"""What comes from the Hub: names stay inside the folder, and files are those announced."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.hf_api import DatasetInfo

from piperline.errors import HubError
from piperline.lerobot.paths import check_inside
from piperline.text import is_utf8, plural, printable

_BLOCK = 1 << 20
_AGAIN = "run the same command again: it goes on where it was"

LEADING_OUT = ["/*", "..", "../*", "*/..", "*/../*", "*\0*"]
"""Patterns of names that are never downloaded, whatever the Hub lists later."""


@dataclass(frozen=True)
class Announced:
    """A file as the Hub announces it.

    Attributes:
        name: its path in the repository.
        size: bytes; None if the Hub does not tell.
        sha256: of its content, for large files.
        blob_id: git's own hash, for small files.
    """

    name: str
    size: int | None
    sha256: str | None
    blob_id: str | None


def announced_files(info: DatasetInfo) -> list[Announced]:
    """The files of a commit.

    Raises:
        HubError: the name of one leads out of the folder that it would be downloaded to.
    """
    files = []
    for item in info.siblings or ():
        _check_name(item.rfilename)
        sha256 = item.lfs.sha256 if item.lfs else None
        files.append(
            Announced(
                item.rfilename,
                item.size,
                sha256,
                item.blob_id,
            )
        )
    return files


def _check_name(name: object) -> None:
    if isinstance(name, str) and is_utf8(name):
        try:
            check_inside(name)
        except ValueError as error:
            raise _no_name(str(error)) from error
    else:
        raise _no_name(repr(name))


def _no_name(found: str) -> HubError:
    return HubError(
        "the repository has a file whose name cannot be that of one",
        expected="paths inside of the repository",
        found=printable(found),
        next_step="do not trust this repository; name another one",
    )


def check_arrived(folder: Path, files: Sequence[Announced]) -> None:
    """See that every file is there, with the bytes that were announced; what is not is removed.

    Raises:
        HubError: a file is missing, or arrived in part or damaged.
    """
    missing = [
        file.name for file in files if not (folder / file.name).is_file()
    ]
    if missing:
        raise HubError(
            "the download is not complete",
            expected=plural(len(files), "file"),
            found=f"{len(missing)} files are missing, the first is {printable(missing[0])}",
            next_step=_AGAIN,
        )
    damaged = [
        file.name
        for file in files
        if not _is_as_announced(folder / file.name, file)
    ]
    for name in damaged:
        # The record of the download goes too, by which the file would be taken for whole.
        (folder / name).unlink()
        (folder / f".cache/huggingface/download/{name}.metadata").unlink(
            missing_ok=True
        )
    if damaged:
        raise HubError(
            "a file did not arrive as the Hub announced it",
            expected="the size and the digest of each file that the Hub tells",
            found=f"{len(damaged)} files with other bytes, the first is {printable(damaged[0])}",
            next_step=_AGAIN,
        )


def _is_as_announced(path: Path, file: Announced) -> bool:
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return False
    if file.sha256:
        return _digest(path, "sha256") == file.sha256
    if file.blob_id:
        return _digest(path, "sha1", b"blob %d\0" % size) == file.blob_id
    return True


def _digest(path: Path, kind: str, head: bytes = b"") -> str:
    digest = hashlib.new(kind, head, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
