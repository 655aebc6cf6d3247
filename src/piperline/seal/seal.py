"""`meta/piperline_seal.json`: what every file and every episode of a dataset held when it was made.

The seal follows from the files alone, so equal datasets have equal seals. GR00T may write its
statistics later: those files are not sealed.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from piperline import __version__
from piperline.errors import DatasetError, Place
from piperline.files import LARGEST_TABLE, read_json, sync, write_whole
from piperline.groot.stats import FINGERPRINT_FILE, RELATIVE_FILE, STATS_FILE
from piperline.lerobot.digests import rows_digest
from piperline.lerobot.info import PROVENANCE
from piperline.process import usable_cpus
from piperline.seal.contents import Contents, files_below
from piperline.seal.digests import file_digest
from piperline.text import natural_key
from piperline.threads import batches, in_threads
from piperline.video.digests import frames_digest, payloads_digest
from piperline.video.encoder import LIBRARY
from piperline.video.mp4 import read_track
from piperline.video.packets import packets

SEAL = Path("meta") / "piperline_seal.json"
LOOKED_AT = "looked_at"
"""In a verdict: of each episode how many packets and frames were looked at, and cannot be told."""
SIGNATURE = Path("meta") / "piperline_seal.json.sig"

_FORM = 1
_GROOT = frozenset({STATS_FILE, RELATIVE_FILE, FINGERPRINT_FILE})
_OWN = frozenset({str(SEAL), str(SIGNATURE)})
_SETTINGS = ("made_by", "format", "video", "fps", "size")
_BATCH = 32
"""Files or episodes that are handed to a thread together where most are small, known, or text."""


_LARGEST = 2**63 - 1
"""Bytes of a file, as far as the system can tell of them."""


@dataclass(frozen=True, slots=True)
class FileSeal:
    """A sealed file: its SHA-256, hexadecimal, and its bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class EpisodeSeal:
    """A sealed episode.

    Attributes:
        length: how many rows.
        rows: SHA-256 of its rows; see `rows_digest`.
        packets: SHA-256 of the packets of each camera, by feature key.
        source, name: the recording that it was made from and its name there, where that is known.
    """

    length: int
    rows: str
    packets: Mapping[str, str]
    source: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Seal:
    """What a dataset held when it was sealed.

    Attributes:
        made_from: settings and versions it was made with.
        files: by path below the dataset.
        episodes: in order.
        verdict: what `convert --verify` looked at; None where nothing was.
    """

    made_from: Mapping[str, Any]
    files: Mapping[str, FileSeal]
    episodes: tuple[EpisodeSeal, ...]
    verdict: Mapping[str, Any] | None = None

    def to_disk(self, root: Path) -> None:
        """Write the seal of the dataset at `root`, whole."""
        document = {
            "seal": _FORM,
            "made_from": self.made_from,
            "files": self.files,
            "episodes": self.episodes,
            "verdict": self.verdict,
        }
        document["digest"] = _digest(document)
        write_whole(root / SEAL, _text(document))
        sync((root / SEAL).parent)

    @classmethod
    def from_disk(cls, root: Path) -> "Seal | None":
        """Read the seal of the dataset at `root`; None where it has none.

        Raises:
            DatasetError: it is damaged, or was edited.
        """
        path = root / SEAL
        try:
            document = read_json(path, LARGEST_TABLE)
            return cls._of_document(document)
        except FileNotFoundError:
            return None
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
        ) as error:
            raise DatasetError(
                "the seal is damaged, or was edited",
                place=Place(file=path),
                expected="what piperline wrote",
                found=f"{type(error).__name__}: {error}",
                next_step="fetch the dataset again; or remove the seal, and verify against the "
                "recordings",
            ) from error

    @classmethod
    def _of_document(cls, document: dict[str, Any]) -> "Seal":
        if (
            document.pop("digest") != _digest(document)
            or document["seal"] != _FORM
        ):
            raise ValueError("its digest is that of another text")
        seal = cls(
            document["made_from"],
            {
                name: _file_of(entry)
                for name, entry in document["files"].items()
            },
            tuple(EpisodeSeal(**entry) for entry in document["episodes"]),
            document["verdict"],
        )
        _check_kinds(seal)
        return seal


