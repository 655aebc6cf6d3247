"""GR00T's sampling arithmetic: usable steps, shards, what decoding and memory will cost.

From `ShardedSingleStepDataset` in NVIDIA/Isaac-GR00T (tag n1.6.1-release): a step is usable if its
whole action chunk lies in the episode; each episode's steps are dealt to `int(1 /
episode_sampling_rate)` parts, and each part goes to the shortest of `ceil(steps / shard_size)`
shards; a shard that gets none is an AssertionError. Every part decodes its whole episode.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from piperline.errors import Place
from piperline.finding import Finding, command
from piperline.groot.checks.inputs import Subject
from piperline.groot.settings import Launch

_DECODE_MS = {"mjpeg": 1.8, "av1": 3.7, "hevc": 2.6, "h264": 2.6}
"""CPU milliseconds for a 640x480 frame, measured with torchcodec 0.4; other codecs as h264."""
_MEASURED_PIXELS = 640 * 480
_SEEK_FRAMES = {"mjpeg": 1.0, "av1": 1.5, "hevc": 5.5, "h264": 5.5}
"""Frames decoded to reach one in the middle: from the key frame before it, every 1, 2, 10 or 10."""
_PROCESSED_PIXELS = 256 * 256
_DECODED_BYTES = 4
"""Bytes of a decoded pixel in memory, measured."""
_PROCESS_BYTES = 2**30
"""Of a worker that has loaded its libraries, measured."""
_MEMORY_LIMIT = 16e9
"""More bytes for one worker than this are worth a word: there are workers x GPUs of them."""


@dataclass(frozen=True)
class TrainingForecast:
    """What training on a dataset will take; estimates, except for the counts.

    Attributes:
        episodes, frames: in the dataset.
        usable_steps: frames at which a sample can start.
        lost_episodes: episodes shorter than the horizon, never used.
        shards: how many there will be.
        decoded_frames_per_sample: frames of one camera that are decoded for each sample.
        decode_cpu_ms_per_sample: CPU milliseconds of decoding for each sample, all cameras.
        steps_per_epoch: optimiser steps in which as many samples are drawn as there are usable
            steps.
        worker_memory_bytes: of one data-loader worker.
        all_workers_memory_bytes: of all workers of all GPUs.
        hold_error: mean absolute error of holding the pose at the start of each action chunk, over
            all dimensions of actions that have a state: what a trained model has to beat in
            open-loop evaluation. None where no action has a state.
    """

    episodes: int
    frames: int
    usable_steps: int
    lost_episodes: int
    shards: int
    decoded_frames_per_sample: float
    decode_cpu_ms_per_sample: float
    steps_per_epoch: float
    worker_memory_bytes: int
    all_workers_memory_bytes: int
    hold_error: float | None

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def shards(
    usable: list[int],
    launch: Launch,
) -> tuple[int, int]:
    """How many shards GR00T wants, and how many parts with steps there are to fill them.

    There must be at least as many parts as shards.
    """
    splits = int(1 / launch.sampling_rate)
    return math.ceil(sum(usable) / launch.shard_size), sum(
        min(splits, steps) for steps in usable
    )


def _usable(subject: Subject) -> list[int]:
    return [
        max(0, length - subject.choice.horizon + 1)
        for length in subject.lengths
    ]


def forecast(subject: Subject) -> TrainingForecast:
    """Estimate what training on the dataset takes."""
    lengths, usable, launch = subject.lengths, _usable(subject), subject.launch
    splits = int(1 / launch.sampling_rate)
    steps = sum(usable)
    if subject.target.version == "n1.5":
        return _forecast_n15(subject)
    decoded = splits * sum(lengths)
    # parts without steps are left out since June 2026
    if not subject.target.is_of_spring:
        pairs = zip(lengths, usable, strict=True)
        decoded = sum(length * min(splits, count) for length, count in pairs)
    amplification = decoded / steps if steps else 0.0
    cameras = _cameras(subject)
    frame_ms = sum(ms for ms, _, _ in cameras)
    pixels = sum(count for _, _, count in cameras)
    wanted = shards(usable, launch)[0]
    # Two decoded episodes, and two shards of processed samples: the one in use and the next.
    decoded_bytes = 2 * max(lengths, default=0) * pixels * _DECODED_BYTES
    shard = math.ceil(steps / wanted) if wanted else 0
    shard_bytes = 2 * shard * len(cameras) * _PROCESSED_PIXELS * 3
    memory = _PROCESS_BYTES + decoded_bytes + shard_bytes
    return TrainingForecast(
        episodes=len(subject.meta.episodes),
        frames=sum(lengths),
        usable_steps=steps,
        lost_episodes=sum(count == 0 for count in usable),
        shards=wanted,
        decoded_frames_per_sample=amplification,
        decode_cpu_ms_per_sample=amplification * frame_ms,
        steps_per_epoch=steps / launch.batch,
        worker_memory_bytes=memory,
        all_workers_memory_bytes=memory * launch.workers * launch.gpus,
        hold_error=_hold_error(subject),
    )


def _hold_error(subject: Subject) -> float | None:
    """The mean of |action[t] - state at the start of t's chunk|, chunk after chunk."""
    total, count = 0.0, 0
    for name in subject.choice.action:
        action, state = (
            subject.group("action", name),
            subject.group("state", name),
        )
        if action is None or state is None or action.shape != state.shape:
            continue
        for start, stop in subject.rows.episodes(subject.meta).values():
            chunk = (
                np.arange(stop - start) // subject.choice.horizon
            ) * subject.choice.horizon
            distance = np.abs(action[start:stop] - state[start:stop][chunk])
            known = distance[np.isfinite(distance)]
            total, count = total + float(known.sum()), count + known.size
    return total / count if count else None


