"""Finding the recordings that a command line names."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from piperline.errors import Place, RecordingError
from piperline.text import is_utf8, natural_key, printable

if TYPE_CHECKING:
    pass


SUFFIXES = (".hdf5", ".h5")


Inputs = Path | str | Sequence[Path | str]
"""One file or folder, or several."""


def find_recordings(inputs: Inputs) -> list[tuple[Path, str]]:
    """The recordings that `inputs` name: files as they are, folders by what lies directly in them.

    Returns:
        Pairs of path and the name by which a file is told from others, each file once: inputs in the given order,
        files of a folder in natural order.

    Raises:
        RecordingError: an input is missing, or a folder holds no HDF5 file.
    """
    found: dict[Path, tuple[Path, str]] = {}
    paths = [inputs] if isinstance(inputs, str | Path) else inputs
    for given in map(Path, paths):
        for path in _hdf5_files(given) if given.is_dir() else [given]:
            if not is_utf8(str(path)):
                raise RecordingError(
                    "the name of the file is not UTF-8",
                    place=Place(file=path),
                    expected="a name that the dataset can tell",
                    found=printable(path.name),
                    next_step="rename it",
                )
            if not path.exists():
                raise RecordingError(
                    "there is no such file or folder",
                    place=Place(file=path),
                    expected="HDF5 files, and folders of them",
                    found="a link that leads nowhere"
                    if path.is_symlink()
                    else "nothing of that name",
                    next_step="check the path",
                )
            found.setdefault(path.resolve(), (path, f"{path.resolve().parent.name}/{path.name}"))
    return list(found.values())


def _hdf5_files(folder: Path) -> list[Path]:
    try:
        inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except PermissionError as error:
        raise RecordingError(
            "there is no permission to read the folder",
            place=Place(file=folder),
            expected="a folder that this user can read",
            found=printable(str(error)),
            next_step="give the permission, or run this as its owner",
        ) from error
    # A link that leads nowhere is told later; it is not passed over.
    files = [path for path in inside if path.suffix.lower() in SUFFIXES and not path.is_dir()]
    if files:
        return sorted(files, key=lambda path: natural_key(path.name))
    below = sum(
        1 for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    raise RecordingError(
        "the folder holds no HDF5 files",
        place=Place(file=folder),
        expected="files that end with " + " or ".join(SUFFIXES),
        found=f"{below} of them in folders below" if below else "none",
        next_step=f"name those folders: {folder}/*/"
        if below
        else "name the folder in which the recordings lie",
    )
