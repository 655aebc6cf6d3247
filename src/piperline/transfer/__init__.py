"""Datasets to datasets: many become one, or another version, or what a plan leaves of them.

All are the same loop: for each episode of some datasets, `writer.add`. Nothing is encoded again but
what a cut leaves without a key frame.
"""

from piperline.transfer.edit import Preview, edit, preview_edit
from piperline.transfer.result import (
    EditOptions,
    EditResult,
    TransferOptions,
    TransferResult,
)
from piperline.transfer.transfer import aggregate, migrate

__all__ = [
    "EditOptions",
    "EditResult",
    "Preview",
    "TransferOptions",
    "TransferResult",
    "aggregate",
    "edit",
    "migrate",
    "preview_edit",
]
