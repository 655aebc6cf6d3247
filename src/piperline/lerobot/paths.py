"""Where files of a dataset lie: the templates `data_path` and `video_path` of info.json.

They come from untrusted files and look like Python's format strings, which can do much more than to
name a file: here they have the known fields and zero-padded widths, and nothing else.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

_FIELD = re.compile(r"\{(?P<name>[a-z_]+)(?::0(?P<width>[1-9])d)?\}")
_TEXT = "video_key"


@dataclass(frozen=True)
class PathTemplate:
    """A path below a dataset with fields in it: `data/chunk-{chunk_index:03d}/...`.

    Attributes:
        text: as in info.json.
    """

    text: str

    def check(self, fields: Collection[str]) -> None:
        """See that it has no other fields than `fields`, and stays in the dataset.

        Raises:
            ValueError: it does not; the message says why.
        """
        for match in _FIELD.finditer(self.text):
            if match["name"] not in fields:
                raise ValueError(f"the field {match['name']!r} is not known")
            if match["name"] == _TEXT and match["width"]:
                raise ValueError(f"{_TEXT!r} is no number")
        rest = _FIELD.sub("0", self.text)
        if "{" in rest or "}" in rest:
            raise ValueError(
                "fields are written as {episode_index} or {episode_index:06d}"
            )
        check_inside(rest)

    def path(self, values: Mapping[str, int | str]) -> str:
        """The path with `values` filled in, which are not negative and no paths."""
        return "".join(
            text + str(values[name]).zfill(width) if name else text
            for text, name, width in self._parts
        )

    @cached_property
    def _parts(self) -> list[tuple[str, str, int]]:
        """The text before each field, its name, its width; and at last the text behind them."""
        found, end = [], 0
        for match in _FIELD.finditer(self.text):
            before = self.text[end : match.start()]
            found.append((before, match["name"], int(match["width"] or 0)))
            end = match.end()
        return [*found, (self.text[end:], "", 0)]


def check_inside(path: str) -> None:
    """See that a path leads to a file below a folder.

    Raises:
        ValueError: it is absolute, leads out, or has empty parts or NUL; the message says why.
    """
    parts = path.split("/")
    if path.startswith("/") or ".." in parts:
        raise ValueError(f"{path!r} leads out of the dataset")
    if "" in parts or "." in parts or "\0" in path:
        raise ValueError(f"{path!r} is not the path of a file")


def check_key(key: str) -> None:
    """See that the name of a feature can be a part of a path and of a column's name.

    Raises:
        ValueError: it cannot; the message says why.
    """
    check_inside(key)
    if "/" in key:
        raise ValueError(
            f"{key!r} holds a '/': LeRobot allows none in names of features"
        )
