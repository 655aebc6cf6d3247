"""Values of a file that somebody else wrote: taken by name, each of the type that is asked for."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from piperline.errors import DatasetError, Place
from piperline.text import is_utf8, printable

_NEEDED: Final = object()
_LARGEST = 2**53
_SHOWN = 60


@dataclass(frozen=True)
class Values:
    """A JSON object, or a row of a table.

    Attributes:
        values: what it holds, by name.
        where: what it is, for errors: "info.json", "line 3 of tasks.jsonl".
        place: for errors.

    Every method raises a DatasetError where the value is missing (and no default is given) or is
    not of the type that is asked for.
    """

    values: Mapping[str, Any]
    where: str
    place: Place

    def wrong(self, name: str, expected: str) -> DatasetError:
        """The error for a value that is not what LeRobot writes."""
        found = "nothing"
        if name in self.values:
            found = printable(repr(self.values[name]))
        return DatasetError(
            f"{self.where}: {printable(name)} is not what LeRobot writes",
            place=self.place,
            expected=expected,
            found=found if len(found) <= _SHOWN else f"{found[:_SHOWN]}...",
            next_step="fetch the dataset again, or make it anew",
        )

    def whole(
        self, name: str, default: object = _NEEDED, *, least: int = 0
    ) -> int:
        """A whole number, at least `least`; 30.0 is one."""
        number = _number(self._value(name, default))
        if number is None or number < least or number != int(number):
            raise self.wrong(name, f"a whole number, {least} or more")
        return int(number)

    def number(self, name: str, default: object = _NEEDED) -> float:
        """A finite number, 0 or more."""
        number = _number(self._value(name, default))
        if number is None or number < 0:
            raise self.wrong(name, "a number, 0 or more")
        return float(number)

    def text(self, name: str, default: object = _NEEDED) -> str:
        """A text."""
        value = self._value(name, default)
        if not isinstance(value, str) or not is_utf8(value):
            raise self.wrong(name, "a text")
        return value

    def optional_text(self, name: str) -> str | None:
        """A text, or None where there is none."""
        if self.values.get(name) is None:
            return None
        return self.text(name)

    def texts(
        self,
        name: str,
        default: object = _NEEDED,
    ) -> tuple[str, ...]:
        """A list of texts."""
        value = self._value(name, default)
        texts = value if isinstance(value, list | tuple) else [None]
        if not all(isinstance(text, str) and is_utf8(text) for text in texts):
            raise self.wrong(name, "a list of texts")
        return tuple(texts)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a value: whole numbers, 1 or more; without any, that of a scalar."""
        value = self._value(name, _NEEDED)
        sides = (
            [_number(side) for side in value]
            if isinstance(value, list | tuple)
            else [None]
        )
        known = [int(side) for side in sides if side is not None and side >= 1]
        if (
            len(known) < len(sides)
            or known != sides
            or math.prod(known) > _LARGEST
        ):
            raise self.wrong(name, "a list of whole numbers, 1 or more")
        return tuple(known) or (1,)

    def entry(self, name: str) -> "Values":
        """A JSON object in this one."""
        value = self._value(name, _NEEDED)
        if not isinstance(value, Mapping):
            raise self.wrong(name, "a JSON object")
        return Values(value, f"{self.where}, {printable(name)}", self.place)

    def _value(self, name: str, default: object) -> object:
        value = self.values.get(name, default)
        if value is _NEEDED:
            raise self.wrong(name, "a value")
        return value


def _number(value: object) -> float | None:
    """A finite number that float64 holds exactly; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) <= _LARGEST else None
