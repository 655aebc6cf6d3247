"""SHA-256 of files."""

import hashlib
from pathlib import Path

_SMALL = 1 << 16


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        beginning = file.read(_SMALL)
        if len(beginning) < _SMALL:
            # `file_digest` first fills a buffer of its own with zeros
            return hashlib.sha256(beginning).hexdigest()
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()
