"""Whether datasets can become one: all differences at once, before any work."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from piperline.errors import DatasetError, IncompatibleDatasets, Place
from piperline.features import Feature, Schema
from piperline.lerobot.dataset import Dataset
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
        )


def check_compatible(datasets: Sequence[Dataset]) -> None:
    """See that `datasets` can become one.

    Codecs may differ: v2.1 has a file for each episode, and v3.0 gets a new file where the codec changes.

    Raises:
        IncompatibleDatasets: they cannot; every difference from the first one is named.
    """
    if not datasets:
        return
    first = datasets[0]
    modalities = [
        (dataset, found)
        for dataset in datasets
        if (found := read_modality(dataset.root)) is not None
    ]
    differences = [
        f"{dataset.root}: {difference}"
        for dataset in datasets[1:]
        for difference in _differences(first, dataset)
    ]
    differences += [
        f"{dataset.root}: another meta/modality.json than {modalities[0][0].root}"
        for dataset, found in modalities[1:]
        if found != modalities[0][1]
    ]
    if differences:
        raise IncompatibleDatasets(
            "these datasets cannot become one",
            expected=f"what {first.root} has",
            found="\n" + "\n".join(f"  - {line}" for line in differences),
            next_step="leave these datasets out, or convert their recordings again with the same settings",
        )


def _differences(first: Dataset, other: Dataset) -> Iterator[str]:
    expected, found = first.schema, other.schema
    if found.fps != expected.fps:
        yield f"{found.fps} frames a second instead of {expected.fps}"
    if found.robot_type != expected.robot_type:
        yield f"robot {found.robot_type!r} instead of {expected.robot_type!r}"
    yield from _feature_differences(expected, found)


def _feature_differences(expected: Schema, found: Schema) -> Iterator[str]:
    for key in expected.features:
        if key not in found.features:
            yield f"no {printable(key)}"
    for key, feature in found.features.items():
        if key not in expected.features:
            yield f"{printable(key)}, which is not in the first"
        elif (wanted := _described(expected.features[key])) != (there := _described(feature)):
            changed = [
                f"{name} {there[name]} instead of {wanted[name]}"
                for name in wanted
                if there[name] != wanted[name]
            ]
            yield f"{printable(key)}: {', '.join(changed)}"


def _described(feature: Feature) -> dict[str, Any]:
    if feature.is_video:
        return {"type": feature.dtype, "size": f"{feature.shape[1]}x{feature.shape[0]}"}
    return {"type": feature.dtype, "shape": list(feature.shape), "names": list(feature.names or ())}


def without_cameras(modality: Any, cameras: Sequence[str]) -> Any:
    """A modality.json that names no other cameras than `cameras` (keys of features); None if it does not, anyhow."""
    videos = modality.get("video") if isinstance(modality, dict) else None
    if not isinstance(videos, dict):
        return None
    kept = {
        name: entry
        for name, entry in videos.items()
        if not isinstance(entry, dict)
        or (entry.get("original_key") or f"observation.images.{name}") in cameras
    }
    return None if kept == videos else {**modality, "video": kept}


def read_modality(root: Path) -> Any:
    """A dataset's modality.json; None if it has none.

    Raises:
        DatasetError: it is not JSON.
    """
    path = root / MODALITY
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DatasetError(
            "modality.json is not JSON", place=Place(file=path), found=str(error)
        ) from error
