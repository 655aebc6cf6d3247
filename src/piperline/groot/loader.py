"""What GR00T reads of a dataset folder, read as GR00T reads it.

This is no second reader of LeRobot datasets: training sees only these files, is strict about some
and careless about others, and the checks have to see what it sees. From `LeRobotEpisodeLoader` and
`stats.py` of NVIDIA/Isaac-GR00T (tag n1.6.1-release).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.errors import FETCH_AGAIN, DatasetError, Place
from piperline.features import Feature, Schema
from piperline.files import LARGEST_TABLE, read_json, read_plain
from piperline.finding import Finding, command
from piperline.groot.modality import MODALITY_FILE
from piperline.lerobot.columns import unfolded
from piperline.lerobot.folder import DatasetFolder
from piperline.lerobot.info import fits_a_row
from piperline.lerobot.parquet import ParquetRows
from piperline.lerobot.paths import PathTemplate
from piperline.text import is_utf8

DATA_GLOB = "data/*/*.parquet"
DEFAULT_COLUMN = {"state": "observation.state", "action": "action"}
_REMEDY = "put the file back from a copy, or convert again"
_DEFAULT_FPS = 30  # GR00T's own
_HIGHEST_FPS = 1 << 20
_FIELDS = frozenset({"episode_chunk", "episode_index", "video_key"})
_NEEDED_INFO = {"features": dict, "data_path": str, "chunks_size": int}


@dataclass(frozen=True)
class Meta:
    """The files of `meta/` that training reads.

    Attributes:
        root: the dataset folder.
        info: `info.json`.
        episodes: (episode_index, length in frames) for each line of `episodes.jsonl`, in order.
        tasks: `tasks.jsonl` by task_index.
        modality: `modality.json`; None where the file is absent.
        episode_tasks: the task texts of `episodes.jsonl` by episode_index, where it has them.
    """

    root: Path
    info: Mapping[str, Any]
    episodes: tuple[tuple[int, int], ...]
    tasks: Mapping[int, str]
    modality: Mapping[str, Any] | None
    episode_tasks: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def data_file(self, episode: int) -> Path:
        """Where training looks for the rows of an episode."""
        chunk = episode // int(self.info["chunks_size"])
        return self.root / str(self.info["data_path"]).format(
            episode_chunk=chunk, episode_index=episode
        )

    def video_file(self, key: str, episode: int) -> Path:
        """Where training looks for the frames of an episode of the camera `key`."""
        chunk = episode // int(self.info["chunks_size"])
        template = str(self.info["video_path"])
        return self.root / template.format(
            episode_chunk=chunk, video_key=key, episode_index=episode
        )

    def column(
        self,
        part: str,
        group: str,
    ) -> tuple[str, int, int]:
        """The column of a state or action group, and its span there."""
        entry = self.groups(part)[group]
        return (
            str(entry.get("original_key") or DEFAULT_COLUMN[part]),
            int(entry["start"]),
            int(entry["end"]),
        )

    def groups(self, part: str) -> Mapping[str, Any]:
        """An object of `modality.json`: `state`, `action`, `video` or `annotation`."""
        groups = (self.modality or {}).get(part)
        return groups if isinstance(groups, dict) else {}

    def video_key(self, camera: str) -> str:
        """The feature of a camera of `modality.json`."""
        entry = self.groups("video").get(camera) or {}
        return str(entry.get("original_key") or f"observation.images.{camera}")

    def video_facts(self, key: str) -> Mapping[str, Any]:
        """What `info.json` tells about a camera's files: `info`, in older versions `video_info`."""
        feature = self.schema.features.get(key)
        return (feature.info if feature else None) or {}

    def dimension_names(self, part: str, group: str) -> list[str]:
        """The names of a group's dimensions; empty where `info.json` has none."""
        column, start, end = self.column(part, group)
        feature = self.schema.features.get(column)
        return list((feature.names if feature else None) or ())[start:end]

    @cached_property
    def schema(self) -> Schema:
        """The features of `info.json`; no groups: those are in `modality`."""
        features = {
            key: _feature(entry) for key, entry in self.info["features"].items()
        }
        robot = self.info.get("robot_type")
        known = robot if isinstance(robot, str) else None
        return Schema(_rate(self.info.get("fps")), known, features)


