"""Checks: `modality.json` against the columns, and the modality config against both.

GR00T slices the vectors as Python does and asserts little, so that most of these mistakes train
without a word.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from piperline.errors import Place
from piperline.features import CAMERA_PREFIX, Feature
from piperline.finding import Finding, command
from piperline.groot.loader import Meta
from piperline.groot.modality import (
    MODALITY_FILE,
    group_label,
    labels,
    rotation,
)
from piperline.groot.modality_config import Choice
from piperline.groot.versions import Target

Spans = Mapping[str, tuple[int, int]]


def check_modality(meta: Meta) -> Iterator[Finding]:
    """Spans lie in their vectors, do not overlap and cover them; columns and cameras exist."""
    place = Place(file=meta.root / MODALITY_FILE)
    for part in ("state", "action"):
        yield from _check_groups(meta, part, place)
    for part in ("video", "annotation"):
        if broken := _broken_entries(meta, part):
            yield Finding(
                "modality-syntax",
                "error",
                f"{part} is no object of objects, empty or with the text original_key: {broken}",
                place,
                remedy=_correct(meta),
            )
            return
    yield from _check_cameras(meta, place)
    yield from _check_crossed(meta, place)


def _check_groups(meta: Meta, part: str, place: Place) -> Iterator[Finding]:
    groups = meta.groups(part)
    broken = [name for name, entry in groups.items() if not _is_span(entry)]
    if broken or not groups:
        yield Finding(
            "modality-syntax",
            "error",
            f"{part} {', '.join(broken) or 'has no group'}: a group is an object with whole "
            "start and end",
            place,
            remedy=_correct(meta),
        )
        return
    by_column: dict[str, dict[str, tuple[int, int]]] = {}
    for name in groups:
        column, start, end = meta.column(part, name)
        by_column.setdefault(column, {})[name] = (start, end)
    for column, spans in by_column.items():
        yield from _check_column(meta, part, column, spans, place)


def _broken_entries(meta: Meta, part: str) -> str:
    """The names of the entries that are none, or of the part that has no entries; else empty."""
    if not isinstance((meta.modality or {}).get(part, {}), dict):
        return part
    groups = meta.groups(part)
    return ", ".join(
        name for name, entry in groups.items() if not _is_entry(entry)
    )


def _check_cameras(meta: Meta, place: Place) -> Iterator[Finding]:
    for camera in meta.groups("video"):
        key = meta.video_key(camera)
        feature = meta.schema.features.get(key)
        if feature is None or not feature.is_video:
            yield Finding(
                "modality-video",
                "error",
                f"camera {camera} is the feature {key}, and info.json has no such video",
                place,
                {"camera": camera},
                _correct(meta),
            )


def _check_crossed(meta: Meta, place: Place) -> Iterator[Finding]:
    """Cameras that bear the name of another one's videos."""
    keys = {camera: meta.video_key(camera) for camera in meta.groups("video")}
    for camera, key in keys.items():
        own = CAMERA_PREFIX + camera
        if key != own and own in keys.values():
            message = f"camera {camera} is the feature {key}, while {own} is another camera's"
            remedy = _correct(meta)
            yield Finding(
                "modality-crossed",
                "warning",
                message,
                place,
                {"camera": camera},
                remedy,
            )


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(
        entry.get("original_key", ""), str | None
    )


def _is_span(entry: object) -> bool:
    return (
        _is_entry(entry)
        and isinstance(entry, dict)
        and all(type(entry.get(key)) is int for key in ("start", "end"))
    )


def _check_column(
    meta: Meta, part: str, column: str, spans: Spans, place: Place
) -> Iterator[Finding]:
    feature = meta.schema.features.get(column)
    remedy = _correct(meta)
    if feature is None:
        message = (
            f"the {part} groups {', '.join(spans)} lie "
            f"in {column}, which info.json does not know"
        )
        yield Finding("modality-column", "error", message, place, remedy=remedy)
        return
    if "float" not in feature.dtype:
        message = (
            f"{column} is {feature.dtype}: GR00T makes statistics of float features only and "
            "stops with a KeyError"
        )
        place = Place(file=meta.root / "meta/info.json")
        yield Finding(
            "column-type",
            "error",
            message,
            place,
            remedy="convert again: vectors are float32",
        )
    width = feature.shape[0] if feature.shape else 1
    for code, severity, message, numbers in _span_problems(
        part, column, feature, spans, width
    ):
        yield Finding(code, severity, message, place, numbers, remedy)


def _span_problems(
    part: str, column: str, feature: Feature, spans: Spans, width: int
) -> Iterator[Any]:
    """The first kind of problem that there is: the later ones follow from the earlier."""
    for kind in (_outside, _overlapping, _uncovered, _named_otherwise):
        problems = list(kind(part, column, feature, spans, width))
        yield from problems
        if problems:
            return


