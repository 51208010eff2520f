"""The sparse matrices that resize a line: nearest, linear, cubic, with or without antialiasing."""
from __future__ import annotations

import functools

import numpy as np

from .windows import Taps


def _keys(x: np.ndarray, a: float) -> np.ndarray:
    """The cubic convolution kernel of Keys (1981)."""
    x = np.abs(x)
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


@functools.lru_cache(1024)
def resize_taps(mode: str, n: int, size: int, factor: float | None, align_corners: bool, antialias: bool,
                single: bool) -> Taps:
    """The (size, n) matrix of `mode`: nearest, nearest-exact, linear or cubic.

    A step between output pixels is 1 / factor input pixels, n / size without a factor, (n - 1) / (size - 1) with aligned corners.
    `single`: the nearest pixel is found in float32, as PyTorch does for all inputs but float64.
    """
    i = np.arange(size)
    step = n / size if factor is None else 1 / factor
    if mode in ("nearest", "nearest-exact"):
        real = np.dtype(np.float32 if single else np.float64)
        at = (i + (0.5 if mode == "nearest-exact" else 0.0)).astype(real) * np.asarray(step, real)
        source = np.minimum(np.floor(at).astype(np.int64), n - 1)
        return Taps(n, np.arange(size + 1), source, np.ones(size))
    if align_corners:
        step = (n - 1) / (size - 1) if size > 1 else 0.0
    if antialias:
        return _filtered(mode, n, size, step)
    at = i * step if align_corners else (i + 0.5) * step - 0.5
    if mode == "linear":
        at = np.maximum(at, 0)
        low = np.minimum(np.floor(at).astype(np.int64), n - 1)
        source, far = np.stack([low, np.minimum(low + 1, n - 1)], 1), np.minimum(at - low, 1.0)
        weight = np.stack([1 - far, far], 1)
    else:
        low = np.floor(at).astype(np.int64)
        offsets = np.arange(-1, 3)
        source, weight = np.clip(low[:, None] + offsets, 0, n - 1), _keys((at - low)[:, None] - offsets, -0.75)
    used = weight != 0  # a neighbour that does not count must not spread NaN
    return Taps(n, np.concatenate([[0], np.cumsum(used.sum(1))]).astype(np.int64), source[used], weight[used])


def _filtered(mode: str, n: int, size: int, step: float) -> Taps:
    """Linear or cubic with a filter as wide as a step: each output pixel averages all input pixels it covers."""
    wide = max(step, 1.0)
    reach = (1 if mode == "linear" else 2) * wide
    start, source, weight = [0], [], []
    for i in range(size):
        centre = step * (i + 0.5)
        begin, end = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), n)
        x = (np.arange(begin, end) - centre + 0.5) / wide
        w = np.maximum(0, 1 - np.abs(x)) if mode == "linear" else _keys(x, -0.5)
        source.append(np.arange(begin, end))
        weight.append(w / w.sum())
        start.append(start[-1] + end - begin)
    return Taps(n, np.array(start, np.int64), np.concatenate(source).astype(np.int64), np.concatenate(weight))
