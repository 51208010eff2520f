"""Where the channels of a batch lie in memory, and how the kernels of batch_norm and group_norm take them: as planes (N, C, S) or as rows
(N S, C)."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ... import dtypes
from ...dispatch import Kernel
from ...op import Op

ROWS = "v02_channels_last"  # the rung that adds chunks of rows
HELD = "cuda/v05_channels_last_cluster"  # for training
BLOCKS, CHUNK = 512, 256  # blocks worth having; rows that are worth a chunk
CLUSTER = 8 * 192 * 1024  # bytes that the blocks of a cluster keep, of columns of 32 bytes or more
WIDEST = 512  # channels of a group that a block has room for side by side


def layout_of(x: Any, training: bool, arrays: int) -> str:
    """How an array (N, C, ...) lies: "planes", or as rows (N, ..., C) without gaps; `arrays` like it may be few enough to be "held" in
    training, else they are "rows". One of (N, C) alone lies as rows."""
    if x.size == 0 or x.shape[1] == 1 or not x.transpose(0, *range(2, x.ndim), 1).flags.c_contiguous:
        return "planes"
    return "held" if training and x.size // x.shape[1] * 32 * arrays <= CLUSTER else "trained rows" if training else "rows"


def layout_of_groups(x: Any, groups: int) -> str:
    """The same for the groups of group_norm: "held" rows are always worth keeping, unless there is one row a sample, which is a plane as
    well; "wide" ones have larger groups than a block has room for side by side."""
    layout = layout_of(x, True, 0)
    if layout == "held" and x.size == x.shape[0] * x.shape[1]:
        return "trained rows"
    return "wide" if layout == "held" and x.shape[1] // groups > WIDEST else layout


def in_rows(kernel: Kernel) -> bool:
    """Whether a kernel takes rows."""
    return "channels_last" in kernel.rung


def as_lines(xp: Any, x: Any, rows: bool) -> Any:
    """An array (N, C, ...) as contiguous rows (N S, C) or planes (N, C, S); copied where it lies otherwise."""
    if rows:
        return xp.ascontiguousarray(x.transpose(0, *range(2, x.ndim), 1)).reshape(-1, x.shape[1])
    return xp.ascontiguousarray(x).reshape(x.shape[0], x.shape[1], math.prod(x.shape[2:]))


def empty_rows(xp: Any, x: Any) -> Any:
    """An array like x that lies with its channels last."""
    return xp.empty((x.shape[0], *x.shape[2:], x.shape[1]), x.dtype).transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def needs_rows(op: Op, kernel: Kernel, layout: str = "held") -> str | None:
    """Why a kernel cannot take an array that lies so."""
    if in_rows(kernel) and layout == "planes":
        return "needs the channels last in memory"
    if layout == "wide" and in_rows(kernel) and (kernel.path == HELD or kernel.family == "triton"):
        return f"has room for groups of at most {WIDEST} channels"
    return "is for training: inference sums nothing" if kernel.path == HELD and layout == "rows" else None


def suits_rows(op: Op, kernel: Kernel, layout: str = "held") -> bool:
    """Whether what a kernel keeps of the rows fits, so that it reads them once."""
    return kernel.path != HELD or layout == "held"


def suits_groups(op: Op, kernel: Kernel, layout: str = "held") -> bool:
    """Whether a kernel of group_norm is good at arrays that lie so: one row a sample is better taken as a plane."""
    return layout != "trained rows" or not in_rows(kernel)


def with_sums(op: Op, path: str, call: Callable[..., Any], xp: Any) -> Callable[..., Any]:
    """The kernel, with memory for the partial sums of one that adds chunks of rows; their number depends on the shape alone."""
    if path.partition("/")[2] != ROWS:
        return call

    def run(*args: Any) -> None:
        x = next(a for a in args[3:] if a is not None and a.ndim == 2)  # the input, or the gradient of its shape
        call(*args, lines(xp, x, 1))

    return run


def with_sums_of_groups(op: Op, path: str, call: Callable[..., Any], xp: Any) -> Callable[..., Any]:
    """The same for group_norm, whose samples have their own chunks."""
    if path != f"cuda/{ROWS}":
        return call

    def run(*args: Any) -> None:
        x, mean = (args[5], args[7]) if op.name == "group_norm_backward" else (args[3], args[1])
        call(*args, lines(xp, x, mean.shape[0]))

    return run


def lines(xp: Any, x: Any, samples: int) -> Any:
    """Two numbers of each channel for every chunk of the rows of every sample, and for every sample."""
    rows, c = x.shape
    across = -(-c // (32 * 16 // x.dtype.itemsize)) * samples
    chunks = max(1, min(-(-rows // samples // CHUNK), -(-BLOCKS // across)))
    half = dtypes.BY_NUMPY[x.dtype] in (dtypes.float16, dtypes.bfloat16)
    return xp.empty((samples * (chunks + 1), 2, c), "float32" if half else x.dtype)
