"""Where the channels of a batch lie in memory, and how batch_norm's kernels take them: as planes (N, C, S) or as rows (N S, C)."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ... import dtypes
from ...dispatch import Kernel
from ...op import Op

ROWS = "cuda/v02_channels_last"
BLOCKS, CHUNK = 512, 256  # blocks worth having; rows that are worth a chunk


def channels_are_last(x: Any) -> bool:
    """Whether an array (N, C, ...) lies as (N, ..., C) without gaps; one of (N, C) alone does."""
    if x.size == 0 or x.shape[1] == 1:
        return False
    return bool(x.transpose(0, *range(2, x.ndim), 1).flags.c_contiguous)


def as_lines(xp: Any, x: Any, rows: bool) -> Any:
    """An array (N, C, ...) as contiguous rows (N S, C) or planes (N, C, S); copied where it lies otherwise."""
    if rows:
        return xp.ascontiguousarray(x.transpose(0, *range(2, x.ndim), 1)).reshape(-1, x.shape[1])
    return xp.ascontiguousarray(x).reshape(x.shape[0], x.shape[1], math.prod(x.shape[2:]))


def empty_rows(xp: Any, x: Any) -> Any:
    """An array like x that lies with its channels last."""
    return xp.empty((x.shape[0], *x.shape[2:], x.shape[1]), x.dtype).transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def needs_rows(op: Op, kernel: Kernel, last: bool = True) -> str | None:
    """Why a kernel cannot take an array whose channels do not come last."""
    return "needs the channels last in memory" if kernel.path == ROWS and not last else None


def with_sums(op: Op, path: str, call: Callable[..., Any], xp: Any) -> Callable[..., Any]:
    """The kernel, with memory for the partial sums of one that adds chunks of rows; their number depends on the shape alone."""
    if path != ROWS:
        return call

    def run(*args: Any) -> None:
        x = next(a for a in args[3:] if a is not None and a.ndim == 2)  # the input, or the gradient of its shape
        rows, c = x.shape
        across = -(-c // (32 * 16 // x.dtype.itemsize))
        chunks = max(1, min(-(-rows // CHUNK), -(-BLOCKS // across)))
        half = dtypes.BY_NUMPY[x.dtype] in (dtypes.float16, dtypes.bfloat16)
        call(*args, xp.empty((chunks + 1, 2, c), "float32" if half else x.dtype))

    return run
