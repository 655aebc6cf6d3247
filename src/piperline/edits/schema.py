"""What an edit makes of a dataset's features, and of GR00T's modality.json."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from piperline.edits.plan import DatasetEdit
from piperline.errors import UsageError
from piperline.features import CAMERA_PREFIX, Feature, Schema, camera_key
from piperline.text import printable

_NAME = re.compile(r"\w[\w.-]{0,99}")
_FPS = "video.fps"
_NEEDED = ("observation.state", "action")


class SchemaEdit:
    """The change of a schema.

    Args:
        edit: what is to be done.
        schema: of the dataset as it is.

    Attributes:
        schema: of the dataset as it will be.
        keys: the old key of each feature that stays, by its new key.
        order: by feature key, the old offsets of the dimensions in their new order.

    Raises:
        UsageError: a camera, feature or dimension is not there, or a name is taken. All that is
            wrong is told at once.
    """

    def __init__(self, edit: DatasetEdit, schema: Schema) -> None:
        self._problems: list[str] = []
        self._edit, self._old = edit, schema
        gone = self._gone()
        renamed = self._renamed()
        self.keys = {
            renamed.get(key, key): key
            for key in schema.features
            if key not in gone
        }
        if len(self.keys) < len(schema.features) - len(gone):
            self._problems.append("two features would have one name")
        self.order = {
            key: self._new_order(key, names)
            for key, names in edit.reorder_dimensions.items()
        }
        self._check_dimensions()
        if schema.fps % edit.every:
            self._problems.append(
                f"{schema.fps} frames a second cannot be divided by {edit.every}"
            )
        if self._problems:
            raise UsageError(
                "the changes do not fit the dataset",
                expected="features: "
                + ", ".join(map(printable, schema.features)),
                found="; ".join(self._problems),
                next_step="mend the names; nothing was changed",
            )
        self.schema = self._new_schema()

    def _gone(self) -> set[str]:
        gone = {self._camera(name) for name in self._edit.drop_cameras}
        for key in self._edit.drop_features:
            if key not in self._old.features:
                self._problems.append(f"there is no feature {printable(key)}")
            elif key in _NEEDED:
                self._problems.append(
                    f"{key} is what policies are trained on: it cannot be dropped"
                )
            gone.add(key)
        return gone & set(self._old.features)

    def _renamed(self) -> dict[str, str]:
        names = self._edit.rename_cameras
        self._problems += [
            f"{printable(new)} cannot be the name of a camera: it names folders too"
            for new in names.values()
            if not _NAME.fullmatch(new)
        ]
        return {
            self._camera(old): camera_key(_short(new))
            for old, new in names.items()
        }

    def _camera(self, name: str) -> str:
        key = camera_key(_short(name))
        if key not in self._old.cameras:
            self._problems.append(f"there is no camera {printable(name)}")
        return key

    def _new_order(
        self,
        key: str,
        names: Sequence[str],
    ) -> list[int]:
        feature = self._old.features.get(key)
        known = list(feature.names or ()) if feature else []
        if sorted(known) != sorted(names) or len(set(known)) < len(known):
            names_text = ", ".join(map(printable, known)) or "of no names"
            self._problems.append(
                f"{printable(key)} has the dimensions {names_text}"
            )
            return []
        return [known.index(name) for name in names]

    def _check_dimensions(self) -> None:
        vectors = [
            set(feature.names or ())
            for feature in self._old.features.values()
            if not feature.is_video
        ]
        for old, new in self._edit.rename_dimensions.items():
            having = [names for names in vectors if old in names]
            if not having:
                self._problems.append(f"there is no dimension {printable(old)}")
            if any(new in names for names in having):
                self._problems.append(
                    f"there is a dimension {printable(new)} already"
                )

    def _new_schema(self) -> Schema:
        features = {new: self._feature(old) for new, old in self.keys.items()}
        return replace(
            self._old,
            fps=self._old.fps // self._edit.every,
            features=features,
            groups={},
        )

    def _feature(self, key: str) -> Feature:
        feature = self._old.features[key]
        if feature.is_video:
            return self._video(feature)
        if not feature.names:
            return feature
        order = self.order.get(key, range(len(feature.names)))
        names = [feature.names[offset] for offset in order]
        new = self._edit.rename_dimensions
        return replace(
            feature, names=tuple(new.get(name, name) for name in names)
        )

    def _video(self, feature: Feature) -> Feature:
        """A camera at the new rate: where its videos are encoded again, more of it is made anew."""
        info = feature.info or {}
        if self._edit.every == 1 or _FPS not in info:
            return feature
        fps = self._old.fps // self._edit.every
        return replace(feature, info={**info, _FPS: fps})

    def modality(self, document: Any) -> Any:  # noqa: ANN401 - JSON
        """What modality.json becomes.

        Raises:
            UsageError: the dimensions of a group would no longer lie side by side in their order.
        """
        if not isinstance(document, dict):
            return document
        changed = dict(document)
        for part, default in (
            ("state", "observation.state"),
            ("action", "action"),
        ):
            groups = document.get(part)
            if isinstance(groups, dict):
                changed[part] = self._groups(groups, default)
        if isinstance(document.get("video"), dict):
            changed["video"] = dict(self._videos(document["video"]))
        return changed

    def _groups(
        self, groups: Mapping[str, Any], default: str
    ) -> dict[str, Any]:
        kept = {}
        for name, group in groups.items():
            key = _original_key(group) or default
            if key in self.keys.values():
                kept[name] = self._group(name, group, key)
        return kept

    def _group(self, name: str, group: Any, key: str) -> Any:  # noqa: ANN401 - JSON
        order = self.order.get(key)
        if order is None or not isinstance(group, dict):
            return group
        first, end = group.get("start"), group.get("end")
        if not (
            isinstance(first, int)
            and isinstance(end, int)
            and 0 <= first < end <= len(order)
        ):
            raise UsageError(
                f"modality.json: the group {printable(name)} is no span of {printable(key)}",
                expected=f"start and end from 0 to {len(order)}",
                found=printable(f"{first!r} and {end!r}"),
                next_step="correct the group in meta/modality.json",
            )
        old = list(range(first, end))
        start = order.index(old[0])
        if order[start : start + len(old)] != old:
            listed = ", ".join(str(order.index(offset)) for offset in old)
            raise UsageError(
                f"the dimensions of the group {printable(name)} would no longer lie side by side",
                expected="each group of modality.json in one piece, in its order",
                found=f"its dimensions at {listed} of {printable(key)}",
                next_step="move whole groups",
            )
        return {**group, "start": start, "end": start + len(old)}

    def _videos(
        self,
        videos: Mapping[str, Any],
    ) -> list[tuple[str, Any]]:
        new = {old: key for key, old in self.keys.items()}
        kept = []
        for name, entry in videos.items():
            key = _original_key(entry) or camera_key(name)
            if key not in new:
                continue
            if new[key] == key:
                kept.append((name, entry))
            else:
                kept.append((_short(new[key]), {"original_key": new[key]}))
        return kept


def _original_key(entry: object) -> str | None:
    """The feature that an entry of modality.json names, where it names one."""
    known = entry.get("original_key") if isinstance(entry, dict) else None
    return known if isinstance(known, str) else None


def _short(name: str) -> str:
    """The name of a camera, also where its key is given."""
    return name.removeprefix(CAMERA_PREFIX)
