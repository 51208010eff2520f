"""pool_scatter and pool_gather: along the flat last dims of each plane, by index; the gradients of max pooling, one of the other."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .shared.windows import planes


class PoolScatter(Op):
    """y[p] = sum of input[p, o] over the o with indices[p, o] = that element of plane p, whose shape is `size`; 0 elsewhere."""

    name = "pool_scatter"
    function = method = False
    defaults = ("cpu/planes", "cpu/numpy")

    def forward(self, ctx: Node, input: Tensor, indices: Tensor, size: Sequence[int]) -> Tensor:
        x, xp, dims = input.array, input.device.backend.xp, len(size)
        y = xp.empty((*x.shape[: x.ndim - dims], *size), x.dtype)
        self.kernel(input.device, x)(planes(y, dims, xp), planes(x, dims, xp), planes(indices.array, dims, xp))
        ctx.dims = dims
        ctx.save(indices)
        return wrap(y, input.device)

    @staticmethod
    @rung("cpu/numpy")
    def add_at(y: Any, x: Any, indices: Any) -> None:
        """np.add.at on zeros."""
        y[...] = 0
        np.add.at(y, (np.arange(len(y))[:, None], indices), x)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        (indices,) = ctx.saved
        return fn.pool_gather(g, indices, ctx.dims), None

    def reference(self, x: Any, indices: Any, size: Any) -> Any:
        y = np.zeros((*x.shape[: x.ndim - len(size)], *size))
        for p in np.ndindex(*x.shape[: x.ndim - len(size)]):
            for value, at in zip(x[p].ravel(), indices[p].ravel(), strict=True):
                y[p].reshape(-1)[at] += value
        return y

    def cases(self) -> Iterable[Case]:
        yield Case(T(2, 3, 2, 2), T(2, 3, 2, 2, dtype="int64", low=0, high=12), (4, 3))
        yield Case(T(3, 5), T(3, 5, dtype="int32", low=0, high=7), (7,))
        yield Case(T(0, 5, 5), T(0, 5, 5, dtype="int64"), (2, 2))


class PoolGather(Op):
    """y[p, o] = input[p, indices[p, o]], where a plane p spans the last `dims` dims, counted flat."""

    name = "pool_gather"
    function = method = False
    defaults = ("cpu/planes", "cpu/numpy")

    def forward(self, ctx: Node, input: Tensor, indices: Tensor, dims: int) -> Tensor:
        x, xp = input.array, input.device.backend.xp
        y = xp.empty(indices.array.shape, x.dtype)
        self.kernel(input.device, x)(planes(y, dims, xp), planes(x, dims, xp), planes(indices.array, dims, xp))
        ctx.size = x.shape[x.ndim - dims:]
        ctx.save(indices)
        return wrap(y, input.device)

    @staticmethod
    @rung("cpu/numpy")
    def take(y: Any, x: Any, indices: Any) -> None:
        """np.take_along_axis."""
        y[...] = np.take_along_axis(x, indices.astype(np.int64), 1)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        (indices,) = ctx.saved
        return fn.pool_scatter(g, indices, ctx.size), None

    def reference(self, x: Any, indices: Any, dims: int) -> Any:
        y = np.empty(indices.shape)
        for p in np.ndindex(*x.shape[: x.ndim - dims]):
            y[p] = x[p].ravel()[indices[p]]
        return y

    def cases(self) -> Iterable[Case]:
        yield Case(T(2, 3, 4, 3), T(2, 3, 2, 2, dtype="int64", low=0, high=12), 2)
        yield Case(T(3, 7), T(3, 5, dtype="int32", low=0, high=7), 1)
