"""The forecast against GR00T's sampling told once more: shards dealt and passed through.

By `ShardedSingleStepDataset` of the tags n1.6.1-release and n1.7-release, and of main since June
2026, which leaves out parts without steps; N1.5 draws rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from piperline.groot.preflight import preflight
from piperline.groot.settings import Launch

LENGTHS = (40, 44, 36)
"""Of the episodes of `good`."""


@dataclass
class Counted:
    """What passing through all shards once takes."""

    shards: int
    samples: int
    decoded: int
    largest: int


def passed_through(
    launch: Launch, horizon: int, *, skip_empty: bool
) -> Counted:
    """Deal each episode's steps to the shortest shard, part by part; then load every shard."""
    splits = int(1 / launch.sampling_rate)
    steps = [max(0, length - horizon + 1) for length in LENGTHS]
    shards: list[list[Any]] = [
        [] for _ in range(-(-sum(steps) // launch.shard_size))
    ]
    rng = np.random.default_rng(0)
    for episode in rng.permutation(len(LENGTHS)):
        order = rng.permutation(steps[episode])
        for part in range(splits):
            chosen = order[part::splits]
            if len(chosen) or not skip_empty:
                shortest = min(shards, key=lambda held: sum(map(_size, held)))
                shortest.append((episode, chosen))
    sizes = [sum(map(_size, held)) for held in shards]
    decoded = sum(LENGTHS[episode] for held in shards for episode, _ in held)
    return Counted(len(shards), sum(sizes), decoded, max(sizes))


def _size(part):
    return len(part[1])


@pytest.mark.parametrize("version", ["n1.6", "n1.7-april", "n1.7"])
@pytest.mark.parametrize("horizon", [8, 16, 36, 40])
@pytest.mark.parametrize(
    ("shard_size", "rate"), [(1024, 0.1), (20, 0.1), (7, 0.34), (64, 1.0)]
)
def test_shards_samples_and_frames(good, version, horizon, shard_size, rate):
    launch = Launch(shard_size=shard_size, sampling_rate=rate)
    found = preflight(
        good, version=version, horizon=horizon, launch=launch, videos=False
    ).forecast
    assert found is not None
    counted = passed_through(launch, horizon, skip_empty=version == "n1.7")
    assert found.shards == counted.shards
    assert found.usable_steps == counted.samples
    assert found.decoded_frames_per_sample * counted.samples == pytest.approx(
        counted.decoded, rel=0.05
    )
    assert found.steps_per_epoch == pytest.approx(
        counted.samples / launch.batch, rel=0.05
    )


def test_memory_is_two_episodes_and_two_shards_beside_the_process(good):
    """As measured with N1.6: 4 bytes a decoded pixel, 256 x 256 x 3 of a processed image."""
    launch = Launch(shard_size=20)
    found = preflight(good, launch=launch, videos=False).forecast
    assert found is not None
    counted = passed_through(launch, 16, skip_empty=False)
    pixels = 3 * 48 * 64
    episodes = 2 * max(LENGTHS) * pixels * 4
    shards = 2 * counted.largest * 3 * 256 * 256 * 3
    assert found.worker_memory_bytes == pytest.approx(
        2**30 + episodes + shards, rel=0.05
    )