def _file_of(entry: dict[str, Any]) -> FileSeal:
    sealed = FileSeal(**entry)
    if not isinstance(entry["sha256"], str):
        raise TypeError("the digest of a file is no text")
    if not isinstance(entry["bytes"], int):
        raise TypeError("the size of a file is no whole number")
    if not 0 <= sealed.bytes <= _LARGEST:
        raise ValueError("no file is of such a size")
    return sealed


def _check_kinds(seal: Seal) -> None:
    """See that a seal from disk holds what its readers may go by: anybody can make its digest.

    Raises:
        ValueError: a name is none of a file below the dataset.
        TypeError: a value is of another type.
    """
    if not all(map(_is_below, seal.files)):
        raise ValueError("it names files outside of the dataset")
    if not all(isinstance(episode.packets, dict) for episode in seal.episodes):
        raise TypeError("the packets of an episode are no object")
    if seal.verdict is not None and not isinstance(seal.verdict, dict):
        raise TypeError("the verdict is no object")


def _plain(entry: FileSeal | EpisodeSeal) -> dict[str, Any]:
    """The seal of a file or of an episode as JSON has it."""
    return {name: getattr(entry, name) for name in entry.__slots__}


_line = json.JSONEncoder(ensure_ascii=False, default=_plain).encode
_sorted = json.JSONEncoder(sort_keys=True, default=_plain).encode


def _text(document: Mapping[str, Any]) -> Iterator[str]:
    """The JSON of a seal in pieces, a line for each file and for each episode.

    Python's own indenting takes seconds for 10,000 episodes.
    """
    before = "{\n"
    for key, value in document.items():
        yield f"{before} {_line(key)}: "
        before = ",\n"
        if key == "files":
            files = (f"{_line(name)}: {_line(value[name])}" for name in value)
            yield from _joined("{\n  ", files, ",\n  ", "\n }")
        elif key == "episodes":
            yield from _joined("[\n  ", map(_line, value), ",\n  ", "\n ]")
        else:
            yield _line(value)
    yield "\n}\n"


