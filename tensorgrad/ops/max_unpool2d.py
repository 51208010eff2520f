"""max_unpool2d: put pooled values back where they came from."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .shared.windows import check_image, planes, tuple_of


class MaxUnpool2d(Op):
    """y[n, c].flat[indices[n, c, i, j]] = input[n, c, i, j], zero elsewhere; of several values for one place the last stays.

    `indices` come from `max_pool2d(..., return_indices=True)`. The size of y is (HI - 1) stride - 2 padding + kernel per dim, or
    `output_size` (its last two numbers), which may differ from that by less than a stride.
    """

    name = "max_unpool2d"
    autocast = ("float32", "")
    function = method = False
    functional = True
    torch_name = "nn.functional.max_unpool2d"
    defaults = ("cpu/planes",)

    def forward(self, ctx: Node, input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
                output_size: Any = None) -> Tensor:
        check_image("max_unpool2d", input, 2)
        x, at, xp = input.array, indices.array, input.device.backend.xp
        if at.dtype != np.int64:
            raise RuntimeError(f"max_unpool2d: indices must be int64, got {indices.dtype.name}")
        if at.shape != x.shape:
            raise RuntimeError(f"max_unpool2d: input has shape {tuple(x.shape)} but indices {tuple(at.shape)}")
        size = self._size(x.shape, kernel_size, stride, padding, output_size)
        if at.size and not input.device.backend.capturing() and (at.min() < 0 or at.max() >= size[0] * size[1]):
            bad = int(at.min() if at.min() < 0 else at.max())
            raise IndexError(f"max_unpool2d: index {bad} is outside of a plane of {size[0]} x {size[1]} = {size[0] * size[1]} elements")
        y = xp.empty((*x.shape[:-2], *size), x.dtype)
        self.kernel(input.device, x)(planes(y, 2, xp), planes(x, 2, xp), planes(at, 2, xp))
        ctx.save(indices)
        return wrap(y, input.device)

    @staticmethod
    @rung("cpu/numpy")
    def placed(xp: Any, y: Any, x: Any, indices: Any) -> None:
        """Each element at its place; which one of several for one place stays is open."""
        y[...] = 0
        xp.put_along_axis(y, indices, x, 1)

    @staticmethod
    def _size(shape: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any) -> tuple[int, ...]:
        kernel = tuple_of("max_unpool2d", "kernel_size", kernel_size, 2, 1)
        stride = kernel if stride is None else tuple_of("max_unpool2d", "stride", stride, 2, 1)
        padding = tuple_of("max_unpool2d", "padding", padding, 2, 0)
        usual = tuple((n - 1) * s - 2 * p + k for n, s, p, k in zip(shape[-2:], stride, padding, kernel, strict=True))
        if output_size is None:
            return usual
        asked = tuple(int(v) for v in output_size)[-2:]
        if len(asked) != 2 or any(not u - s < a < u + s for a, u, s in zip(asked, usual, stride, strict=True)):
            raise ValueError(f"max_unpool2d: output_size {tuple(output_size)} is not within a stride {stride} of {usual}")
        return asked

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        (indices,) = ctx.saved
        return fn.pool_gather(g, indices, 2), None

    def reference(self, x: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Any:
        y = np.zeros((*x.shape[:-2], *self._size(x.shape, kernel_size, stride, padding, output_size)))
        for index in np.ndindex(x.shape):
            y[index[:-2]].reshape(-1)[indices[index]] = x[index]
        return y

    def cases(self) -> Iterable[Case]:
        at = T(values=np.array([[0, 3], [9, 14]])[None].repeat(2, 0), dtype="int64")
        yield from (Case(T(2, 2, 2), at, 2), Case(T(2, 2, 2), at, 2, output_size=[5, 5]), Case(T(2, 2, 2), at, 3, 2, [0, 0]))
        yield Case(T(0, 2, 2, 2), T(0, 2, 2, 2, dtype="int64"), 2)
        outside = T(values=[[[0, 3], [9, 16]]], dtype="int64")
        yield Case(T(1, 2, 2), outside, 2, error=(IndexError, "max_unpool2d: index 16 is outside of a plane of 4 x 4"))
        yield Case(T(1, 2, 2), T(1, 2, 3, dtype="int64"), 2, error=(RuntimeError, "input has shape (1, 2, 2) but indices (1, 2, 3)"))
        yield Case(T(2, 2, 2), at, 2, output_size=[9, 4], error=(ValueError, "max_unpool2d: output_size (9, 4) is not within a stride"))
