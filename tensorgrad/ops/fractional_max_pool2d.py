"""fractional_max_pool2d and 3d: maxima of windows at places drawn at random, any number of them."""
from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .shared.windows import check_image, tuple_of


def starts(samples: Any, n: int, size: int, kernel: int) -> Any:
    """Where the windows of one dim begin, for each sample u in [0, 1): floor((i + u) a) - floor(u a), a = (n - kernel) / (size - 1)."""
    at = np.full((*samples.shape, size), n - kernel, np.int64)
    if size > 1:
        step = samples.dtype.type(n - kernel) / samples.dtype.type(size - 1)
        i = np.arange(size - 1, dtype=samples.dtype)
        at[..., :-1] = ((i + samples[..., None]) * step).astype(np.int64) - (samples[..., None] * step).astype(np.int64)
    return at


def places(samples: Any, sizes: tuple[int, ...], out: tuple[int, ...], kernel: tuple[int, ...]) -> np.ndarray:
    """The flat places (P, outputs, elements of a window) of all windows; PyTorch's samples of images go (x, y), of volumes (z, y, x)."""
    samples = samples[:, ::-1] if len(sizes) == 2 else samples
    flat, dims = np.zeros((len(samples), *[1] * 2 * len(sizes)), np.int64), len(sizes)
    for d in range(dims):
        at = starts(samples[:, d], sizes[d], out[d], kernel[d])[..., None] + np.arange(kernel[d])  # (P, out, kernel)
        shape = [len(samples), *[1] * 2 * dims]
        shape[1 + d], shape[1 + dims + d] = out[d], kernel[d]
        flat = flat * sizes[d] + at.reshape(shape)
    return flat.reshape(len(samples), math.prod(out), math.prod(kernel))


def pooled(op: str, dims: int, input: Tensor, kernel_size: Any, output_size: Any, output_ratio: Any, return_indices: bool,
           samples: Tensor | None) -> Any:
    """The checked pool over the last `dims` dims."""
    check_image(op, input, dims)
    *lead, = input.array.shape[:-dims]
    sizes, kernel = input.array.shape[-dims:], tuple_of(op, "kernel_size", kernel_size, dims, 1)
    if (output_size is None) == (output_ratio is None):
        raise ValueError(f"{op}: give one of output_size and output_ratio")
    if output_size is not None:
        out = tuple_of(op, "output_size", output_size, dims, 1)
    else:
        ratios = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * dims
        if not all(0 < r < 1 for r in ratios):
            raise ValueError(f"{op}: output_ratio must be between 0 and 1, got {output_ratio!r}")
        out = tuple(int(n * r) for n, r in zip(sizes, ratios, strict=True))
    for d in range(dims):
        if out[d] + kernel[d] - (dims == 2) > sizes[d]:  # volumes need one more, as in PyTorch
            raise RuntimeError(f"{op}: {out[d]} windows of {kernel[d]} do not fit dim {len(lead) + d} of size {sizes[d]}")
    batch, channels = (lead[0], lead[1]) if len(lead) == 2 else (1, lead[0])
    if samples is None:
        samples = input.new_empty((batch, channels, dims)).uniform_()
    elif tuple(samples.shape) != (batch, channels, dims):
        raise RuntimeError(f"{op}: _random_samples has shape {tuple(samples.shape)}, expected {(batch, channels, dims)}")
    drawn = np.asarray(samples.device.backend.to_numpy(samples.array)).reshape(batch * channels, dims)
    drawn = drawn if drawn.dtype.itemsize > 2 else drawn.astype(np.float32)
    at = places(drawn, sizes, out, kernel)
    where = wrap(input.device.backend.asarray(at.reshape(len(at), at.shape[1] * at.shape[2])), input.device)
    windows = fn.gather(fn.reshape(input, len(at), math.prod(sizes)), 1, where)
    y, best = fn.max(fn.reshape(windows, *at.shape), -1)
    y = fn.reshape(y, *lead, *out)
    if not return_indices:
        return y
    return y, fn.reshape(fn.gather(fn.reshape(where, *at.shape), -1, fn.unsqueeze(best, -1)), *lead, *out)


