"""What commands say: data on standard output, prose on standard error."""

import json
import sys
from collections.abc import Mapping
from typing import Any


class Output:
    """Where a command's words go.

    Args:
        json_wanted: one JSON document on standard output instead of prose; notes still go to standard error.
    """

    def __init__(self, *, json_wanted: bool = False) -> None:
        self.json_wanted = json_wanted

    def data(self, text: str) -> None:
        """A line of the result, for people."""
        if not self.json_wanted:
            sys.stdout.write(text + "\n")

    def document(self, value: Mapping[str, Any] | list[Any]) -> None:
        """The result, for programs; only if JSON was asked for."""
        if self.json_wanted:
            sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")

    def note(self, text: str) -> None:
        """A word beside the result."""
        sys.stderr.write(text + "\n")

    def error(self, error: Exception) -> None:
        """Why a command failed: message, place, expected, found, next step."""
        notes = getattr(error, "__notes__", [])
        sys.stderr.write("\n".join([f"error: {error}", *notes]) + "\n")
