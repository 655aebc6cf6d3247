"""Which episodes a command line chooses: by numbers, spans of numbers, and names."""

import re
from fnmatch import fnmatchcase


class Selection:
    """Tells of each episode whether it is chosen; `unmatched` are parts that chose none.

    Args:
        text: see `make_plan`; None chooses all.
    """

    def __init__(self, text: str | None) -> None:
        self._all = text is None
        self._tokens = [token.strip() for token in (text or "").split(",")]
        self.unmatched = [] if self._all else list(self._tokens)

    def __call__(self, number: int, name: str) -> bool:
        """Whether the episode `name`, which is the one of this number, is chosen."""
        matching = [
            token for token in self._tokens if _matches(token, number, name)
        ]
        self.unmatched = [
            token for token in self.unmatched if token not in matching
        ]
        return self._all or bool(matching)


def _matches(token: str, number: int, name: str) -> bool:
    span = re.fullmatch(r"(\d*):(\d*)", token)
    if span:
        start, stop = span.groups()
        begun = number >= int(start or 0)
        return begun and (not stop or number < int(stop))
    return (
        number == int(token) if token.isdecimal() else fnmatchcase(name, token)
    )
