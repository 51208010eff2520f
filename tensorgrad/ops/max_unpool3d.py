"""max_unpool3d: put pooled values of volumes back where they came from."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .shared.windows import check_image, tuple_of


class MaxUnpool3d(Op):
    """y[n, c].flat[indices[n, c, i, j, k]] = input[n, c, i, j, k], zero elsewhere.

    `indices` come from `max_pool3d(..., return_indices=True)`. The size of y is (n - 1) stride - 2 padding + kernel per dim, or
    `output_size` (its last three numbers), which may differ from that by less than a stride.
    """

    name = "max_unpool3d"
    autocast = ("float32", "")
    function = method = False
    functional = True
    composite = True
    torch_name = "nn.functional.max_unpool3d"

    def forward(self, input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
                output_size: Any = None) -> Tensor:
        check_image("max_unpool3d", input, 3)
        if indices.dtype.name != "int64":
            raise RuntimeError(f"max_unpool3d: indices must be int64, got {indices.dtype.name}")
        if tuple(indices.shape) != tuple(input.shape):
            raise RuntimeError(f"max_unpool3d: input has shape {tuple(input.shape)} but indices {tuple(indices.shape)}")
        size = self._size(input.shape, kernel_size, stride, padding, output_size)
        *lead, depth, height, width = input.array.shape
        at, xp = indices.array, input.device.backend.xp
        if at.size and not input.device.backend.capturing() and (at.min() < 0 or at.max() >= math.prod(size)):
            bad = int(at.min() if at.min() < 0 else at.max())
            raise IndexError(f"max_unpool3d: index {bad} is outside of a volume of {' x '.join(map(str, size))} elements")
        flat = (*lead, depth * height * width)
        zeros = wrap(xp.zeros((*lead, math.prod(size)), input.array.dtype), input.device)
        return fn.reshape(fn.scatter(zeros, -1, fn.reshape(indices, *flat), fn.reshape(input, *flat)), *lead, *size)

    @staticmethod
    def _size(shape: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any) -> tuple[int, ...]:
        kernel = tuple_of("max_unpool3d", "kernel_size", kernel_size, 3, 1)
        step = kernel if stride is None else tuple_of("max_unpool3d", "stride", stride, 3, 1)
        pad = tuple_of("max_unpool3d", "padding", padding, 3, 0)
        usual = tuple((n - 1) * s - 2 * p + k for n, s, p, k in zip(shape[-3:], step, pad, kernel, strict=True))
        if output_size is None:
            return usual
        asked = tuple(int(v) for v in output_size)[-3:]
        if len(asked) != 3 or any(not u - s < a < u + s for a, u, s in zip(asked, usual, step, strict=True)):
            raise ValueError(f"max_unpool3d: output_size {tuple(output_size)} is not within a stride {step} of {usual}")
        return asked

    def reference(self, x: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Any:
        y = np.zeros((*x.shape[:-3], *self._size(x.shape, kernel_size, stride, padding, output_size)))
        for index in np.ndindex(x.shape):
            y[index[:-3]].reshape(-1)[indices[index]] = x[index]
        return y

    def cases(self) -> Iterable[Case]:
        at = T(values=np.array([[[0, 3], [9, 14]], [[30, 25], [40, 63]]])[None].repeat(2, 0), dtype="int64")
        yield from (Case(T(2, 2, 2, 2), at, 2), Case(T(2, 2, 2, 2), at, 2, output_size=[5, 4, 4]), Case(T(2, 2, 2, 2), at, 3, 2, [0, 0, 0]))
        yield Case(T(1, 2, 2, 2), T(1, 2, 2, 3, dtype="int64"), 2,
                   error=(RuntimeError, "input has shape (1, 2, 2, 2) but indices (1, 2, 2, 3)"))
        outside = T(values=np.full((1, 2, 2, 2), 64), dtype="int64")
        yield Case(T(1, 2, 2, 2), outside, 2, torch=False, error=(IndexError, "max_unpool3d: index 64 is outside of a volume of 4 x 4 x 4"))
        yield Case(T(2, 2, 2, 2), at, 2, output_size=[9, 4, 4],
                   error=(ValueError, "max_unpool3d: output_size (9, 4, 4) is not within a stride"))