def reference(x: Any, dims: int, kernel_size: Any, output_size: Any, samples: Any) -> tuple[Any, Any]:
    """(maxima, their flat places), window by window."""
    kernel, out, sizes = tuple_of("", "", kernel_size, dims, 1), tuple_of("", "", output_size, dims, 1), x.shape[-dims:]
    y = np.empty((*x.shape[:-dims], *out))
    at = np.empty(y.shape, np.int64)
    for index in np.ndindex(y.shape):
        u = samples[index[0] if x.ndim == dims + 2 else 0, index[-dims - 1]]
        begin = []
        for d in range(dims):
            step, i, v = (sizes[d] - kernel[d]) / max(out[d] - 1, 1), index[-dims + d], u[dims - 1 - d if dims == 2 else d]
            begin.append(sizes[d] - kernel[d] if i == out[d] - 1 else int((i + v) * step) - int(v * step))
        offsets = [tuple(b + o for b, o in zip(begin, offset, strict=True)) for offset in itertools.product(*map(range, kernel))]
        values = [x[(*index[:-dims], *o)] for o in offsets]
        y[index], at[index] = max(values), np.ravel_multi_index(offsets[int(np.argmax(values))], sizes)
    return y, at


class FractionalMaxPool2d(Op):
    """The largest of each of HO x WO windows of `kernel_size`, whose places are drawn, for (N, C, H, W) or (C, H, W). Graham, 2014.

    `output_size` says how many, or `output_ratio`, as a fraction of the input's size. `_random_samples` (N, C, 2) in [0, 1) places them;
    drawn from the default generator otherwise. With `return_indices` the result is (y, int64 positions within the plane).
    """

    name = "fractional_max_pool2d"
    autocast = ("float32", "")
    function = method = False
    functional = True
    composite = True
    group = "gather"
    torch_name = "nn.functional.fractional_max_pool2d"

    def forward(self, input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
                _random_samples: Tensor | None = None) -> Any:
        return pooled(self.name, 2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)

    def reference(self, x: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
                  _random_samples: Any = None) -> Any:
        y, at = reference(x, 2, kernel_size, output_size, _random_samples)
        return (y, at) if return_indices else y

    def cases(self) -> Iterable[Case]:
        def u(*values: float) -> T:
            return T(values=np.array(values).reshape(-1, 3, 2), grad=False)

        some = u(0.125, 0.75, 0.5, 0.25, 0.0, 0.875)
        yield from (Case(T(3, 7, 9, distinct=True), 2, [3, 4], None, True, some),
                    Case(T(1, 3, 4, 4, distinct=True), 3, 1, None, False, some),
                    Case(T(1, 3, 5, 6, distinct=True), [2, 3], 3, None, False, some))
        yield Case(T(1, 3, 5, 5), 3, 4, error=(RuntimeError, "fractional_max_pool2d: 4 windows of 3 do not fit dim 2 of size 5"))
        yield Case(T(1, 3, 5, 5), 3, error=(ValueError, "fractional_max_pool2d: give one of output_size and output_ratio"))


class FractionalMaxPool3d(FractionalMaxPool2d):
    """The same for volumes (N, C, D, H, W) or (C, D, H, W); `_random_samples` is (N, C, 3)."""

    name = "fractional_max_pool3d"
    autocast = ("float32", "")
    torch_name = "nn.functional.fractional_max_pool3d"

    def forward(self, input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
                _random_samples: Tensor | None = None) -> Any:
        return pooled(self.name, 3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)

    def reference(self, x: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
                  _random_samples: Any = None) -> Any:
        y, at = reference(x, 3, kernel_size, output_size, _random_samples)
        return (y, at) if return_indices else y

    def cases(self) -> Iterable[Case]:
        samples = T(values=np.array([[0.125, 0.75, 0.5], [0.25, 0.0, 0.875]])[None], grad=False)
        yield from (Case(T(1, 2, 4, 5, 6, distinct=True), 2, [2, 3, 3], None, True, samples),
                    Case(T(2, 4, 4, 5, distinct=True), [1, 2, 3], 2, None, False, samples))
        yield Case(T(1, 2, 3, 3, 3), 2, 3, error=(RuntimeError, "fractional_max_pool3d: 3 windows of 2 do not fit dim 2 of size 3"))
