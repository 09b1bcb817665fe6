"""The privacy-utility front: the defenses that no other defense beats on both axes."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri


def pareto_front(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The points on the front if lower is better on both axes (FID and extracted images).

    x, y: float [N]. Returns bool [N]: True where no other point is at most as high on both axes and lower on one.
    Points that coincide do not beat each other. A point that is not finite is never on the front.

    Raises `ValueError` for shapes that differ.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"x {x.shape} and y {y.shape} must be of one length")
    front: np.ndarray = _on_front(x[None], y[None])[0]
    return front


def front_probability(
    x: np.ndarray,
    x_low: np.ndarray,
    x_high: np.ndarray,
    y: np.ndarray,
    y_low: np.ndarray,
    y_high: np.ndarray,
    seed: int,
    draws: int = 2000,
) -> np.ndarray:
    """The probability of each point to be on the front, given the error on both axes.

    x, y and the ends of their 95% intervals: float [N]. Each draw moves every coordinate by an independent normal error
    with half of the interval's width as 1.96 standard deviations, sets values below 0 to 0 (FID and counts cannot be
    negative), and computes the front. A nan end means no error. Returns float64 [N] in [0, 1].

    Raises `ValueError` for shapes that differ.
    """
    rng = np.random.default_rng(seed)
    if not np.shape(x) == np.shape(x_low) == np.shape(x_high) == np.shape(y) == np.shape(y_low) == np.shape(y_high):
        raise ValueError("points and the ends of their intervals must be of one length")
    drawn_x = _drawn(x, x_low, x_high, draws, rng)
    drawn_y = _drawn(y, y_low, y_high, draws, rng)
    probability: np.ndarray = _on_front(drawn_x, drawn_y).mean(axis=0)
    return probability


def _drawn(value: np.ndarray, low: np.ndarray, high: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Normal draws [draws, N] around `value`, cut at 0; exact copies of it where an end is nan."""
    value = np.asarray(value, dtype=np.float64)
    half = (np.asarray(high, dtype=np.float64) - np.asarray(low, dtype=np.float64)) / 2
    noise = rng.standard_normal((draws, len(value))) * (np.nan_to_num(half) / ndtri(0.975))
    drawn: np.ndarray = np.where(np.isnan(half), value, np.maximum(value + noise, 0.0))
    return drawn


def _on_front(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Front membership, bool [draws, N], within each row of x and y [draws, N]."""
    front: np.ndarray = np.isfinite(x) & np.isfinite(y)
    for i in range(x.shape[1]):
        xi, yi = x[:, i : i + 1], y[:, i : i + 1]
        front[:, i] &= ~((x <= xi) & (y <= yi) & ((x < xi) | (y < yi))).any(axis=1)
    return front
