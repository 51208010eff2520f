"""What embedding and embedding_bag share: checking indices, and keeping the rows of a table short."""
from __future__ import annotations

from typing import Any

import numpy as np

from ...graph import version_cell
from ...tensor import Tensor


def checked_indices(op: str, input: Tensor, weight: Tensor) -> Any:
    """The indices as contiguous int64; IndexError names the first one that is no row of `weight`, and where it stands."""
    if weight.array.ndim != 2:
        raise RuntimeError(f"{op}: weight must be a table (rows, features), got shape {tuple(weight.array.shape)}")
    if input.dtype.name not in ("int32", "int64"):
        raise RuntimeError(f"{op}: input must hold int64 or int32 indices, got {input.dtype.name}")
    if input.device is not weight.device:
        raise RuntimeError(f"{op}: input is on {input.device} but weight is on {weight.device}; move one with .to(...)")
    xp, rows = input.device.backend.xp, weight.array.shape[0]
    index = xp.asarray(input.array, dtype=np.int64, order="C")
    if index.size and not input.device.backend.capturing() and (index.min() < 0 or index.max() >= rows):
        at = tuple(int(i) for i in xp.argwhere((index < 0) | (index >= rows))[0])
        raise IndexError(f"{op}: index {int(index[at])} at position {at} of input is out of range for a table of {rows} rows "
                         f"(dim 0 of weight {tuple(weight.array.shape)})")
    return index


def checked_padding(op: str, padding_idx: int | None, rows: int) -> int | None:
    """`padding_idx` counted from the front."""
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise ValueError(f"{op}: padding_idx {padding_idx} is out of range for a table of {rows} rows")
    return padding_idx % rows


def shorten(weight: Tensor, index: Any, max_norm: float, norm_type: float) -> None:
    """Scale the rows of `weight` that `index` names and whose p-norm exceeds `max_norm` down to it, in place."""
    xp = weight.device.backend.xp
    rows = xp.unique(index)
    norms = xp.linalg.norm(weight.array[rows].astype(np.float64), ord=norm_type, axis=1)
    long = norms > max_norm
    if long.any():
        scaled = weight.array[rows[long]] * (max_norm / (norms[long] + 1e-7))[:, None]
        weight.array[rows[long]] = scaled.astype(weight.array.dtype)
        version_cell(weight)[0] += 1


def frequencies(xp: Any, index: Any, rows: int) -> Any:
    """For each index, how often its value occurs."""
    return xp.bincount(index, minlength=rows)[index]
