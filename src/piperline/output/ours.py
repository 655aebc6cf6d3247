"""Whether a dataset may be replaced: it holds what we wrote into it, with the same bytes."""

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from piperline.errors import DatasetError, OutputExists, Place
from piperline.files import identity, read_json
from piperline.lerobot.info import PROVENANCE
from piperline.process import usable_cpus
from piperline.seal.digests import file_digest
from piperline.seal.seal import FileSeal, Seal, is_sealed
from piperline.text import printable
from piperline.threads import batches, in_threads

_SHARD = "meta/shard.json"  # see piperline.cluster.shards
_SHOWN = 10
_BATCH = 32
"""Files of a request: one by one they take longer to hand out than to read."""

Watch = Callable[[int, int], None]
"""Told how many bytes of how many were read."""


def is_ours(root: Path) -> bool:
    """Whether a folder says of itself that it is a dataset of ours."""
    return (root / PROVENANCE).is_file()


def check_names(root: Path) -> None:
    """See that a dataset of ours holds our files and no other, by names and sizes.

    Raises:
        OutputExists: something else is in it.
    """
    _checked_names(root)


def _checked_names(root: Path) -> dict[str, FileSeal]:
    files, seals = _files(root), _seals(root)
    foreign = [name for name in files if not _may_be_ours(root, name, seals)]
    if foreign:
        raise _not_ours(root, foreign)
    return seals


def check_bytes(root: Path, watch: Watch = lambda _done, _all: None) -> str:
    """See that a dataset of ours holds what we wrote into it: all of it is read.

    Args:
        root: its folder.
        watch: told how many bytes of how many were read.

    Returns:
        Its state; see `state`.

    Raises:
        OutputExists: something else is in it.
    """
    seals = _checked_names(root)
    found = state(root)
    there = [name for name in seals if (root / name).is_file()]
    _check_read(root, {name: seals[name] for name in there}, watch)
    return found


def check_rows(root: Path) -> None:
    """As `check_bytes`; of videos their sizes must do.

    Raises:
        OutputExists: something else is in it.
    """
    seals = _checked_names(root)
    read = {
        name: seal
        for name, seal in seals.items()
        if not name.startswith("videos/") and (root / name).is_file()
    }
    _check_read(root, read, lambda _done, _all: None)


def _check_read(root: Path, seals: dict[str, FileSeal], watch: Watch) -> None:
    """See that files have the bytes that were sealed."""
    total, done, foreign = sum(seal.bytes for seal in seals.values()), 0, []
    digests = in_threads(
        lambda name: file_digest(root / name),
        seals,
        usable_cpus(),
        batch=_BATCH,
    )
    looked = zip(seals.items(), digests, strict=True)
    for some in batches(looked, _BATCH):
        for (name, seal), digest in some:
            if digest != seal.sha256:
                foreign.append(name)
            done += seal.bytes
        watch(done, total)
    if foreign:
        raise _not_ours(root, foreign)


def state(root: Path) -> str:
    """Tells a dataset from others and from itself after a change; stays when it is renamed.

    Empty if there is none.
    """
    folder = identity(root)
    if not folder:
        return ""
    digest = hashlib.sha256()
    for name in _files(root):
        if name.startswith("meta/") and not is_sealed(name, ""):
            continue  # GR00T may write its statistics at any time
        seen = os.lstat(f"{root}/{name}")
        line = f"{name}\0{seen.st_size} {seen.st_mtime_ns} {seen.st_ino}\n"
        digest.update(os.fsencode(line))
    return f"{folder} {digest.hexdigest()}"


def _files(root: Path) -> list[str]:
    """Everything in a folder that is no folder, or an empty one, by its path below it."""
    found: list[str] = []
    for folder, folders, files in os.walk(root, onerror=_raise):
        here = Path(folder)
        links = [name for name in folders if (here / name).is_symlink()]
        below = os.path.relpath(folder, root)
        prefix = "" if below == "." else f"{below}/"
        found += [prefix + name for name in (*files, *links)]
        if not folders and not files and here != root:
            found.append(str(here.relative_to(root)))
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def _seals(root: Path) -> dict[str, FileSeal]:
    """What we wrote into a dataset; an empty shard is not sealed, and holds two files of ours.

    Raises:
        OutputExists: nobody can say.
    """
    try:
        seal = Seal.from_disk(root)
    except DatasetError as error:
        raise _unknown(root, error.message) from error
    if seal is not None:
        # training may write statistics anew, whatever the format
        return {
            name: file
            for name, file in seal.files.items()
            if is_sealed(name, "")
        }
    if _is_empty_shard(root):
        return {}
    raise _unknown(root, "it has no seal")


def _is_empty_shard(root: Path) -> bool:
    """Whether a folder holds the two files of a shard without episodes, as we write them."""
    if set(_files(root)) != {str(PROVENANCE), _SHARD}:
        return False
    try:
        record, shard = read_json(root / PROVENANCE), read_json(root / _SHARD)
    except (OSError, ValueError):
        return False
    told = isinstance(record, dict) and isinstance(shard, dict)
    return told and str(record.get("made_by")).startswith("piperline ")


def _may_be_ours(root: Path, name: str, seals: dict[str, FileSeal]) -> bool:
    status = os.lstat(f"{root}/{name}")
    if stat.S_ISDIR(status.st_mode):
        return any(sealed.startswith(f"{name}/") for sealed in seals)
    if not stat.S_ISREG(status.st_mode):
        return False
    if name in seals:
        return status.st_size == seals[name].bytes
    return name in {_SHARD, str(PROVENANCE)} or (
        name.startswith("meta/") and not is_sealed(name, "")
    )


def _not_ours(root: Path, names: list[str]) -> OutputExists:
    shown = ", ".join(map(printable, names[:_SHOWN]))
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return OutputExists(
        "the dataset holds what piperline did not write into it (not changed)",
        place=Place(file=root),
        expected="the files that its seal names, with the same bytes",
        found=shown + more,
        next_step="move what you want to keep out of it, or name another output; "
        "a dataset that you have changed must be moved away to be made anew",
    )


def _unknown(root: Path, why: str) -> OutputExists:
    return OutputExists(
        "nobody can say whether the dataset is as piperline made it (not changed)",
        place=Place(file=root),
        expected="a dataset with its seal, meta/piperline_seal.json",
        found=why,
        next_step="move it away, or name another output",
    )