def _digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of the JSON of a seal with sorted keys."""
    digest = hashlib.sha256()
    before = "{"
    for key, value in sorted(document.items()):
        digest.update(f"{before}{_sorted(key)}: ".encode())
        before = ", "
        for piece in _pieces(value):
            digest.update(piece.encode())
    digest.update(b"}")
    return digest.hexdigest()


def _pieces(value: object) -> Iterator[str]:
    """The JSON of a value with sorted keys, some entries at a time: there may be many."""
    if isinstance(value, Mapping):
        members = batches(sorted(value.items()), _BATCH)
        texts = (_sorted(dict(some))[1:-1] for some in members)
        return _joined("{", texts, ", ", "}")
    if isinstance(value, list | tuple):
        texts = (_sorted(some)[1:-1] for some in batches(value, _BATCH))
        return _joined("[", texts, ", ", "]")
    return iter([_sorted(value)])


def _joined(
    opening: str, texts: Iterable[str], between: str, closing: str
) -> Iterator[str]:
    yield opening
    before = ""
    for text in texts:
        yield before + text
        before = between
    yield closing


def _is_below(name: str) -> bool:
    os.fsencode(name)  # a ValueError where no file can have such a name
    outside = name.startswith("/") or ".." in name.split("/")
    return not outside and "\0" not in name


@dataclass(frozen=True)
class SealedClip:
    """A clip of a sealed dataset.

    Attributes:
        root: the dataset.
        path: its video.
        episode, camera: the number of its episode there, and the feature key.
        packets: SHA-256 of its packets.
    """

    root: Path
    path: Path
    episode: int
    camera: str
    packets: str


@dataclass(frozen=True)
class KnownSeals:
    """What is known of a dataset before it is read.

    Attributes:
        taken: seals of files that were taken over whole, by path below the dataset.
        written: seals of files that were hashed while they were written, likewise.
        packets: by number of the episode and feature key: the SHA-256 of the packets of a clip in
            one of these.
        clips: by number of the episode and feature key: what was sealed of the clip.
        rows: of each episode: the SHA-256 of its rows, where that is known.
        episodes: seals of the first episodes, whose files were all taken over.
    """

    taken: Mapping[str, FileSeal] = field(default_factory=dict)
    written: Mapping[str, FileSeal] = field(default_factory=dict)
    packets: Mapping[tuple[int, str], str] = field(default_factory=dict)
    clips: Mapping[tuple[int, str], SealedClip] = field(default_factory=dict)
    rows: Sequence[str | None] = ()
    episodes: tuple[EpisodeSeal, ...] = ()


_NOTHING = KnownSeals()
_Clip = tuple[int, str, int]
"""An episode, the feature key of a camera, and the first frame in the video."""
_VideoFile = tuple[str, list[_Clip]]
"""Its path below the dataset, and the clips in it."""


def is_sealed(name: str, version: str) -> bool:
    """Whether a seal tells of the file `name`: not itself, nor what GR00T may write into v2."""
    return name not in _OWN and not (version != "v3.0" and name in _GROOT)


def write_seal(
    root: Path,
    verdict: Mapping[str, Any] | None = None,
    *,
    known: KnownSeals = _NOTHING,
) -> None:
    """Seal the complete dataset at `root`, whose files are read for that.

    Args:
        root: its folder.
        verdict: what was verified while it was made.
        known: what need not be read.

    Raises:
        DatasetError: it cannot be read; or a clip is not what it was when it was sealed.
    """
    contents = Contents.open(root)
    made = provenance(root)
    settings = {key: made[key] for key in _SETTINGS if key in made}
    files = _file_seals(root, contents.info.version, known)
    episodes = _episode_seals(contents, made, known)
    made_from = {**settings, "sealed_by": f"piperline {__version__}, {LIBRARY}"}
    Seal(made_from, files, episodes, verdict).to_disk(root)


def _file_seals(
    root: Path, version: str, known: KnownSeals
) -> dict[str, FileSeal]:
    """The seal of each file; those that are not known are read."""
    names = [name for name in files_below(root) if is_sealed(name, version)]

    def told(name: str) -> FileSeal | None:
        return known.written.get(name) or known.taken.get(name)

    read = in_threads(
        lambda name: _file_seal(root / name),
        (name for name in names if not told(name)),
        usable_cpus(),
        batch=_batch(version),
    )
    return {name: told(name) or next(read) for name in names}


def _batch(version: str) -> int:
    """Files that a thread takes at once: those of v3.0 are few and large."""
    return 1 if version == "v3.0" else _BATCH


def _file_seal(path: Path) -> FileSeal:
    return FileSeal(file_digest(path), path.stat().st_size)


def _episode_seals(
    contents: Contents, made: Mapping[str, Any], known: KnownSeals
) -> tuple[EpisodeSeal, ...]:
    for place, clip in known.clips.items():
        if known.packets.get(place, clip.packets) != clip.packets:
            raise _changed(clip)
    numbers = range(len(known.episodes), len(contents.episodes))
    some_known = known.packets or known.clips
    batch = _batch(contents.info.version) if some_known else 1
    files = (_files_of(contents, key, numbers) for key in contents.cameras)
    packets: dict[str, list[str]] = {key: [] for key in contents.cameras}
    for key, digests in in_threads(
        lambda file: _file_digests(contents, known, *file),
        chain.from_iterable(files),
        usable_cpus(),
        batch=batch,
    ):
        packets[key] += digests
    rows = _rows_digests(contents, known, numbers)
    sources = sources_of(made, len(contents.episodes))
    read = (
        EpisodeSeal(
            contents.episodes[episode].length,
            digest,
            dict(zip(packets, of_cameras, strict=True)),
            *sources[episode],
        )
        for episode, digest, *of_cameras in zip(
            numbers, rows, *packets.values(), strict=True
        )
    )
    return (*known.episodes, *read)


def _rows_digests(
    contents: Contents, known: KnownSeals, numbers: range
) -> Iterator[str]:
    """The SHA-256 of the rows of each episode."""

    def of(episode: int) -> str:
        told = known.rows[episode] if episode < len(known.rows) else None
        return told or rows_digest(contents.rows(episode))

    # The reader of v3.0 holds a file open, whose episodes it reads one after the other.
    if contents.info.version == "v3.0":
        return map(of, numbers)
    return in_threads(of, numbers, usable_cpus(), batch=_BATCH)


def _files_of(
    contents: Contents, key: str, numbers: range
) -> Iterator[_VideoFile]:
    """The video files of a camera, in order, and the clips in each."""
    spans = ((number, *contents.place(number, key)) for number in numbers)
    for name, clips in groupby(spans, key=itemgetter(1)):
        yield name, [(number, key, first) for number, _, first in clips]


def _file_digests(
    contents: Contents, known: KnownSeals, name: str, clips: Sequence[_Clip]
) -> tuple[str, list[str]]:
    """A camera; and the SHA-256 of the packets of its clips in a file.

    They are not read where the file was taken over whole, nor where they were hashed while they
    were written; else by byte ranges where that is possible: `verify` asks FFmpeg, so what it finds
    does not follow from our own reading.

    Raises:
        DatasetError: the video cannot be read, or a clip is not what was sealed.
    """
    key = clips[0][1]
    places = [(episode, key) for episode, _, _ in clips]
    held = {
        place: known.clips[place].packets
        for place in places
        if place in known.clips
    }
    taken = name in known.taken
    if taken and len(held) == len(clips):
        return key, list(held.values())
    found = _packets_of_file(contents, known, name, clips)
    if taken:
        found |= held
    for place, sealed in held.items():
        if found[place] != sealed:
            raise _changed(known.clips[place])
    return key, [found[place] for place in places]


def _packets_of_file(
    contents: Contents, known: KnownSeals, name: str, clips: Sequence[_Clip]
) -> dict[tuple[int, str], str]:
    """The SHA-256 of the packets of the clips in a file that was written."""
    found = {
        (episode, key): known.packets[episode, key]
        for episode, key, _ in clips
        if (episode, key) in known.packets
    }
    if len(found) == len(clips):
        return found
    track = read_track(contents.root / name, contents.info.fps)
    for episode, key, first in clips:
        length = contents.episodes[episode].length
        piece = track and track.piece(first, length)
        found[episode, key] = (
            frames_digest(piece)
            if piece
            else packets_of(contents, episode, key)
        )
    return found


def _changed(clip: SealedClip) -> DatasetError:
    return DatasetError(
        "the video of an episode has changed since its dataset was sealed",
        place=Place(
            file=clip.path, episode=str(clip.episode), camera=clip.camera
        ),
        expected="the packets that the seal names",
        found="others",
        next_step=f"see all that changed with `piperline verify {clip.root}`; fetch the dataset "
        "again, or leave the episode out. Where the change is meant, remove the seal",
    )


def packets_of(contents: Contents, episode: int, camera: str) -> str:
    """The SHA-256 of the packets of an episode's clip.

    Raises:
        DatasetError: the video cannot be read.
    """
    path, first = contents.span(episode, camera)
    length = contents.episodes[episode].length
    return payloads_digest(packets(path, contents.info.fps, first, length))


def provenance(root: Path) -> dict[str, Any]:
    """How the dataset at `root` was made, by `meta/piperline.json`; empty where it is not known."""
    try:
        found = read_json(root / PROVENANCE, LARGEST_TABLE)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def left_out_order(entry: object) -> tuple[Any, ...]:
    """By which a record sorts what was left out: so it does not tell when that was seen."""
    known = entry if isinstance(entry, dict) else {}
    source, episode = known.get("source"), known.get("episode")
    return natural_key(str(source)), natural_key(str(episode))


def sources_of(
    made: Mapping[str, Any], episodes: int
) -> list[tuple[str | None, str | None]]:
    """The recording and the name there of each episode, (None, None) where they are not known."""
    entries = made.get("episodes")
    known = (
        _sources(entries)
        if isinstance(entries, list) and len(entries) == episodes
        else []
    )
    return known or [(None, None)] * episodes


def _sources(entries: Iterable[object]) -> list[tuple[str | None, str | None]]:
    found: list[tuple[str | None, str | None]] = []
    for entry in entries:
        known = entry if isinstance(entry, dict) else {}
        source, name = known.get("source"), known.get("episode")
        whole = isinstance(source, str) and isinstance(name, str)
        found.append((source, name) if whole else (None, None))
    return found
