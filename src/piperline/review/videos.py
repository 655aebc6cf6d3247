"""The small videos of an episode that the page plays: made while its images are measured."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from piperline.files import own_name, sync_tree


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into; it gets the name `folder` when this is left without an exception."""
    own = folder.with_name(f".{folder.name}.{own_name()}")
    own.mkdir()
    try:
        yield own
        sync_tree(own)
        own.rename(folder)
    except OSError:
        # another review made it meanwhile, of the same images
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(own, ignore_errors=True)
