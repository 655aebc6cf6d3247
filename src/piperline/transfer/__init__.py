"""Datasets to datasets: `aggregate` makes one of many, `migrate` makes another version of one.

Both are the same loop: for each episode of some datasets, `writer.add`. Nothing is encoded again.
"""

from piperline.transfer.transfer import Options, TransferResult, aggregate, migrate

__all__ = ["Options", "TransferResult", "aggregate", "migrate"]
