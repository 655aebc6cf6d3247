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
    remedy = _correct(meta)
    for part in ("state", "action"):
        broken = [
            name
            for name, entry in meta.groups(part).items()
            if not _is_span(entry)
        ]
        if broken or not meta.groups(part):
            message = (
                f"{part} {', '.join(broken) or 'has no group'}: a group is an object with whole "
                "start and end"
            )
            yield Finding(
                "modality-syntax", "error", message, place, remedy=remedy
            )
            continue
        by_column: dict[str, dict[str, tuple[int, int]]] = {}
        for name in meta.groups(part):
            column, start, end = meta.column(part, name)
            by_column.setdefault(column, {})[name] = (start, end)
        for column, spans in by_column.items():
            yield from _check_column(meta, part, column, spans, place)
    for part in ("video", "annotation"):
        broken = [
            name
            for name, entry in meta.groups(part).items()
            if not _is_entry(entry)
        ]
        if broken or not isinstance(
            (meta.modality or {}).get(part, {}),
            dict,
        ):
            message = (
                f"{part} is no object of objects, empty or with the text original_key: "
                f"{', '.join(broken) or part}"
            )
            yield Finding(
                "modality-syntax", "error", message, place, remedy=remedy
            )
            return
    for camera in meta.groups("video"):
        key = meta.video_key(camera)
        feature = meta.schema.features.get(key)
        if feature is None or not feature.is_video:
            message = f"camera {camera} is the feature {key}, and info.json has no such video"
            yield Finding(
                "modality-video",
                "error",
                message,
                place,
                {"camera": camera},
                remedy,
            )
    yield from _check_crossed(meta, place)


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
    outside = {
        name: span
        for name, span in spans.items()
        if not 0 <= span[0] < span[1] <= width
    }
    for name, (start, end) in outside.items():
        message = (
            f"{part} group {name} is {start}:{end}, {column} has {width} dimensions: GR00T would "
            "silently take fewer"
        )
        yield (
            "modality-range",
            "error",
            message,
            {"start": start, "end": end, "width": width},
        )
    ordered = sorted(spans.items(), key=lambda item: item[1])
    pairs = [(a, b) for (a, x), (b, y) in pairwise(ordered) if y[0] < x[1]]
    for first, second in [] if outside else pairs:
        yield (
            "modality-overlap",
            "error",
            f"{part} groups {first} and {second} share dimensions of {column}",
            {},
        )
    if outside or pairs:
        return
    taken = {
        index for start, end in spans.values() for index in range(start, end)
    }
    free = [index for index in range(width) if index not in taken]
    if free:
        message = (
            f"dimensions {free} of {column} are in no "
            f"{part} group: training does not see them"
        )
        yield "modality-cover", "warning", message, {"dimensions": free}
        return
    known = labels(feature)
    for name, (start, end) in spans.items():
        inside = set(known[start:end])
        if (
            inside - {group_label(name)}
            if group_label(name) in known
            else len(inside) > 1
        ):
            message = (
                f"{part} group {name} is {start}:{end}, which the names in info.json call "
                f"{sorted(inside)}"
            )
            yield (
                "modality-names",
                "warning",
                message,
                {"start": start, "end": end},
            )


def _correct(meta: Meta) -> str:
    again = command("piperline", "groot", "config", meta.root)
    return f"correct it, or delete it and run `{again}`"


def _rewrite(meta: Meta) -> str:
    return command("piperline", "groot", "config", meta.root, "--overwrite")


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
            "config-cameras", "error", message, config, remedy=_rewrite(meta)
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
        _, start, end = meta.column("action", action)
        if state not in choice.state or state not in meta.groups("state"):
            message = (
                f"action group {action} is relative to the state group {state}, which the config "
                "does not use"
            )
            yield Finding(
                "config-relative",
                "error",
                message,
                config,
                remedy=_rewrite(meta),
            )
        elif end - start != (
            width := meta.column("state", state)[2]
            - meta.column("state", state)[1]
        ):
            message = (
                f"relative action group {action} has {end - start} dimensions, state group "
                f"{state} has {width}"
            )
            yield Finding(
                "config-relative",
                "error",
                message,
                config,
                remedy=_rewrite(meta),
            )
        elif kind := rotation(meta.dimension_names("action", action)):
            message = (
                f"{action} holds a rotation ({kind}) and is relative: GR00T subtracts its numbers, "
                "which is no rotation"
            )
            remedy = "make it ABSOLUTE in the config"
            yield Finding(
                "relative-rotation", "warning", message, config, remedy=remedy
            )
        elif "gripper" in action.lower():
            message = (
                f"{action} is relative: grippers are commanded in absolute openings, and drift "
                "if they are not"
            )
            yield Finding(
                "relative-gripper",
                "warning",
                message,
                config,
                remedy="make it ABSOLUTE in the config",
            )
    for action, kind in zip(
        choice.action, choice.representations, strict=False
    ):
        if kind == "DELTA":
            message = (
                f"{action} is DELTA, which GR00T accepts and treats as ABSOLUTE"
            )
            yield Finding(
                "config-delta",
                "warning",
                message,
                config,
                remedy="say RELATIVE or ABSOLUTE",
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
