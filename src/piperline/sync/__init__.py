"""A dataset kept in step with its recordings."""

from piperline.sync.run import Changes, SyncOptions, SyncResult, preview, sync
from piperline.sync.watch import WatchRound, watch

__all__ = [
    "Changes",
    "SyncOptions",
    "SyncResult",
    "WatchRound",
    "preview",
    "sync",
    "watch",
]
