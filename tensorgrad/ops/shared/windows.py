"""What pooling, unfolding and resizing share: reading window arguments, output sizes, and the sparse matrices behind averages."""
from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...dispatch import Kernel
from ...tensor import Tensor


def tuple_of(op: str, name: str, value: Any, n: int, least: int) -> tuple[int, ...]:
    """`value` as `n` ints (one stands for all), each at least `least`."""
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    try:
        ints = tuple(v.__index__() for v in given)
    except AttributeError:
        raise TypeError(f"{op}: {name} must be an int or {n} ints, got {value!r}") from None
    if len(ints) not in (1, n):
        raise RuntimeError(f"{op}: {name} must be one int or {n} ints, got {value!r}")
    if any(v < least for v in ints):
        raise RuntimeError(f"{op}: {name} must be at least {least}, got {value!r}")
    return ints * n if len(ints) == 1 else ints


def check_image(op: str, input: Tensor, dims: int) -> None:
    """Refuse an input that is not (N, C, *sizes) or (C, *sizes) with `dims` non-empty sizes."""
    shape = input.array.shape
    if len(shape) not in (dims + 1, dims + 2):
        raise RuntimeError(f"{op}: input must have {dims + 1} or {dims + 2} dims, (N, C, ...) or (C, ...), got shape {tuple(shape)}")
    for d in range(len(shape) - dims - (len(shape) == dims + 2), len(shape)):
        if shape[d] == 0:
            raise RuntimeError(f"{op}: dim {d} of input is 0 in shape {tuple(shape)}; only the batch may be empty")


def planes(x: Any, dims: int, xp: Any) -> Any:
    """A contiguous array as (planes, elements), where a plane spans the last `dims` dims."""
    split = x.ndim - dims
    return xp.ascontiguousarray(x).reshape(math.prod(x.shape[:split]), math.prod(x.shape[split:]))


def channels_last(x: Any) -> bool:
    """Whether an array (N, C, H, W) lies as (N, H, W, C) without gaps, with channels in whole groups of 16 bytes."""
    if x.ndim != 4 or x.shape[1] * x.itemsize % 16 or x.size == 0:
        return False
    return bool(x.transpose(0, 2, 3, 1).flags.c_contiguous)


def laid_out(kernel: Kernel, a: Any, xp: Any) -> Any:
    """An array of images as a kernel takes it: (N, C, H, W) of any strides on a GPU, contiguous planes (P, H, W) elsewhere."""
    if kernel.on_gpu and a.ndim == 4:
        return a
    planes = math.prod(a.shape[:-2])
    return xp.ascontiguousarray(a).reshape(*((1, planes) if kernel.on_gpu else (planes,)), *a.shape[-2:])


def empty_like(kernel: Kernel, x: Any, shape: tuple[int, ...], dtype: Any, xp: Any) -> Any:
    """An array for a result: with the channels last where they are so in x and the kernel can."""
    if kernel.on_gpu and channels_last(x):
        n, c, h, w = shape
        return xp.empty((n, h, w, c), dtype).transpose(0, 3, 1, 2)
    return xp.empty(shape, dtype)


def supports(kernel: Kernel, last: bool) -> str | None:
    """Why a kernel of pooling cannot take images whose channels do (or do not) come last, or None."""
    return "needs the channels last in memory, in groups of 16 bytes" if kernel.rung == "v01_channels_last" and not last else None


