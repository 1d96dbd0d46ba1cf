"""PSNR and SSIM against values known from their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mezzotint.images.fidelity import psnr_db, ssim


def noise(seed: int, side: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_equal_pictures() -> None:
    a = noise(0)
    assert psnr_db(a, a) == math.inf
    assert ssim(a, a) == pytest.approx(1.0)


def test_psnr_of_a_known_error() -> None:
    a = np.full((16, 16, 3), 100, np.uint8)
    assert psnr_db(a, a + 1) == pytest.approx(20 * math.log10(255))
    assert psnr_db(a, a + 10) == pytest.approx(20 * math.log10(255) - 20)


def test_ssim_of_flat_pictures_is_its_luminance_term() -> None:
    a, b = np.full((16, 16, 3), 100, np.uint8), np.full((16, 16, 3), 120, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b) == pytest.approx((2 * 100 * 120 + c1) / (100**2 + 120**2 + c1))


def test_ssim_against_the_sum_over_one_window() -> None:
    a, b = noise(1, 11), noise(2, 11)  # 11 x 11: exactly one window
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights = np.outer(line, line) / line.sum() ** 2
    expected = []
    for channel in range(3):
        x, y = a[..., channel].astype(float), b[..., channel].astype(float)
        mx, my = (weights * x).sum(), (weights * y).sum()
        vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
        cov = (weights * (x - mx) * (y - my)).sum()
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        expected.append(
            (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
        )
    assert ssim(a, b) == pytest.approx(np.mean(expected))


def test_noise_lowers_both_and_more_of_it_more() -> None:
    a = np.tile(np.linspace(40, 200, 64).astype(np.uint8)[:, None, None], (1, 64, 3))
    rng = np.random.default_rng(3)
    pictures = [
        (a + rng.normal(0, sigma, a.shape)).clip(0, 255).astype(np.uint8) for sigma in (2, 20)
    ]
    assert 20 < psnr_db(a, pictures[1]) < psnr_db(a, pictures[0]) < 45
    assert 0 < ssim(a, pictures[1]) < ssim(a, pictures[0]) < 1


def test_what_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        psnr_db(noise(0), noise(0, 16))
    with pytest.raises(ValueError, match="11 pixels"):
        ssim(noise(0, 10), noise(1, 10))