def _forecast_n15(subject: Subject) -> TrainingForecast:
    """N1.5 draws rows: every row is a sample, each frame is sought by its time, no shards."""
    lengths, launch, cameras = (
        subject.lengths,
        subject.launch,
        _cameras(subject),
    )
    frames = sum(lengths)
    sought = [seek for _, seek, _ in cameras]
    memory = _PROCESS_BYTES
    return TrainingForecast(
        episodes=len(subject.meta.episodes),
        frames=frames,
        usable_steps=frames,
        lost_episodes=0,
        shards=0,
        decoded_frames_per_sample=sum(sought) / len(sought) if sought else 0.0,
        decode_cpu_ms_per_sample=sum(ms * seek for ms, seek, _ in cameras),
        steps_per_epoch=frames / launch.batch,
        worker_memory_bytes=memory,
        all_workers_memory_bytes=memory * launch.workers * launch.gpus,
        hold_error=_hold_error(subject),
    )


def _cameras(subject: Subject) -> list[tuple[float, float, int]]:
    """For each camera: milliseconds to decode a frame, frames to seek one, pixels."""
    found = []
    for key in _camera_keys(subject):
        height, width = _shape(subject, key)[:2]
        codec = str(subject.meta.video_facts(key).get("video.codec"))
        codec = codec if codec in _DECODE_MS else "h264"
        ms = _DECODE_MS[codec] * height * width / _MEASURED_PIXELS
        found.append((ms, _SEEK_FRAMES[codec], height * width))
    return found


def _camera_keys(subject: Subject) -> list[str]:
    keys = [subject.meta.video_key(camera) for camera in subject.choice.cameras]
    return [
        key
        for key in keys
        if key in subject.meta.schema.features and len(_shape(subject, key)) > 1
    ]


def _shape(subject: Subject, key: str) -> tuple[int, ...]:
    return subject.meta.schema.features[key].shape


def check_arithmetic(subject: Subject) -> Iterator[Finding]:
    """Horizon, shards, batch and GPUs, memory, and an old checkpoint in the output folder."""
    usable, launch = _usable(subject), subject.launch
    yield from _check_batch(launch, subject.meta.root)
    yield from _check_horizon(subject, usable)
    if subject.target.is_of_spring:
        yield from _check_shards(usable, launch, subject.meta.root)
    yield from _check_memory(subject)
    if subject.target.is_of_spring:
        yield from _check_checkpoints(launch)


