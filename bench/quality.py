"""How alike images are."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from piperline.video.decoder import decode

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_STEADY = (0.01 * 255) ** 2, (0.03 * 255) ** 2
"""The constants of SSIM that keep its quotients from 0 / 0."""


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


def ssim(expected: Iterable[Pixels], found: Iterable[Pixels]) -> float:
    """Structural similarity of luma, the mean over frames.

    Wang et al., 2004, in windows of 8 x 8 pixels, every 4 pixels.
    """
    pairs = zip(expected, found, strict=True)
    return float(
        np.mean([_ssim(one @ _LUMA, two @ _LUMA) for one, two in pairs])
    )


def _ssim(one: Floats, two: Floats) -> float:
    of_means, of_spread = _STEADY
    mean, other = _windows(one), _windows(two)
    variances = _windows(one * one) + _windows(two * two) - mean**2 - other**2
    covariance = _windows(one * two) - mean * other
    likeness = (2 * mean * other + of_means) * (2 * covariance + of_spread)
    most = (mean**2 + other**2 + of_means) * (variances + of_spread)
    return float(np.mean(likeness / most))


def _windows(luma: Floats) -> Floats:
    """The means of all windows."""
    rows, columns = (side // 4 for side in luma.shape)
    blocks = luma[: rows * 4, : columns * 4].reshape(rows, 4, columns, 4)
    means = blocks.mean(axis=(1, 3), dtype=np.float64)
    windows: Floats = (
        means[1:, 1:] + means[1:, :-1] + means[:-1, 1:] + means[:-1, :-1]
    ) / 4
    return windows


def quality(
    recorded: Sequence[Sequence[bytes]], videos: Sequence[Path]
) -> tuple[float, float]:
    """PSNR in dB and SSIM of videos against the recorded JPEG, the mean over cameras."""
    pairs = list(zip(recorded, videos, strict=True))
    decibels = [psnr(map(libjpeg, one), decode(two)) for one, two in pairs]
    alike = [ssim(map(libjpeg, one), decode(two)) for one, two in pairs]
    return float(np.mean(decibels)), float(np.mean(alike))
