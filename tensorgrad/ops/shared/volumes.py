"""Pools of volumes, made of pools of planes: first each plane of a volume, then along the depth."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...op import fn
from ...tensor import Tensor
from .windows import Taps


def resampled(input: Tensor, taps: Sequence[Taps | None]) -> Tensor:
    """Sparse matrices along the depth, the height and the width of (..., D, H, W), one after another."""
    *lead, depth, height, width = input.array.shape
    y = fn.resample(fn.reshape(input, math.prod(lead), depth, height, width), taps[1], taps[2])
    if taps[0] is None:
        return fn.reshape(y, *lead, *y.array.shape[1:])
    size = y.array.shape[2:]
    flat = fn.resample(fn.reshape(y, *y.array.shape[:2], math.prod(size)), taps[0], None)  # (P, DO, HO WO)
    return fn.reshape(flat, *lead, flat.array.shape[1], *size)


def largest(input: Tensor, planes: Callable[[Tensor], Any], depths: Callable[[Tensor], Any], return_indices: bool) -> Any:
    """Maxima of (N, C, D, H, W) or (C, D, H, W): `planes` pools (H, W), `depths` the first dim of (D, HO WO).

    Both give (y, indices) where `return_indices` asks for them. The first of equals in each plane and then along the depth is the
    first of equals in the volume.
    """
    *lead, depth, height, width = input.array.shape
    found = planes(fn.reshape(input, lead[0], math.prod(lead[1:]) * depth, height, width))
    y, at = found if return_indices else (found, None)
    size = y.array.shape[-2:]
    wide = math.prod(size)
    found = depths(fn.reshape(y, *lead, depth, wide))
    y, deep = found if return_indices else (found, None)
    out = (*lead, y.array.shape[-2], *size)
    if at is None or deep is None:
        return fn.reshape(y, *out)
    deep = fn.reshape(deep, *lead, y.array.shape[-2] * wide)
    flat = fn.gather(fn.reshape(at, *lead, depth * wide), -1, deep)  # where in its plane
    return fn.reshape(y, *out), fn.reshape(flat + fn.floor_divide(deep, wide) * (height * width), *out)


def reference_windows(x: Any, ranges: Sequence[Sequence[Sequence[int]]]) -> tuple[Any, Any]:
    """(maxima, their places in the volume) of windows given as the indices of each dim, for references."""
    sizes = x.shape[-3:]
    y = np.empty((*x.shape[:-3], *[len(r) for r in ranges]))
    at = np.empty(y.shape, np.int64)
    for index in np.ndindex(y.shape):
        taken = [r[i] for r, i in zip(ranges, index[-3:], strict=True)]
        window = x[index[:-3]][np.ix_(*taken)]
        best = np.unravel_index(np.argmax(window), window.shape)
        y[index] = window[best]
        at[index] = np.ravel_multi_index([t[int(b)] for t, b in zip(taken, best, strict=True)], sizes)
    return y, at
