"""`meta/piperline_seal.json`: what every file and every episode of a dataset held when it was made.

The seal follows from the files alone, so equal datasets have equal seals. GR00T may write its
statistics later: those files are not sealed.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class FileSeal:
    """A sealed file: its SHA-256, hexadecimal, and its bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
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
            "files": {name: vars(file) for name, file in self.files.items()},
            "episodes": [vars(episode) for episode in self.episodes],
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
                name: FileSeal(**entry)
                for name, entry in document["files"].items()
            },
            tuple(EpisodeSeal(**entry) for entry in document["episodes"]),
            document["verdict"],
        )
        if not all(map(_is_below, seal.files)):
            raise ValueError("it names files outside of the dataset")
        if not all(
            isinstance(episode.packets, dict) for episode in seal.episodes
        ):
            raise TypeError("the packets of an episode are no object")
        if seal.verdict is not None and not isinstance(seal.verdict, dict):
            raise TypeError("the verdict is no object")
        return seal


def _text(document: Mapping[str, Any]) -> str:
    """The JSON of a seal, a line for each file and for each episode.

    Python's own indenting takes seconds for 10,000 episodes.
    """
    parts = []
    for key, value in document.items():
        if key == "files":
            lines = [
                f"{_line(name)}: {_line(entry)}"
                for name, entry in value.items()
            ]
            text = "{\n  " + ",\n  ".join(lines) + "\n }"
        elif key == "episodes":
            text = "[\n  " + ",\n  ".join(map(_line, value)) + "\n ]"
        else:
            text = _line(value)
        parts.append(f" {_line(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


_line = json.JSONEncoder(ensure_ascii=False).encode


def _is_below(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")


def _digest(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


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
    names = [str(path) for path in files_below(root)]
    sealed = [name for name in names if is_sealed(name, contents.info.version)]
    made = provenance(root)
    settings = {key: made[key] for key in _SETTINGS if key in made}
    with ThreadPoolExecutor(usable_cpus()) as pool:
        hashed = {**known.taken, **known.written}
        unread = [name for name in sealed if name not in hashed]
        seals = pool.map(lambda name: _file_seal(root / name), unread)
        hashed |= zip(unread, seals, strict=True)
        files = {name: hashed[name] for name in sealed}
        episodes = _episode_seals(contents, made, known, pool)
    made_from = {**settings, "sealed_by": f"piperline {__version__}, {LIBRARY}"}
    Seal(made_from, files, episodes, verdict).to_disk(root)


def _file_seal(path: Path) -> FileSeal:
    return FileSeal(file_digest(path), path.stat().st_size)


def _episode_seals(
    contents: Contents,
    made: Mapping[str, Any],
    known: KnownSeals,
    pool: ThreadPoolExecutor,
) -> tuple[EpisodeSeal, ...]:
    for place, clip in known.clips.items():
        if known.packets.get(place, clip.packets) != clip.packets:
            raise _changed(clip)
    by_file: dict[Path, list[_Clip]] = {}
    numbers = range(len(known.episodes), len(contents.episodes))
    for episode in numbers:
        for key in contents.cameras:
            path, first = contents.span(episode, key)
            by_file.setdefault(path, []).append((episode, key, first))
    digests: dict[tuple[int, str], str] = {}
    for found in pool.map(
        lambda path: _file_digests(contents, known, path, by_file[path]),
        by_file,
    ):
        digests |= found
    sources = sources_of(made, len(contents.episodes))
    # The reader of v3.0 holds a file open, whose episodes it reads one after the other.
    alone = contents.info.version == "v3.0"
    told = dict(enumerate(known.rows))
    rows = (map if alone else pool.map)(
        lambda episode: (
            told.get(episode) or rows_digest(contents.rows(episode))
        ),
        numbers,
    )
    read = (
        EpisodeSeal(
            contents.episodes[episode].length,
            digest,
            {key: digests[episode, key] for key in contents.cameras},
            *sources[episode],
        )
        for episode, digest in zip(numbers, rows, strict=True)
    )
    return (*known.episodes, *read)


def _file_digests(
    contents: Contents, known: KnownSeals, path: Path, clips: Sequence[_Clip]
) -> dict[tuple[int, str], str]:
    """The SHA-256 of the packets of the clips in a file, by number of the episode and feature key.

    They are not read where the file was taken over whole, nor where they were hashed while they
    were written; else by byte ranges where that is possible: `verify` asks FFmpeg, so what it finds
    does not follow from our own reading.

    Raises:
        DatasetError: the video cannot be read, or a clip is not what was sealed.
    """
    sealed = {
        (episode, key): known.clips.get((episode, key))
        for episode, key, _ in clips
    }
    held = {place: clip.packets for place, clip in sealed.items() if clip}
    taken = str(path.relative_to(contents.root)) in known.taken
    if taken and len(held) == len(clips):
        return held
    found = _packets_of_file(contents, known, path, clips)
    if taken:
        return found | held
    for place, clip in sealed.items():
        if clip and found[place] != clip.packets:
            raise _changed(clip)
    return found


def _packets_of_file(
    contents: Contents, known: KnownSeals, path: Path, clips: Sequence[_Clip]
) -> dict[tuple[int, str], str]:
    """The SHA-256 of the packets of the clips in a file that was written."""
    found = {
        (episode, key): known.packets[episode, key]
        for episode, key, _ in clips
        if (episode, key) in known.packets
    }
    if len(found) == len(clips):
        return found
    track = read_track(path, contents.info.fps)
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
