"""What the reductions share: reading `dim`, and sums that keep their precision."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import dtypes
from .tensor import check_dim

_HALF = (dtypes.float16.np, dtypes.bfloat16.np)


def reduced_dims(op: str, dim: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """The dimensions meant by `dim` (None or an empty sequence: all), counted from the front, each once."""
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return tuple(range(ndim))
    dims = tuple(check_dim(op, d, ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,)))
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"{op}: a dim appears more than once in {tuple(dim)}")  # type: ignore[arg-type]
    return dims if ndim else ()


def numpy_sum(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, kind: np.dtype) -> Any:
    """Sum in the dtype `kind`; half precision accumulates in float32 and is rounded once.

    NumPy adds pairwise along the fastest axis only; over others it adds row after row, whose error grows with the count. Those
    sums run in blocks, so that float32 keeps its digits.
    """
    accumulate = np.float32 if kind in _HALF else kind
    if dims and x.ndim > 1 and np.dtype(accumulate) == np.float32 and (x.ndim - 1) not in dims:
        n = 1
        for d in dims:
            n *= x.shape[d]
        if n > 256:
            accumulate = np.float64
    return x.sum(axis=dims, dtype=accumulate, keepdims=keepdim).astype(kind, copy=False)
