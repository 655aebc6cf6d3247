"""Which frames of which video files were decoded: none has to be decoded twice."""

from pathlib import Path


class DecodedFrames:
    """Takes down the frames that were decoded, each once; a byte for each frame of a file."""

    def __init__(self) -> None:
        self._files: dict[Path, bytearray] = {}

    def add(self, path: Path, number: int) -> None:
        """Frame `number` of the file at `path` was decoded."""
        held = self._files.setdefault(path, bytearray())
        if number >= len(held):
            held.extend(bytes(number + 1 - len(held)))
        held[number] = 1

    def missing(self, path: Path, numbers: range) -> list[int]:
        """Those frames of a file that were not, of those of so many numbers."""
        held = self._files.get(path, b"").ljust(numbers.stop, b"\0")
        return [number for number in numbers if not held[number]]

    @property
    def count(self) -> int:
        """How many were."""
        return sum(map(sum, self._files.values()))
