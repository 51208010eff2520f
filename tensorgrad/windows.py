"""Window functions for spectra and overlapping pieces: `tensorgrad.hann_window(400)`.

Of `window_length` numbers; `periodic` is the window of one more without its last, so that copies in a row fit together.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import dtypes
from .dtypes import dtype as DType
from .memory_format import layout as Layout
from .memory_format import strided
from .tensor import Tensor, as_device, wrap

__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"]


def _window(op: str, formula: Callable[[np.ndarray], np.ndarray], n: int, periodic: bool, dtype: DType | None, layout: Layout, device: Any,
            requires_grad: bool) -> Tensor:
    """formula(t) of t from 0 to 1."""
    if n < 0:
        raise RuntimeError(f"{op}: window_length must not be negative, got {n}")
    if layout is not strided:
        raise TypeError(f"{op}: layout must be tensorgrad.strided, not {layout!r}")
    kind = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    if not kind.is_floating_point:
        raise RuntimeError(f"{op}: needs a floating dtype, got {kind.name}")
    steps = n if periodic else n - 1
    values = np.ones(n) if n == 1 else formula(np.arange(n) / max(steps, 1))
    where = as_device(device)
    out = wrap(where.backend.asarray(values.astype(kind.np)), where)
    return out.requires_grad_() if requires_grad else out


def hann_window(window_length: int, periodic: bool = True, *, dtype: DType | None = None, layout: Layout = strided, device: Any = None,
                requires_grad: bool = False) -> Tensor:
    """w(t) = sin^2(pi t), t = k / N."""
    return _window("hann_window", lambda t: np.sin(math.pi * t) ** 2, window_length, periodic, dtype, layout, device, requires_grad)


def hamming_window(window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *, dtype: DType | None = None,
                   layout: Layout = strided, device: Any = None, requires_grad: bool = False) -> Tensor:
    """w(t) = alpha - beta cos(2 pi t), t = k / N."""
    return _window("hamming_window", lambda t: alpha - beta * np.cos(2 * math.pi * t), window_length, periodic, dtype, layout, device,
                   requires_grad)


def blackman_window(window_length: int, periodic: bool = True, *, dtype: DType | None = None, layout: Layout = strided,
                    device: Any = None, requires_grad: bool = False) -> Tensor:
    """w(t) = 0.42 - 0.5 cos(2 pi t) + 0.08 cos(4 pi t), t = k / N."""
    return _window("blackman_window", lambda t: 0.42 - 0.5 * np.cos(2 * math.pi * t) + 0.08 * np.cos(4 * math.pi * t), window_length,
                   periodic, dtype, layout, device, requires_grad)


def bartlett_window(window_length: int, periodic: bool = True, *, dtype: DType | None = None, layout: Layout = strided,
                    device: Any = None, requires_grad: bool = False) -> Tensor:
    """w(t) = 1 - |2 t - 1|, t = k / N: a triangle."""
    return _window("bartlett_window", lambda t: 1 - np.abs(2 * t - 1), window_length, periodic, dtype, layout, device, requires_grad)


def kaiser_window(window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: DType | None = None, layout: Layout = strided,
                  device: Any = None, requires_grad: bool = False) -> Tensor:
    """w(t) = I_0(beta sqrt(1 - (2 t - 1)^2)) / I_0(beta), t = k / N (Kaiser, 1974)."""
    return _window("kaiser_window", lambda t: np.i0(beta * np.sqrt(np.maximum(1 - (2 * t - 1) ** 2, 0))) / np.i0(beta), window_length,
                   periodic, dtype, layout, device, requires_grad)
