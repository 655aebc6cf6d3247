"""How alike images are."""

import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def libjpeg(data: bytes) -> Pixels:
    """The pixels of a JPEG as libjpeg gives them: uint8, (H, W, 3), RGB."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def psnr(expected: Iterable[Pixels], found: Iterable[Pixels]) -> float:
    """Peak signal-to-noise ratio in dB over all frames together.

    Raises:
        ValueError: one has more frames than the other.
    """
    errors = [
        float(np.mean((one.astype(np.float32) - other) ** 2, dtype=np.float64))
        for one, other in zip(expected, found, strict=True)
    ]
    return float(10 * np.log10(255**2 / max(float(np.mean(errors)), 1e-9)))
