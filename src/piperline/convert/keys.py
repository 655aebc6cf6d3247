"""The keys of episodes: what is staged under one is what any run of the same key would make."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from piperline import __version__
from piperline.convert.job import Job
from piperline.video.encoder import LIBRARY

if TYPE_CHECKING:
    from piperline.convert.plan import PlannedEpisode

MADE_BY = (__version__, LIBRARY)
"""Versions of piperline and of FFmpeg."""


def keyed(
    planned: Sequence["PlannedEpisode"], job: Job
) -> Iterator["PlannedEpisode"]:
    """The episodes with their keys, each another."""
    settings = _what_makes_bytes(job)
    seen: set[str] = set()
    for episode in planned:
        key = _key(settings, episode, episode.source)
        # two files of one name, size and time: their full paths tell them apart
        if key in seen:
            key = _key(settings, episode, str(episode.file.resolve()))
        seen.add(key)
        yield replace(episode, key=key)


def _what_makes_bytes(job: Job) -> dict[str, Any]:
    """Of a job, what the bytes of a staged episode follow from: no descriptions, no other names."""
    settings = job.settings
    return {
        "layout": job.layout.content,
        "codec": settings.video.codec,
        "options": dict(settings.video.options),
        "threads": settings.video.threads,
        "fps": settings.fps,
        "size": settings.size,
        "verify": settings.verify,
        "made by": MADE_BY,
    }


def _key(
    settings: dict[str, Any],
    episode: "PlannedEpisode",
    source: str,
) -> str:
    identity = [
        source,
        episode.size,
        episode.mtime_ns,
        episode.name,
        episode.length,
        episode.task,
    ]
    if episode.taken or episode.swapped:
        identity += [episode.taken, list(episode.swapped)]
    if episode.spans:
        identity.append(episode.spans)
    if episode.beside.fingerprint:
        identity.append(episode.beside.fingerprint)
    text = json.dumps(
        [settings, identity, list(episode.cameras)], sort_keys=True
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[
        :32
    ]
