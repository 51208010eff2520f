"""Matrix products: which operands fit, what kind of shape a product has for a GPU, the memory for a sum in parts."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...op import fn
from ...tensor import Tensor

FEW = 8  # rows or columns that are read as vectors
TILE = 128  # rows and columns of a tile of C that the large rungs give a block
BLOCKS = 128  # to keep a large GPU busy: A100 has 108 multiprocessors, H100 132
LEAST = 256  # of K in a part; shorter ones cost more than they bring


def kind_of(out: Any, x: Any) -> str:
    """Which rung a product `out` (..., M, N) of `x` (..., M, K) is for: "gemv" (few rows or columns), "split_k" or "large"."""
    m, n = out.shape[-2:]
    if m <= FEW or n <= FEW:
        return "gemv"
    return "split_k" if parts_of(out, x) > 1 else "large"


def parts_of(out: Any, x: Any) -> int:
    """Into how many parts of K a product is worth dividing: enough blocks for the GPU, each with enough to do."""
    m, n = out.shape[-2:]
    tiles = -(-m // TILE) * -(-n // TILE) * (out.size // (m * n)) if out.size else 1
    return max(1, min(BLOCKS // tiles, x.shape[-1] // LEAST))


def with_parts(kernel: Callable[..., Any], xp: Any, out: Any, x: Any, y: Any, *after: Any) -> None:
    """Call a split-K kernel with memory for its parts."""
    parts = max(2, parts_of(out, x))  # whoever asks for this rung gets what it is about
    kernel(out, x, y, *after, xp.empty((parts, max(out.size, 1)), "float32"))


def check_operands(op: str, input: Tensor, other: Tensor) -> None:
    """RuntimeError unless `input @ other` can be computed: dtypes, devices, inner dimension, batches."""
    x, y = input.array, other.array
    if x.dtype != y.dtype:
        raise RuntimeError(f"{op}: input is {input.dtype.name} but other is {other.dtype.name}; convert one with .to(...)")
    if input.device is not other.device:
        raise RuntimeError(f"{op}: input is on {input.device} but other is on {other.device}; move one with .to(...)")
    if x.ndim == 0 or y.ndim == 0:
        name, shape = ("input", x.shape) if x.ndim == 0 else ("other", y.shape)
        raise RuntimeError(f"{op}: {name} of shape {tuple(shape)} has no dimension to multiply along; use mul for scalars")
    left, right = x.ndim - 1, max(y.ndim - 2, 0)
    if x.shape[left] != y.shape[right]:
        raise RuntimeError(f"{op}: dim {left} of {tuple(x.shape)} is {x.shape[left]} "
                           f"but dim {right} of {tuple(y.shape)} is {y.shape[right]}")
    if x.ndim > 2 and y.ndim > 2 and x.shape[:-2] != y.shape[:-2]:
        try:
            np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        except ValueError:
            raise RuntimeError(f"{op}: the batches of {tuple(x.shape)} and {tuple(y.shape)} do not broadcast "
                               "(all dims but the last two)") from None


def for_blas(a: Any) -> Any:
    """The array itself where BLAS can read it (rows or columns without gaps), else a copy; NumPy alone would multiply it slowly."""
    rows, columns = a.strides[-2:]
    m, n = a.shape[-2:]
    size = a.itemsize
    if a.flags.c_contiguous or (columns == size and rows >= n * size) or (rows == size and columns >= m * size):
        return a
    return np.ascontiguousarray(a)


def has_rows(after: tuple) -> bool:
    """Whether what is added to the product differs from row to row."""
    return any(a is not None and a.ndim > 1 for a in after[:2])


def summed(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A gradient with its broadcast batches summed and the dimension of a vector removed."""
    if g.array.shape == shape:
        return g
    if len(shape) == 1:
        matrix = (1, *shape) if g.array.shape[-2:] == (1, *shape) else (*shape, 1)
        return fn.sum_to_size(g, matrix).reshape(shape)
    return fn.sum_to_size(g, shape)