@functools.lru_cache(4096)
def pooled_size(op: str, dim: int, n: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many windows fit: floor((n + 2 padding - dilation (kernel - 1) - 1) / stride) + 1.

    With ceil_mode the quotient is rounded up, but a window that would start in the right padding is dropped.
    """
    reach = dilation * (kernel - 1) + 1
    if padding > kernel // 2:
        raise RuntimeError(f"{op}: padding {padding} is more than half of the kernel size {kernel} in dim {dim}")
    room = n + 2 * padding - reach
    size = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (size - 1) * stride >= n + padding:
        size -= 1
    if size < 1:
        raise RuntimeError(f"{op}: a window of {reach} (kernel {kernel}, dilation {dilation}) does not fit dim {dim} of size {n} "
                           f"with padding {padding}; pad more or use a smaller kernel")
    if dilation > 1 and padding:
        at = (np.arange(size) * stride - padding)[:, None] + np.arange(kernel) * dilation
        if not ((at >= 0) & (at < n)).any(1).all():
            raise RuntimeError(f"{op}: a window of dim {dim} (size {n}, kernel {kernel}, dilation {dilation}, padding {padding}) "
                               "lies in the padding alone")
    return size


class Taps:
    """A sparse matrix of shape (rows, columns) by rows: entries `start[i]` to `start[i + 1]` of `source` (columns) and `weight`."""

    def __init__(self, columns: int, start: np.ndarray, source: np.ndarray, weight: np.ndarray):
        self.rows, self.columns = len(start) - 1, columns
        self.start, self.source, self.weight = start, source, weight
        self._on: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"<matrix of {self.rows} x {self.columns} with {len(self.source)} entries>"

    def arrays(self, device: Any) -> tuple[Any, Any, Any]:
        """`start`, `source` and `weight` as storage of a device, copied there once."""
        if device not in self._on:
            self._on[device] = tuple(device.backend.constant(a) for a in (self.start, self.source, self.weight))
        return self._on[device]

    @functools.cached_property
    def transposed(self) -> Taps:
        """The transposed matrix; entries of a row in rising order."""
        row = np.repeat(np.arange(self.rows), np.diff(self.start))
        order = np.argsort(self.source, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(self.source, minlength=self.columns))]).astype(np.int64)
        return Taps(self.rows, start, row[order], self.weight[order])

    def dense(self) -> np.ndarray:
        """The matrix itself."""
        out = np.zeros((self.rows, self.columns))
        np.add.at(out, (np.repeat(np.arange(self.rows), np.diff(self.start)), self.source), self.weight)
        return out

    @staticmethod
    def of_ranges(n: int, begin: np.ndarray, end: np.ndarray, weight: np.ndarray) -> Taps:
        """Row i holds weight[i] at columns begin[i] to end[i] - 1."""
        counts = np.maximum(end - begin, 0)
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        source = np.arange(start[-1]) - np.repeat(start[:-1] - begin, counts)
        return Taps(n, start, source.astype(np.int64), np.repeat(weight.astype(np.float64), counts))


@functools.lru_cache(1024)
def average_taps(n: int, size: int, kernel: int, stride: int, padding: int, include_pad: bool, sums: bool) -> Taps:
    """The matrix that averages windows of a line of `n`; with `sums` it adds them up."""
    begin = np.arange(size) * stride - padding
    end = np.minimum(begin + kernel, n + padding)
    inside_begin, inside_end = np.maximum(begin, 0), np.minimum(end, n)
    length = end - begin if include_pad else inside_end - inside_begin
    return Taps.of_ranges(n, inside_begin, inside_end, np.ones(size) if sums else 1.0 / np.maximum(length, 1))


def adaptive_ranges(n: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Where `size` windows that cover a line of `n` begin and end: floor(i n / size) and ceil((i + 1) n / size)."""
    i = np.arange(size, dtype=np.int64)
    return i * n // size, -(-(i + 1) * n // size)


@functools.lru_cache(1024)
def adaptive_taps(n: int, size: int) -> Taps:
    """The matrix that averages the adaptive windows of a line."""
    begin, end = adaptive_ranges(n, size)
    return Taps.of_ranges(n, begin, end, 1.0 / (end - begin))


@functools.lru_cache(1024)
def reach(n: int, size: int, kernel: int, stride: int, padding: int, dilation: int) -> tuple[np.ndarray, np.ndarray]:
    """For each place of a line of `n` the first window that may cover it, and the one after the last."""
    at = np.arange(n, dtype=np.int64) + padding
    return np.clip(-(-(at - (kernel - 1) * dilation) // stride), 0, size), np.clip(at // stride + 1, 0, size)


def adaptive_reach(n: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The same for adaptive windows: floor(i size / n) and ceil((i + 1) size / n)."""
    return adaptive_ranges(size, n)


@functools.lru_cache(4096)
def there(device: Any, lines: Callable[..., tuple[np.ndarray, ...]], *args: int) -> tuple[Any, ...]:
    """`lines(*args)`, such as `reach`, as storage of a device: copied there once."""
    return tuple(device.backend.constant(line) for line in lines(*args))


def output_sizes(op: str, value: Any, sizes: Sequence[int]) -> tuple[int, ...]:
    """Sizes asked of an adaptive pool: an int, or one per dimension, where None keeps the input's."""
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,) * len(sizes)
    if len(given) != len(sizes):
        raise RuntimeError(f"{op}: output_size must be one int or {len(sizes)}, got {value!r}")
    out = tuple(n if v is None else int(v) for v, n in zip(given, sizes, strict=True))
    if any(v < 0 for v in out):
        raise RuntimeError(f"{op}: output_size must not be negative, got {value!r}")
    return out
