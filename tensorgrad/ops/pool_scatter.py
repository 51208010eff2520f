"""pool_scatter and pool_gather: along the flat last dims of each plane, by index; the gradients of max pooling, one of the other."""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dispatch import Kernel
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .shared.windows import channels_last, empty_like, laid_out, planes, supports


class PoolScatter(Op):
    """y[p] = sum of input[p, o] over the o with indices[p, o] = that element of plane p, whose shape is `size`; 0 elsewhere.

    `reach`: for each row, then column, of y the first row of `indices` that may hold it, and the one after the last. CUDA kernels
    need it: each element of y is then a sum of its own, and there are no atomics.
    """

    name = "pool_scatter"
    function = method = False
    defaults = ("cpu/planes", "cpu/numpy", "cuda/v01_channels_last", "cuda/v00_direct",
                "triton/v01_channels_last", "triton/v00_direct")

    def forward(self, ctx: Node, input: Tensor, indices: Tensor, size: Sequence[int], reach: Any = None) -> Tensor:
        x, at, xp, dims = input.array, indices.array, input.device.backend.xp, len(size)
        ctx.dims, ctx.reach = dims, reach
        ctx.save(indices)
        if input.device.type == "cuda" and (reach is None or dims != 2):  # which windows reach an element is not known
            y = xp.zeros((*x.shape[: x.ndim - dims], *size), x.dtype)
            fn.scatter_add.op.add_columns(input.device, planes(y, dims, xp), 1, planes(at, dims, xp).astype(np.int64), planes(x, dims, xp))
            return wrap(y, input.device)
        kernel = self.chosen(input.device, x, reach is not None and dims == 2, channels_last(x) and channels_last(at))
        y = empty_like(kernel, at, (*x.shape[: x.ndim - dims], *size), x.dtype, xp)
        if kernel.on_gpu:
            kernel.run(*(laid_out(kernel, a, xp) for a in (y, x, at)), *reach)
        else:
            kernel.run(planes(y, dims, xp), planes(x, dims, xp), planes(at, dims, xp))
        return wrap(y, input.device)

    @staticmethod
    @rung("cpu/numpy")
    def add_at(y: Any, x: Any, indices: Any) -> None:
        """np.add.at on zeros."""
        y[...] = 0
        np.add.at(y, (np.arange(len(y))[:, None], indices), x)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        (indices,) = ctx.saved
        return fn.pool_gather(g, indices, ctx.dims, ctx.reach), None

    def supports(self, kernel: Kernel, reached: bool = True, last: bool = True) -> str | None:
        if kernel.on_gpu and not reached:
            return "needs to know which windows reach an element"
        return supports(kernel, last)

    def reference(self, x: Any, indices: Any, size: Any, reach: Any = None) -> Any:
        y = np.zeros((*x.shape[: x.ndim - len(size)], *size))
        for p in np.ndindex(*x.shape[: x.ndim - len(size)]):
            for value, at in zip(x[p].ravel(), indices[p].ravel(), strict=True):
                y[p].reshape(-1)[at] += value
        return y

    def cost(self, input: Any, indices: Any, size: Any, reach: Any = None) -> tuple[float, float]:
        outputs = math.prod(input.shape[: len(input.shape) - len(size)]) * math.prod(size)
        return float(math.prod(input.shape)), float(input.nbytes + indices.nbytes + outputs * input.dtype.itemsize)

    def cases(self) -> Iterable[Case]:
        yield Case(T(2, 3, 2, 2), T(2, 3, 2, 2, dtype="int64", low=0, high=12), (4, 3))
        yield Case(T(3, 5), T(3, 5, dtype="int32", low=0, high=7), (7,))
        yield Case(T(0, 5, 5), T(0, 5, 5, dtype="int64"), (2, 2))


class PoolGather(Op):
    """y[p, o] = input[p, indices[p, o]], where a plane p spans the last `dims` dims, counted flat."""

    name = "pool_gather"
    function = method = False
    defaults = ("cpu/planes", "cpu/numpy")

    def forward(self, ctx: Node, input: Tensor, indices: Tensor, dims: int, reach: Any = None) -> Tensor:
        x, at, xp = input.array, indices.array, input.device.backend.xp
        kernel = self.chosen(input.device, x, dims)
        y = xp.empty(at.shape, x.dtype)
        if kernel.on_gpu:
            kernel.run(*(laid_out(kernel, a, xp) for a in (y, x, at)))
        else:
            kernel.run(planes(y, dims, xp), planes(x, dims, xp), planes(at, dims, xp))
        ctx.reach = reach
        ctx.size = x.shape[x.ndim - dims:]
        ctx.save(indices)
        return wrap(y, input.device)

    @staticmethod
    @rung("cpu/numpy")
    def take(xp: Any, y: Any, x: Any, indices: Any) -> None:
        """Element by element."""
        y[...] = xp.take_along_axis(x, indices.astype(np.int64), 1)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        (indices,) = ctx.saved
        return fn.pool_scatter(g, indices, ctx.size, ctx.reach), None

    def supports(self, kernel: Kernel, dims: int = 2) -> str | None:
        return f"needs planes of 2 dims, not {dims}" if kernel.on_gpu and dims != 2 else None

    def reference(self, x: Any, indices: Any, dims: int, reach: Any = None) -> Any:
        y = np.empty(indices.shape)
        for p in np.ndindex(*x.shape[: x.ndim - dims]):
            y[p] = x[p].ravel()[indices[p]]
        return y

    def cases(self) -> Iterable[Case]:
        yield Case(T(2, 3, 4, 3), T(2, 3, 2, 2, dtype="int64", low=0, high=12), 2)
        yield Case(T(3, 7), T(3, 5, dtype="int32", low=0, high=7), 1)
