"""How far one picture is from another: PSNR and SSIM.

Source: Wang et al., "Image quality assessment: from error visibility to structural similarity",
2004. Shapes in comments: H and W pixels, C channels.
"""

from __future__ import annotations

import math

import numpy as np

_RANGE = 255.0
_SIGMA, _RADIUS = 1.5, 5  # the paper's window: 11 x 11, Gaussian
_C1, _C2 = (0.01 * _RANGE) ** 2, (0.03 * _RANGE) ** 2


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal to noise between two pictures [H, W, C] uint8; infinite when they are equal."""
    _check(a, b)
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(_RANGE**2 / error)


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two pictures [H, W, C] uint8, mean over pixels and channels; <= 1.

    Windows that would leave the picture are not counted. ValueError below 11 pixels a side.
    """
    _check(a, b)
    if min(a.shape[:2]) < 2 * _RADIUS + 1:
        raise ValueError(f"SSIM needs 11 pixels a side and the pictures are {a.shape[1::-1]}")
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x**2
    var_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (var_x + var_y + _C2)
    return float(np.mean(luminance * structure))


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise ValueError(f"pictures of shapes {a.shape} and {b.shape} cannot be compared")


def _blur(x: np.ndarray) -> np.ndarray:
    """Weigh each whole window: [H, W, C] -> [H - 10, W - 10, C]."""
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    weights = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(x, len(weights), axis)
        x = windows @ weights
    return x