def _outside(
    part: str, column: str, _: Feature, spans: Spans, width: int
) -> Iterator[Any]:
    for name, (start, end) in spans.items():
        if not 0 <= start < end <= width:
            yield (
                "modality-range",
                "error",
                (
                    f"{part} group {name} is {start}:{end}, {column} has {width} dimensions: "
                    "GR00T would silently take fewer"
                ),
                {"start": start, "end": end, "width": width},
            )


def _overlapping(
    part: str, column: str, _: Feature, spans: Spans, __: int
) -> Iterator[Any]:
    ordered = sorted(spans.items(), key=lambda item: item[1])
    for (first, before), (second, after) in pairwise(ordered):
        if after[0] < before[1]:
            yield (
                "modality-overlap",
                "error",
                f"{part} groups {first} and {second} share dimensions of {column}",
                {},
            )


def _uncovered(
    part: str, column: str, _: Feature, spans: Spans, width: int
) -> Iterator[Any]:
    taken = {
        index for start, end in spans.values() for index in range(start, end)
    }
    free = [index for index in range(width) if index not in taken]
    if free:
        yield (
            "modality-cover",
            "warning",
            (
                f"dimensions {free} of {column} are in no {part} group: "
                "training does not see them"
            ),
            {"dimensions": free},
        )


def _named_otherwise(
    part: str, _: str, feature: Feature, spans: Spans, __: int
) -> Iterator[Any]:
    known = labels(feature)
    for name, (start, end) in spans.items():
        inside, own = set(known[start:end]), group_label(name)
        odd = inside - {own} if own in known else len(inside) > 1
        if odd:
            yield (
                "modality-names",
                "warning",
                (
                    f"{part} group {name} is {start}:{end}, which the names in info.json "
                    f"call {sorted(inside)}"
                ),
                {"start": start, "end": end},
            )


def _correct(meta: Meta) -> str:
    again = command("piperline", "groot", "config", meta.root)
    return f"correct it, or delete it and run `{again}`"


def _rewrite(meta: Meta) -> str:
    return command("piperline", "groot", "config", meta.root, "--overwrite")


def _with_videos(meta: Meta) -> str:
    features = meta.schema.features.values()
    if not any(feature.dtype == "image" for feature in features):
        return _rewrite(meta)
    root = meta.root if meta.root.name else meta.root.resolve()
    return command(
        "piperline",
        "migrate",
        meta.root,
        "--to",
        "v2.1",
        "--images-to-videos",
        "--output",
        f"{root}_videos",
    )


def check_choice(
    meta: Meta, choice: Choice, config: Place
) -> Iterator[Finding]:
    """A modality config against `modality.json`: what GR00T asserts, and what it does not.

    Args:
        meta: the dataset.
        choice: what the config says.
        config: the config's file.
    """
    parts = {
        "video": choice.cameras,
        "state": choice.state,
        "action": choice.action,
    }
    for part, names in parts.items():
        unknown = [name for name in names if name not in meta.groups(part)]
        if unknown:
            message = (
                f"the config uses {part} {', '.join(unknown)}; modality.json has "
                f"{', '.join(meta.groups(part))}"
            )
            yield Finding(
                "config-keys", "error", message, config, remedy=_rewrite(meta)
            )
    if not choice.cameras:
        message = "the config uses no camera: GR00T reads videos only, no images in Parquet files"
        yield Finding(
            "config-cameras",
            "error",
            message,
            config,
            remedy=_with_videos(meta),
        )
    if len(choice.representations) != len(choice.action):
        message = (
            f"{len(choice.action)} action groups and {len(choice.representations)} "
            "action_configs: one for each"
        )
        yield Finding(
            "config-actions", "error", message, config, remedy=_rewrite(meta)
        )
    if choice.state_deltas[-1:] != choice.action_deltas[:1] and choice.relative:
        message = (
            f"relative actions need the last state delta ({choice.state_deltas[-1]}) to be "
            "the first action "
            f"delta ({choice.action_deltas[0]}): GR00T stops with a bare AssertionError"
        )
        yield Finding(
            "config-deltas", "error", message, config, remedy=_rewrite(meta)
        )
    yield from _check_relative(meta, choice, config)
    yield from _check_language(meta, choice, config)


def _check_relative(
    meta: Meta, choice: Choice, config: Place
) -> Iterator[Finding]:
    for action, state in choice.relative.items():
        if action not in meta.groups("action"):
            continue
        if problem := _not_comparable(meta, choice, action, state):
            yield Finding(
                "config-relative",
                "error",
                problem,
                config,
                remedy=_rewrite(meta),
            )
        else:
            yield from _check_meaning(meta, action, config)
    for action, kind in zip(
        choice.action, choice.representations, strict=False
    ):
        if kind == "DELTA":
            yield Finding(
                "config-delta",
                "warning",
                f"{action} is DELTA, which GR00T accepts and treats as ABSOLUTE",
                config,
                remedy="say RELATIVE or ABSOLUTE",
            )


