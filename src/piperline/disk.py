"""What is written is on the disk, whole, under a name that nobody else takes."""

import os
import secrets
import socket
from pathlib import Path

__all__ = ["own_name", "sync", "write_whole"]


def sync(path: Path) -> None:
    """See that a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def own_name() -> str:
    """A name for a temporary file or folder that nobody else takes: not even a process of the same number elsewhere."""
    return f"tmp-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    own = path.with_name(f".{path.name}.{own_name()}")
    try:
        own.write_text(text, encoding="utf-8", errors="surrogatepass")
        sync(own)
        own.replace(path)
    finally:
        own.unlink(missing_ok=True)