@dataclass(frozen=True)
class LoaderRows:
    """The rows of all Parquet files of a dataset, file after file.

    Attributes:
        columns: by name, shape (rows, dimensions), of the type in the files; only those that every
            file has.
        spans: for each file, in the order of their paths, its half-open range of rows.
    """

    columns: Mapping[str, NDArray[Any]]
    spans: Mapping[Path, tuple[int, int]]

    def episodes(self, meta: Meta) -> dict[int, tuple[int, int]]:
        """By episode_index, in the order of `episodes.jsonl`: the rows that training uses of it."""
        found = (
            (index, length, self.spans.get(meta.data_file(index)))
            for index, length in meta.episodes
        )
        return {
            index: (
                span[0],
                min(
                    span[1],
                    span[0] + length,
                ),
            )
            for index, length, span in found
            if span is not None
        }


def require(findings: Iterable[Finding]) -> None:
    """Raise the first error of `findings`.

    Raises:
        DatasetError: there is one.
    """
    for finding in findings:
        if finding.severity == "error":
            raise DatasetError(
                finding.message,
                place=finding.place,
                expected="a dataset that GR00T can be trained on",
                found=f"the finding {finding.code} of groot preflight",
                next_step=finding.remedy or FETCH_AGAIN,
            )


def require_meta(root: Path) -> Meta:
    """As `read_meta`.

    Raises:
        DatasetError: training could not read it.
    """
    found: list[Finding] = []
    meta = read_meta(root, found)
    require(found)
    if meta is None:
        raise DatasetError(
            "the dataset cannot be read",
            place=Place(file=root),
            expected="a LeRobot v2.1 dataset",
            found="files of meta/ that cannot be read",
        )
    return meta


def read_meta(root: Path, found: list[Finding]) -> Meta | None:
    """Read what training reads of `meta/`.

    Args:
        root: the dataset folder.
        found: what is wrong is appended here.

    Returns:
        None where so much is wrong that no other check makes sense.
    """
    info = _json(root / "meta/info.json", found, "dataset-missing")
    if (
        info is None
        or _is_unsafe(root, found)
        or _is_v3(root, info, found)
        or _incomplete(root, info, found)
    ):
        return None
    episodes = _json_lines(
        root / "meta/episodes.jsonl",
        {"episode_index": int, "length": int},
        found,
    )
    tasks = _json_lines(
        root / "meta/tasks.jsonl", {"task_index": int, "task": str}, found
    )
    if episodes is None or tasks is None:
        return None
    modality = None
    if (root / MODALITY_FILE).exists():
        modality = _json(root / MODALITY_FILE, found, "modality-missing")
        if modality is None:
            return None
    lengths = tuple(
        (line["episode_index"], line["length"]) for line in episodes
    )
    texts = {line["task_index"]: line["task"] for line in tasks}
    named = {
        line["episode_index"]: _texts(line.get("tasks")) for line in episodes
    }
    episode_tasks = {
        index: found for index, found in named.items() if found is not None
    }
    return Meta(root, info, lengths, texts, modality, episode_tasks)


def _texts(value: object) -> tuple[str, ...] | None:
    return tuple(map(str, value)) if isinstance(value, list) else None


