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

    def missing(self, path: Path, frames: int) -> list[int]:
        """Those of the first `frames` frames of a file that were not."""
        held = self._files.get(path, b"").ljust(frames, b"\0")
        return [number for number in range(frames) if not held[number]]

    @property
    def count(self) -> int:
        """How many were."""
        return sum(map(sum, self._files.values()))