def _check_batch(launch: Launch, root: Path) -> Iterator[Finding]:
    if launch.gpus >= 1 and launch.batch % launch.gpus == 0:
        return
    gpus = max(1, launch.gpus)
    each = max(1, launch.batch // gpus)
    yield Finding(
        "batch",
        "error",
        f"a global batch of {launch.batch} cannot be "
        f"divided evenly among {launch.gpus} GPUs",
        None,
        {"batch": launch.batch, "gpus": launch.gpus},
        _configure(root, "--gpus", gpus, "--batch", each * gpus),
    )


def _check_horizon(subject: Subject, usable: list[int]) -> Iterator[Finding]:
    horizon, place = subject.choice.horizon, Place(file=subject.meta.root)
    if usable and not any(usable):
        yield Finding(
            "horizon-too-long",
            "error",
            f"every episode is shorter than the horizon of {horizon} frames; the longest has "
            f"{max(subject.lengths)}",
            place,
            {"horizon": horizon},
            "a shorter --horizon",
        )
        return
    lost = sum(steps == 0 for steps in usable)
    if lost and subject.target.version != "n1.5":
        shortest = min(length for length in subject.lengths if length)
        yield Finding(
            "episodes-short",
            "warning",
            f"{lost} of {len(usable)} episodes are shorter than the horizon of {horizon} frames, "
            "and never used",
            place,
            {"episodes": lost, "horizon": horizon},
            _configure(subject.meta.root, "--horizon", shortest),
        )


def _check_memory(subject: Subject) -> Iterator[Finding]:
    launch, memory = subject.launch, forecast(subject).worker_memory_bytes
    if memory > _MEMORY_LIMIT:
        yield Finding(
            "memory",
            "warning",
            f"a data-loader worker will hold about {memory / 1e9:.0f} GB, and there are "
            f"{launch.workers * launch.gpus}",
            Place(file=subject.meta.root),
            {"bytes": memory},
            "store smaller images, split long episodes, or take fewer --workers",
        )


def _configure(root: Path, *options: object) -> str:
    return command("piperline", "groot", "config", root, *options)


def check_writable(subject: Subject) -> Iterator[Finding]:
    """GR00T rewrites `relative_stats.json` at each start, even if it is right."""
    meta = subject.meta.root / "meta"
    if subject.target.version != "n1.5" and not os.access(meta, os.W_OK):
        message = f"meta/ is read-only: {subject.target.title} writes statistics there and stops"
        remedy = command(
            "cp", "-r", subject.meta.root, f"{subject.meta.root}-copy"
        )
        yield Finding(
            "dataset-read-only",
            "error",
            message,
            Place(file=meta),
            remedy=remedy,
        )


def _check_checkpoints(launch: Launch) -> Iterator[Finding]:
    """N1.6 resumes silently, and keeps the statistics of the checkpoint it starts from."""
    if launch.output and any(launch.output.glob("checkpoint-*")):
        message = "the output folder holds checkpoints: GR00T N1.6 goes on from them without a word"
        remedy = "choose a new --output-dir"
        yield Finding(
            "output-resumes",
            "warning",
            message,
            Place(file=launch.output),
            remedy=remedy,
        )
    statistics = (
        launch.base_model / "statistics.json" if launch.base_model else None
    )
    if (
        statistics
        and statistics.is_file()
        and b'"new_embodiment"' in statistics.read_bytes()
    ):
        message = (
            "the checkpoint to start from has statistics of NEW_EMBODIMENT: GR00T N1.6 keeps "
            "them for these data"
        )
        remedy = "remove new_embodiment from its statistics.json, unless the data are the same"
        yield Finding(
            "checkpoint-stats",
            "warning",
            message,
            Place(file=statistics),
            remedy=remedy,
        )


def _check_shards(
    usable: list[int], launch: Launch, root: Path
) -> Iterator[Finding]:
    wanted, parts = shards(usable, launch)
    if wanted <= parts or not parts:
        return
    size = math.ceil(sum(usable) / parts)
    message = (
        f"GR00T wants {wanted} shards and has {parts} parts of episodes to fill them: "
        '"All shards must have length greater than 0"'
    )
    remedy = _configure(root, "--shard-size", size)
    yield Finding(
        "shards",
        "error",
        message,
        Place(file=root),
        {"shards": wanted, "parts": parts, "shard_size": size},
        remedy,
    )