def read_rows(
    meta: Meta,
    wanted: Iterable[str],
    found: list[Finding],
) -> LoaderRows:
    """Read columns of every Parquet file under `data/`, leftovers too: GR00T's statistics take all.

    Args:
        meta: which dataset.
        wanted: the names of the columns; those that a file lacks are left out.
        found: files that cannot be read are appended here.
    """
    columns: dict[str, NDArray[Any] | None] = dict.fromkeys(wanted)
    spans: dict[Path, tuple[int, int]] = {}
    row = 0
    for path in sorted(meta.root.glob(DATA_GLOB)):
        try:
            if path.exists() and not path.is_file():
                raise ValueError("it is no plain file")  # noqa: TRY301 - told like the others
            rows = ParquetRows(path)
            length = len(rows)
            if not length:
                raise ValueError("it holds no rows")  # noqa: TRY301 - told like the others
            table = rows.all([name for name in columns if name in rows.columns])
            values = {
                name: matrix(name, table.column(name))
                for name in table.column_names
            }
        except (DatasetError, pa.ArrowException, ValueError) as error:
            words = getattr(error, "found", None) or str(error)
            message = f"Parquet file cannot be read: {words}"
            found.append(
                Finding(
                    "data-unreadable",
                    "error",
                    message,
                    Place(file=path),
                    remedy=_REMEDY,
                )
            )
            continue
        columns = {
            name: extended(column, values[name])
            for name, column in columns.items()
            if name in values
        }
        spans[path] = (row, row + length)
        row += length
    return LoaderRows(
        {
            name: column
            for name, column in columns.items()
            if column is not None
        },
        spans,
    )


def extended(
    column: NDArray[Any] | None,
    more: NDArray[Any],
) -> NDArray[Any]:
    """`column` with the rows of `more` behind it, as wide as the narrower of the two."""
    if column is None:
        return more.copy()
    rows = len(column)
    width = min(column.shape[1], more.shape[1])
    dtype = np.result_type(column, more)
    if (column.shape[1], column.dtype) != (width, dtype):
        column = column[:, :width].astype(dtype)
    # In place: a large dataset is not in memory twice.
    column.resize((rows + len(more), width), refcheck=False)
    column[rows:] = more[:, :width]
    return column


def matrix(name: str, column: pa.ChunkedArray) -> NDArray[Any]:
    """Shape (rows, dimensions); nulls become NaN."""
    array = column.combine_chunks()
    lists = pa.types.is_list(array.type) or pa.types.is_large_list(array.type)
    flat = (
        unfolded(column)
        if lists or pa.types.is_fixed_size_list(array.type)
        else array
    )
    if len(flat) % len(array) or (lists and _ragged(array)):
        raise ValueError(f"{name} has rows of different widths")
    values = np.asarray(flat.to_numpy(zero_copy_only=False))
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds no numbers")
    return values.reshape(len(array), -1)


def _ragged(array: pa.Array) -> bool:
    return len(np.unique(np.diff(array.offsets.to_numpy()))) > 1


def _feature(entry: Mapping[str, Any]) -> Feature:
    facts = entry.get("info") or entry.get("video_info")
    return Feature(
        dtype=str(entry.get("dtype")),
        shape=_shape(entry.get("shape")),
        names=_names(entry.get("names")),
        info=facts if isinstance(facts, dict) else None,
    )


def _shape(value: object) -> tuple[int, ...]:
    """Sizes as LeRobot writes them; none of what is no list of whole numbers."""
    sizes = value if isinstance(value, list) else []
    if any(type(size) is not int for size in sizes):
        return ()
    return tuple(sizes)


def _names(value: object) -> tuple[str, ...] | None:
    """Flat names only: some datasets nest them by motor group."""
    return tuple(map(str, value)) if isinstance(value, list) else None


def _json(
    path: Path, found: list[Finding], missing: str
) -> dict[str, Any] | None:
    try:
        value = read_json(path)
    except FileNotFoundError:
        message = f"{path.name} is missing: this is no LeRobot dataset"
        found.append(
            Finding(
                missing,
                "error",
                message,
                Place(file=path),
                remedy="check the path",
            )
        )
        return None
    except (ValueError, OSError, RecursionError) as error:
        found.append(_broken(path, f"{path.name} cannot be read: {error}"))
        return None
    if not isinstance(value, dict):
        found.append(_broken(path, f"{path.name} holds no JSON object"))
        return None
    if not _is_text(value):
        found.append(_broken(path, f"{path.name} holds text that is not UTF-8"))
        return None
    return value


