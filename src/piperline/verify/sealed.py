"""A dataset against its seal: which file, which episode and which camera changed."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from piperline.errors import DatasetError, Place
from piperline.finding import Finding
from piperline.lerobot.digests import rows_digest
from piperline.process import usable_cpus
from piperline.seal.contents import Contents
from piperline.seal.digests import file_digest
from piperline.seal.seal import Seal, packets_of
from piperline.threads import in_threads
from piperline.verify.progress import Tally
from piperline.verify.report import Looked

_REMEDY = "fetch the dataset again, or put the file back from a copy"


def check_seal(
    root: Path,
    seal: Seal,
    contents: Contents | None,
    looked: Looked,
    progress: Tally,
) -> list[Finding]:
    """Every sealed file is there, and holds what it held.

    Args:
        root: the dataset.
        seal: what it held.
        contents: the dataset, if it can be read: then changes are told by episode.
        looked: counts what is looked at.
        progress: told of what was passed.
    """
    progress.begin("seal", sum(file.bytes for file in seal.files.values()))
    found: dict[str, str | None] = {}
    digests = in_threads(
        lambda name: _digest(root / name), seal.files, usable_cpus()
    )
    for (name, file), digest in zip(seal.files.items(), digests, strict=True):
        found[name] = digest
        progress.moved(file.bytes)
    changed: list[str] = []
    findings: list[Finding] = []
    for name, sealed in seal.files.items():
        if found[name] is None:
            findings.append(_missing(root / name))
            continue
        looked.files += 1
        looked.file_bytes += (root / name).stat().st_size
        if (root / name).is_symlink():
            findings.append(_link(root / name))
        elif found[name] != sealed.sha256:
            changed.append(name)
    if not changed:
        return findings
    parts = _Parts(seal, contents)
    for name in changed:
        findings += parts.what_changed(root / name, seal.files[name].bytes)
    return findings


def _digest(path: Path) -> str | None:
    try:
        return file_digest(path)
    except OSError:
        return None


def _missing(path: Path) -> Finding:
    message = "a sealed file is missing, or cannot be read"
    return Finding(
        "sealed-file-missing",
        "error",
        message,
        Place(file=path),
        remedy=_REMEDY,
    )


def _link(path: Path) -> Finding:
    message = "a sealed file was replaced by a link"
    return Finding(
        "sealed-file-link", "error", message, Place(file=path), remedy=_REMEDY
    )


class _Parts:
    """What the files of a dataset hold, by episode and camera."""

    def __init__(self, seal: Seal, contents: Contents | None) -> None:
        self._seal, self._contents = seal, contents
        self._rows: dict[Path, list[int]] = {}
        self._clips: dict[Path, list[tuple[int, str]]] = {}
        if contents is None or len(contents.episodes) != len(seal.episodes):
            return
        for episode in range(len(contents.episodes)):
            self._rows.setdefault(contents.data_path(episode), []).append(
                episode
            )
            for camera in contents.cameras:
                path, _ = contents.span(episode, camera)
                self._clips.setdefault(path, []).append((episode, camera))

    def what_changed(self, path: Path, sealed_bytes: int) -> list[Finding]:
        """The episodes of a changed file that changed; the file itself where none did."""
        found = [*self._changed_rows(path), *self._changed_clips(path)]
        if found:
            return found
        numbers = {"bytes": path.stat().st_size, "sealed_bytes": sealed_bytes}
        held = path in self._rows or path in self._clips
        what = ": what it holds of each episode is the same" if held else ""
        message = f"a sealed file has changed{what}"
        return [
            Finding(
                "sealed-file-changed",
                "error",
                message,
                Place(file=path),
                numbers,
                _REMEDY,
            )
        ]

    def _changed_rows(self, path: Path) -> Iterator[Finding]:
        for episode in self._rows.get(path, ()):
            if self._rows_now(episode) != self._seal.episodes[episode].rows:
                place = Place(file=path, episode=str(episode))
                message = (
                    "the rows of an episode have changed since it was sealed"
                )
                yield Finding(
                    "sealed-rows-changed",
                    "error",
                    message,
                    place,
                    remedy=_REMEDY,
                )

    def _rows_now(self, episode: int) -> str | None:
        if self._contents is None:
            return None
        try:
            return rows_digest(self._contents.rows(episode))
        except DatasetError:
            return None

    def _changed_clips(self, path: Path) -> Iterator[Finding]:
        for episode, camera in self._clips.get(path, ()):
            sealed: Mapping[str, str] = self._seal.episodes[episode].packets
            if self._packets_now(episode, camera) != sealed.get(camera):
                place = Place(file=path, episode=str(episode), camera=camera)
                message = (
                    "the video of an episode has changed since it was sealed"
                )
                yield Finding(
                    "sealed-video-changed",
                    "error",
                    message,
                    place,
                    remedy=_REMEDY,
                )

    def _packets_now(self, episode: int, camera: str) -> str | None:
        if self._contents is None:
            return None
        try:
            return packets_of(self._contents, episode, camera)
        except DatasetError:
            return None
