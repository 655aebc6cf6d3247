"""Comparing whole folders."""

import hashlib
from pathlib import Path


def tree(root: Path) -> dict[str, str]:
    """The SHA-256 of every file below `root`, by relative path; folders are listed too."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "folder"
        for path in sorted(root.rglob("*"))
    }
