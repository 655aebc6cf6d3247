"""The folder of a dataset that somebody else wrote: the one door to its files.

What is read must be plain files inside of the folder: no link leads out, nothing hangs, and no file
takes more memory than its kind can need.
"""

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from piperline.errors import DatasetError, Place
from piperline.finding import command
from piperline.lerobot.values import Values
from piperline.text import is_utf8, printable

_MIB = 1 << 20
_LARGEST_DOCUMENT = 64 * _MIB
_LONGEST_LINE = 64 * _MIB
_LARGEST_TABLE = 1024 * _MIB
_TABLES = re.compile(
    r"info\.json|tasks\..*|episodes(\.jsonl|/.*)|piperline_seal\.json"
)
"""Files of `meta/` that tell of the episodes."""


class DatasetFolder:
    """A dataset's folder.

    Args:
        root: the folder.

    Attributes:
        root: the folder.

    Raises:
        DatasetError: its path is not UTF-8: neither Parquet's readers nor scripts can name it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real = os.path.realpath(root)
        self._folders: dict[Path, str] = {}
        if not is_utf8(self._real):
            raise DatasetError(
                "the path of the dataset is not UTF-8",
                place=Place(file=root),
                expected="folders whose names can be written as text",
                found=printable(self._real),
                next_step="rename the folder, or copy the dataset to another one",
            )

    def path(
        self, path: Path | str, what: str = "a file of the dataset"
    ) -> Path:
        """A file of the dataset; `what` it is, for errors.

        Raises:
            DatasetError: it is missing, no plain file, or a link leads out of the dataset to it.
        """
        path = self.root / path
        with _opening(path, what):
            real = self._inside(path)
            mode = real.stat().st_mode
        if not stat.S_ISREG(mode):
            raise DatasetError(
                "this is no plain file",
                place=Place(file=path),
                expected="a file of a dataset",
                found=_kind(mode),
            )
        return path

    def made_of(self, episode: int) -> str:
        """What tells whether the dataset of an episode has changed since; stays when it is moved.

        Raises:
            DatasetError: a file that tells of the episodes cannot be read.
        """
        text = f"{self._tables} {episode}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @cached_property
    def _tables(self) -> str:
        """SHA-256 of the files that tell of the episodes, and of the seal."""
        digest = hashlib.sha256()
        meta = self.root / "meta"
        for path in sorted(meta.glob("**/*")):
            name = str(path.relative_to(meta))
            if _TABLES.fullmatch(name) and not path.is_dir():
                with self.open(Path("meta") / name, _LARGEST_TABLE) as file:
                    content = hashlib.sha256(file.read())
                digest.update(f"{name!r} {content.hexdigest()}\n".encode())
        return digest.hexdigest()

    def has(self, path: Path | str) -> bool:
        """Whether there is something of this name, or something that hides it from this user."""
        try:
            (self.root / path).stat()
        except PermissionError:
            return True
        except (OSError, ValueError):
            return False
        return True

    def open(self, path: Path | str, largest: int) -> BinaryIO:
        """Open a file for reading.

        Args:
            path: below the folder.
            largest: bytes that it may have.

        Raises:
            DatasetError: as for `path`, or it is larger.
        """
        name = Path(path).name
        path = self.path(path, name)
        with _opening(path, name):
            file = path.open("rb")
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            file.close()
            raise DatasetError(
                "the file is larger than such a file can be",
                place=Place(file=path),
                expected=f"at most {largest} bytes",
                found=f"{size} bytes",
            )
        return file

    def document(self, path: Path | str) -> Values:
        """Read a JSON object.

        Raises:
            DatasetError: as for `path`, or it is no JSON object.
        """
        name = Path(path).name
        found = self.json(path)
        if not isinstance(found, dict):
            raise DatasetError(
                f"{name} is not a JSON object",
                place=Place(file=self.root / path),
                expected="a JSON object: {...}",
                found=f"a {type(found).__name__}",
            )
        return Values(found, name, Place(file=self.root / path))

    def json(self, path: Path | str) -> object:
        """Read a JSON file.

        Raises:
            DatasetError: as for `path`, or it is no JSON.
        """
        with self.open(path, _LARGEST_DOCUMENT) as file:
            text = file.read()
        return _parsed(text, Path(path).name, self.root / path)

    def lines(self, path: Path | str) -> Iterator[Values]:
        """The objects of a JSON lines file, empty lines left out.

        Raises:
            DatasetError: as for `path`, or a line is not a JSON object.
        """
        file_path = self.root / path  # made once: lines are many
        name = Path(path).name
        with self.open(path, _LARGEST_TABLE) as file:
            for number, line in enumerate(
                iter(lambda: file.readline(_LONGEST_LINE), b""), 1
            ):
                if line.strip():
                    where = f"line {number}"
                    yield _row(file_path, where, line, f"{where} of {name}")

    def line_at(self, path: Path | str, offset: int) -> Values:
        """The object of the line that begins at byte `offset` of a JSON lines file.

        Raises:
            DatasetError: as for `path`, or the line is not a JSON object.
        """
        with self.path(path).open("rb") as file:
            file.seek(offset)
            line = file.readline(_LONGEST_LINE)
        where = f"the line at byte {offset}"
        return _row(
            self.root / path, where, line, f"{where} of {Path(path).name}"
        )

    def check_links(self) -> None:
        """See that no link below the folder leads out of it, or nowhere.

        Raises:
            DatasetError: one does.
        """
        for path in sorted(_links_below(self.root)):
            if leaves(self.root, path):
                raise _link_error(self.root, path)

    def _inside(self, path: Path) -> Path:
        """Where a path really leads to: inside of the folder.

        Raises:
            DatasetError: a link leads out.
        """
        real = self._real_path(path)
        if not real.startswith(self._real.rstrip("/") + "/"):
            raise _link_error(self.root, path)
        return Path(real)

    def _real_path(self, path: Path) -> str:
        """Where a path really leads to; thousands of files lie in a few folders."""
        if path.is_symlink() or path.name == "..":
            return os.path.realpath(path)
        folder = self._folders.get(path.parent)
        if folder is None:
            folder = os.path.realpath(path.parent)
            self._folders[path.parent] = folder
        return os.path.join(folder, path.name)  # noqa: PTH118 - texts are compared


def leaves(root: Path, path: Path) -> bool:
    """Whether `path` below `root` is a link that leads out of `root`, or nowhere."""
    if not path.is_symlink():
        return False
    target = Path(os.path.realpath(path))
    inside = target.is_relative_to(os.path.realpath(root))
    return not inside or not target.exists()


def _links_below(root: Path) -> Iterator[Path]:
    """Every link below `root`; links are not followed."""
    folders = [root]
    while folders:
        # what cannot be listed can be neither read nor uploaded
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    yield Path(entry.path)
                elif entry.is_dir():
                    folders.append(Path(entry.path))


def _link_error(root: Path, path: Path) -> DatasetError:
    real = Path(os.path.realpath(path))
    there = real.exists()
    copy = f"{root.resolve()}_copy"
    return DatasetError(
        "a link leads out of the dataset" if there else "a link leads nowhere",
        place=Place(file=path),
        expected="files inside of the dataset's folder",
        found=f"a link to {printable(str(real))}",
        next_step=f"if those files are meant, copy them: {command('cp', '-rL', root, copy)}"
        if there
        else f"put back what it led to, or remove it: {command('rm', path)}",
    )


@contextmanager
def _opening(path: Path, what: str) -> Iterator[None]:
    """Turn what the system says about a file that is asked for into an error with a place."""
    try:
        yield
    except OSError as error:
        absent = error.errno in {
            errno.ENOENT,
            errno.ENOTDIR,
            errno.ELOOP,
            errno.ENAMETOOLONG,
        }
        if absent:
            raise DatasetError(
                f"{what} is missing",
                place=Place(file=path),
                expected="a file of that name",
                found=str(error.strerror),
            ) from error
        raise DatasetError(
            f"{what} cannot be read",
            place=Place(file=path),
            expected="a file that this user can read",
            found=str(error.strerror),
            next_step="give the permission, or run this as its owner"
            if isinstance(error, PermissionError)
            else "fetch the dataset again, or copy it to another disk",
        ) from error


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a device or socket"


def _row(path: Path, where: str, line: bytes, name: str) -> Values:
    place, row = Place(file=path), _parsed(line, where, path)
    if not isinstance(row, dict):
        raise DatasetError(
            f"{where} is not a JSON object",
            place=place,
            expected="a JSON object: {...}",
            found=f"a {type(row).__name__}",
        )
    return Values(row, name, place)


def _parsed(data: bytes, where: str, path: Path) -> object:
    """The JSON value in `data`.

    Raises:
        DatasetError: it is none, or nested too deep.
    """
    try:
        found: object = json.loads(data.decode())
        # half of a surrogate pair is no text that can be written again
        if b"\\u" in data:
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise DatasetError(
            f"{where} is not JSON",
            place=Place(file=path),
            found=printable(str(error)),
            expected="JSON of UTF-8 text",
        ) from error
    return found