def _not_comparable(
    meta: Meta, choice: Choice, action: str, state: str
) -> str | None:
    """Why an action group cannot be told relative to a state group."""
    if state not in choice.state or state not in meta.groups("state"):
        return (
            f"action group {action} is relative to the state group {state}, which the config "
            "does not use"
        )
    wide, width = _width(meta, "action", action), _width(meta, "state", state)
    if wide == width:
        return None
    return (
        f"relative action group {action} has {wide} dimensions, state group "
        f"{state} has {width}"
    )


def _width(meta: Meta, part: str, group: str) -> int:
    _, start, end = meta.column(part, group)
    return end - start


def _check_meaning(meta: Meta, action: str, config: Place) -> Iterator[Finding]:
    """Relative actions whose numbers are not to be subtracted."""
    remedy = "make it ABSOLUTE in the config"
    if kind := rotation(meta.dimension_names("action", action)):
        yield Finding(
            "relative-rotation",
            "warning",
            f"{action} holds a rotation ({kind}) and is relative: GR00T subtracts its numbers, "
            "which is no rotation",
            config,
            remedy=remedy,
        )
    elif "gripper" in action.lower():
        yield Finding(
            "relative-gripper",
            "warning",
            f"{action} is relative: grippers are commanded in absolute openings, and drift "
            "if they are not",
            config,
            remedy=remedy,
        )


def _check_language(
    meta: Meta, choice: Choice, config: Place
) -> Iterator[Finding]:
    if len(choice.language) != 1 or tuple(choice.language_deltas) != (0,):
        message = (
            f"GR00T takes one language key at delta 0, not {list(choice.language)} at "
            f"{choice.language_deltas}"
        )
        yield Finding(
            "config-language", "error", message, config, remedy=_rewrite(meta)
        )
        return
    key = choice.language[0]
    if key in {"task", "sub_task"} or key.removeprefix(
        "annotation."
    ) in meta.groups("annotation"):
        return
    message = (
        f"the language key {key} is not among the annotations of modality.json: "
        f"{list(meta.groups('annotation'))}"
    )
    yield Finding(
        "language-key", "error", message, config, remedy=_correct(meta)
    )


def check_target(
    meta: Meta, choice: Choice, target: Target
) -> Iterator[Finding]:
    """Horizon and widths against what the published checkpoint can take."""
    # N1.5 builds a new action head for another horizon than the checkpoint's.
    if choice.horizon > target.horizon and target.version != "n1.5":
        message = (
            f"the {target.title} checkpoint predicts {target.horizon} steps at most, the horizon "
            f"is {choice.horizon}"
        )
        remedy = command(
            "piperline",
            "groot",
            "config",
            meta.root,
            "--horizon",
            target.horizon,
        )
        yield Finding(
            "horizon-checkpoint",
            "error",
            message,
            None,
            {"horizon": choice.horizon, "limit": target.horizon},
            remedy,
        )
    for part, names, limit in (
        ("state", choice.state, target.state_width),
        ("action", choice.action, target.action_width),
    ):
        spans = [
            meta.column(part, name)
            for name in names
            if name in meta.groups(part)
        ]
        width = sum(end - start for _, start, end in spans)
        if width > limit:
            message = (
                f"the {part} groups have {width} dimensions together, the {target.title} "
                f"checkpoint takes {limit}"
            )
            yield Finding(
                "too-wide",
                "error",
                message,
                None,
                {"width": width, "limit": limit},
                "use fewer groups in the config",
            )
    if target.version == "n1.5":
        yield from _check_video_info(meta, choice)


def _check_video_info(meta: Meta, choice: Choice) -> Iterator[Finding]:
    """N1.5 asks `info.json` for size, channels and rate of each video.

    Source: `LeRobotSingleDataset._get_metadata`.
    """
    for camera in choice.cameras:
        key = meta.video_key(camera)
        feature, facts = meta.schema.features.get(key), meta.video_facts(key)
        names = set(feature.names or ()) if feature else set()
        told = "video.fps" in facts and (
            "channel" in names or "video.channels" in facts
        )
        if feature and not (told and {"height", "width"} <= names):
            message = (
                f"info.json lacks height, width, channels or rate of {camera}: N1.5 stops with a "
                "KeyError"
            )
            place = Place(file=meta.root / "meta/info.json", camera=camera)
            remedy = (
                'add names ["height", "width", "channels"] and info with video.channels and '
                "video.fps"
            )
            yield Finding("video-info", "error", message, place, remedy=remedy)