def _is_text(value: object) -> bool:
    """Whether all text of a JSON value can be written: JSON can say half of a surrogate pair."""
    return is_utf8(json.dumps(value, ensure_ascii=False))


def _broken(path: Path, message: str, **numbers: int) -> Finding:
    return Finding(
        "meta-syntax", "error", message, Place(file=path), numbers, _REMEDY
    )


def _is_unsafe(root: Path, found: list[Finding]) -> bool:
    try:
        DatasetFolder(root).check_links()
    except DatasetError as error:
        message = f"{error.message}: {error.found}"
        found.append(
            Finding(
                "dataset-unsafe",
                "error",
                message,
                error.place,
                remedy=error.next_step,
            )
        )
        return True
    return False


def _is_v3(
    root: Path,
    info: Mapping[str, Any],
    found: list[Finding],
) -> bool:
    if (
        not str(info.get("codebase_version", "")).startswith("v3")
        and not (root / "meta/episodes").is_dir()
    ):
        return False
    message = (
        "this is a LeRobot v3.0 dataset: GR00T reads v2.1 only and stops at the missing "
        "meta/episodes.jsonl"
    )
    remedy = command("piperline", "migrate", root, "--to", "v2.1")
    found.append(
        Finding("dataset-v3", "error", message, Place(file=root), remedy=remedy)
    )
    return True


def _incomplete(
    root: Path, info: Mapping[str, Any], found: list[Finding]
) -> bool:
    missing = [
        key
        for key, kind in _NEEDED_INFO.items()
        if not isinstance(info.get(key), kind) or not info[key]
    ]
    if not missing and not all(
        _is_feature(entry) for entry in info["features"].values()
    ):
        missing = ["features with a dtype and a shape of whole numbers"]
    if not missing and info["chunks_size"] < 1:
        missing = ["a positive chunks_size"]
    templates = (info.get("data_path"), info.get("video_path") or "")
    if not missing and not all(
        _is_template(template) for template in templates
    ):
        missing = [
            "data_path and video_path of known fields, inside the dataset"
        ]
    if missing:
        found.append(
            _broken(
                root / "meta/info.json", f"info.json lacks {', '.join(missing)}"
            )
        )
    return bool(missing)


def _is_feature(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(
        entry.get("dtype"),
        str,
    ):
        return False
    shape = entry.get("shape") or []
    are_sizes = isinstance(shape, list) and all(
        type(size) is int and size > 0 for size in shape
    )
    return are_sizes and fits_a_row(entry["dtype"], shape)


def _rate(fps: object) -> int:
    if isinstance(fps, int | float) and 1 <= fps <= _HIGHEST_FPS:
        return round(fps)
    return _DEFAULT_FPS


def _is_template(template: object) -> bool:
    """Whether a path template has known fields only, and stays inside the dataset."""
    try:
        PathTemplate(str(template)).check(_FIELDS)
    except ValueError:
        return not template  # no videos, no template
    return True


def _json_lines(
    path: Path, keys: Mapping[str, type], found: list[Finding]
) -> list[dict[str, Any]] | None:
    """The lines of a JSONL file; a blank line is an error, for training's reader too."""
    try:
        text = read_plain(path, LARGEST_TABLE).decode()
        lines = text.removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path.name} cannot be read: {error}"
        found.append(
            Finding(
                "meta-missing",
                "error",
                message,
                Place(file=path),
                remedy=_REMEDY,
            )
        )
        return None
    values = []
    for number, line in enumerate(lines, 1):
        value = _record(line, keys)
        if value is None:
            message = (
                f"line {number} of {path.name} is no JSON object with {' and '.join(keys)}: "
                f"{line[:60]!r}"
            )
            found.append(_broken(path, message, line=number))
            return None
        values.append(value)
    return values


def _record(
    line: str,
    keys: Mapping[str, type],
) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    fits = isinstance(value, dict) and _is_text(value)
    fits = fits and all(
        type(value.get(key)) is kind for key, kind in keys.items()
    )
    return value if fits else None
