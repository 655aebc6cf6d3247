"""Comparing and sharing whole folders."""

import hashlib
import os
import shutil
from pathlib import Path


def tree(root: Path) -> dict[str, str]:
    """The SHA-256 of every file below `root`, by relative path; folders are listed too."""
    return {
        str(path.relative_to(root)): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        if path.is_file()
        else "folder"
        for path in sorted(root.rglob("*"))
    }


def contents(root: Path) -> dict[str, bytes]:
    """The bytes of every file below `root`, by relative path: what a Hub keeps of a folder."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def share(root: Path, copy: Path) -> Path:
    """Copy a folder by hard links: for what replaces files and never writes into them."""
    shutil.copytree(root, copy, copy_function=os.link, dirs_exist_ok=True)
    return copy
