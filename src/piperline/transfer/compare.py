"""Whether datasets can become one: all differences at once, before any work."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from piperline.errors import DatasetError, IncompatibleDatasets, Place
from piperline.features import CAMERA_PREFIX, DEPTH_KEYS, Feature, Schema
from piperline.lerobot.columns import SUBTASKS
from piperline.lerobot.dataset import Dataset
from piperline.lerobot.folder import DatasetFolder
from piperline.text import printable

MODALITY = Path("meta") / "modality.json"


def check_cameras(dataset: Dataset) -> None:
    """See that every camera that is declared has videos.

    Raises:
        DatasetError: one has none.
    """
    if dataset.missing_cameras:
        raise DatasetError(
            "info.json declares cameras that have no videos: "
            + ", ".join(map(printable, dataset.missing_cameras)),
            place=Place(file=dataset.root),
            next_step="add `--drop-missing-cameras` to leave them out, or fetch the videos",
            expected="a video of each camera in some episode",
            found="none",
        )


def check_compatible(datasets: Sequence[Dataset]) -> None:
    """See that `datasets` can become one.

    Codecs may differ: v2.1 has a file for each episode, and v3.0 gets a new file where the codec
        changes.

    Raises:
        IncompatibleDatasets: they cannot; every difference from the first one is named.
    """
    if not datasets:
        return
    first = datasets[0]
    differences = [
        f"{dataset.root}: {difference}"
        for dataset in datasets[1:]
        for difference in _differences(first, dataset)
    ]
    differences += _other_modalities(datasets)
    if differences:
        raise IncompatibleDatasets(
            "these datasets cannot become one",
            expected=f"what {first.root} has",
            found="\n" + "\n".join(f"  - {line}" for line in differences),
            next_step="leave these datasets out, or convert their recordings again with the same "
            "settings",
            place=Place(file=first.root),
        )


def _other_modalities(datasets: Sequence[Dataset]) -> Iterator[str]:
    """What is to be said about modality.json: datasets without one take that of the others."""
    known: tuple[Dataset, object] | None = None
    for dataset in datasets:
        modality = read_modality(dataset.folder)
        if modality is None:
            continue
        if known is None:
            known = dataset, modality
        elif modality != known[1]:
            yield f"{dataset.root}: another meta/modality.json than {known[0].root}"


def _differences(first: Dataset, other: Dataset) -> Iterator[str]:
    expected, found = first.schema, other.schema
    if found.fps != expected.fps:
        yield f"{found.fps} frames a second instead of {expected.fps}"
    if found.robot_type != expected.robot_type:
        yield f"robot {found.robot_type!r} instead of {expected.robot_type!r}"
    yield from _feature_differences(expected, found)
    if SUBTASKS in found.features and bool(first.subtasks) != bool(
        other.subtasks
    ):
        without = other if first.subtasks else first
        yield f"{SUBTASKS}: {without.root} has no meta/subtasks table that tells what it numbers"


def _feature_differences(expected: Schema, found: Schema) -> Iterator[str]:
    for key in expected.features:
        if key not in found.features:
            yield f"no {printable(key)}"
    for key, feature in found.features.items():
        if key not in expected.features:
            yield f"{printable(key)}, which is not in the first"
            continue
        changed = list(
            _changes(_described(expected.features[key]), _described(feature))
        )
        if changed:
            yield f"{printable(key)}: {', '.join(changed)}"


def _changes(
    expected: dict[str, object], found: dict[str, object]
) -> Iterator[str]:
    for name in {**expected, **found}:
        if found.get(name) != expected.get(name):
            yield printable(
                f"{name} {found.get(name)} instead of {expected.get(name)}"
            )


def _described(feature: Feature) -> dict[str, object]:
    """What must be the same for rows of a feature to mean the same."""
    if feature.dtype in {"image", "video"}:
        height, width, channels = feature.camera_size
        size = {
            "type": feature.dtype,
            "size": f"{width}x{height}",
            "channels": channels,
        }
        return {**size, **_depth(feature)}
    shape, names = list(feature.shape), list(feature.names or ())
    return {"type": feature.dtype, "shape": shape, "names": names}


def _depth(feature: Feature) -> dict[str, object]:
    """How the numbers in the images of a depth camera become distances."""
    if not feature.is_depth:
        return {}
    info = feature.info or {}
    return {name: info[name] for name in DEPTH_KEYS if name in info}


def without_cameras(
    modality: object, cameras: Sequence[str]
) -> dict[str, object] | None:
    """A modality.json that names no other cameras than `cameras` (keys of features).

    None if it does not, anyhow.
    """
    videos = modality.get("video") if isinstance(modality, dict) else None
    if not isinstance(modality, dict) or not isinstance(videos, dict):
        return None
    kept = {
        name: entry
        for name, entry in videos.items()
        if _camera_of(name, entry) in cameras
    }
    return None if kept == videos else {**modality, "video": kept}


def _camera_of(name: str, entry: object) -> object:
    """The key of the feature that an entry of "video" names."""
    usual = f"{CAMERA_PREFIX}{name}"
    return (
        (entry.get("original_key") or usual)
        if isinstance(entry, dict)
        else usual
    )


def read_modality(folder: DatasetFolder) -> object:
    """A dataset's modality.json; None if it has none.

    Raises:
        DatasetError: it is not JSON.
    """
    if not folder.has(MODALITY):
        return None
    return folder.json(MODALITY)
