"""Read videos with torchcodec, as LeRobot's loader does.

Run in the environment of the original way.

Prints CPU milliseconds per frame on one thread, read in order and read at random, as JSON.
"""

import json
import sys
import time
from random import Random

from torchcodec.decoders import VideoDecoder

READS = 30


def main(paths: list[str]) -> None:
    """Measure all of `paths` together."""
    decoders = [VideoDecoder(path, num_ffmpeg_threads=1) for path in paths]
    start, frames = time.process_time(), 0
    for decoder in decoders:
        frames += sum(1 for _ in decoder)
    sequential = (time.process_time() - start) / frames
    draw = Random(0)  # noqa: S311 - no cryptography
    start = time.process_time()
    for decoder in decoders:
        for _ in range(READS):
            decoder.get_frame_at(draw.randrange(len(decoder)))
    at_random = (time.process_time() - start) / (READS * len(decoders))
    json.dump(
        {"sequential_ms": sequential * 1000, "random_ms": at_random * 1000},
        sys.stdout,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
