"""Finding the recordings that a command line names."""

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from piperline.errors import Place, RecordingError
from piperline.text import is_utf8, natural_key, printable

SUFFIXES = (".hdf5", ".h5")


Inputs = Path | str | Sequence[Path | str]
"""One file or folder, or several."""


def find_recordings(
    inputs: Inputs, pattern: str | None = None
) -> list[tuple[Path, str]]:
    """The recordings that `inputs` name: files as they are, folders by what lies in them.

    Of a folder these are the HDF5 files directly in it, or if there are none, all in the folders
    below it.

    Args:
        inputs: files and folders.
        pattern: which files below a folder, such as `**/data/trajectory.hdf5`; all if None.

    Returns:
        Pairs of path and the name by which a file is told from others, each file once: inputs in
            the given order,
        files of a folder in natural order.

    Raises:
        RecordingError: an input is missing, or a folder holds no HDF5 file.
    """
    found: dict[Path, tuple[Path, str]] = {}
    paths = [inputs] if isinstance(inputs, str | Path) else inputs
    for given in map(Path, paths):
        folder = given if given.is_dir() else None
        for path in _hdf5_files(given, pattern) if folder else [given]:
            _check(path)
            real = resolved(path)
            found.setdefault(real, (path, _source(path, real, folder)))
    return list(found.values())


def resolved(path: Path) -> Path:
    """A path without links: those of its folder are followed once for all files in it."""
    if path.is_symlink():
        return path.resolve()
    return _resolved_folder(path.parent, os.getcwd()) / path.name  # noqa: PTH109 - of many files


@lru_cache(64)
def _resolved_folder(folder: Path, _here: str) -> Path:
    return folder.resolve()


def _source(path: Path, real: Path, folder: Path | None) -> str:
    """The path from the folder that was named, with its name in front.

    Args:
        path: as it was found.
        real: without links.
        folder: the folder that was named, if one was.
    """
    if folder is None or path.parent == folder:
        return f"{real.parent.name}/{path.name}"
    return f"{folder.resolve().name}/{path.relative_to(folder)}"


def _check(path: Path) -> None:
    whole = str(path.absolute())
    if not is_utf8(whole):
        raise RecordingError(
            "the name of the file, or of a folder on the way to it, is not UTF-8",
            place=Place(file=path),
            expected="names that the dataset can tell",
            found=printable(whole),
            next_step="rename it",
        )
    if not path.exists():
        link = "a link that leads nowhere"
        raise RecordingError(
            "there is no such file or folder",
            place=Place(file=path),
            expected="HDF5 files, and folders of them",
            found=link if path.is_symlink() else _instead_of(path),
            next_step="check the path",
        )


def _instead_of(path: Path) -> str:
    """What there is in the folder where a missing path breaks off."""
    folder = next(
        parent for parent in path.absolute().parents if parent.is_dir()
    )
    try:
        names = sorted(
            (p.name for p in folder.iterdir()),
            key=natural_key,
        )
    except PermissionError:
        return "nothing of that name"
    visible = [printable(name) for name in names if not name.startswith(".")]
    shown = ", ".join(visible[:8])
    return f"nothing of that name; {folder} holds: {shown or 'nothing'}"


def _hdf5_files(folder: Path, pattern: str | None) -> list[Path]:
    try:
        inside = [
            path for path in folder.iterdir() if not path.name.startswith(".")
        ]
    except PermissionError as error:
        raise RecordingError(
            "there is no permission to read the folder",
            place=Place(file=folder),
            expected="a folder that this user can read",
            found=printable(str(error)),
            next_step="give the permission, or run this as its owner",
        ) from error
    # A link that leads nowhere is told later; it is not passed over.
    files = [path for path in inside if _may_be_recording(path)]
    if not files:
        files = [path for path in _below(folder) if _matches(path, pattern)]
    if not files:
        raise RecordingError(
            "the folder holds no HDF5 files",
            place=Place(file=folder),
            expected=f"files that end with {' or '.join(SUFFIXES)}, in it or below",
            found=f"none that match {pattern}" if pattern else "none",
            next_step="name the folder in which the recordings lie",
        )
    return sorted(
        files, key=lambda path: natural_key(str(path.relative_to(folder)))
    )


def _may_be_recording(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def _below(folder: Path) -> list[Path]:
    """The HDF5 files in all folders below; hidden ones and links to folders are not entered."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name) for name in names if not name.startswith(".")
        ]
    return [path for path in found if _may_be_recording(path)]


def _matches(path: Path, pattern: str | None) -> bool:
    """Whether the end of a path matches, with `**` for any number of folders, also none."""
    if pattern is None:
        return True
    plain = pattern.removeprefix("**/").replace("/**/", "/*")
    return fnmatchcase(path.absolute().as_posix(), f"*/{plain}")


def recording_near(source: str, dataset: Path) -> Path | None:
    """The recording that a dataset tells of: here, or beside the dataset; None where it is not.

    Args:
        source: as the dataset tells it, which may be anything.
        dataset: its folder.
    """
    told = Path(source)
    if told.is_absolute() or ".." in told.parts or "\0" in source:
        return None
    near = [folder / told for folder in (Path(), dataset.resolve().parent)]
    return next((path for path in near if path.is_file()), None)
