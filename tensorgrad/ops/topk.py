"""topk: the k largest or smallest."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, check_dim, wrap
from .sort import Sorted, order


class TopK(Op):
    """(values, indices) of the `k` largest (or smallest) entries along `dim`, in order where `sorted`. NaN is the largest.

    Which of equal entries are taken is not specified. RuntimeError when k exceeds the size.
    """

    name = "topk"
    composite = True

    def forward(self, input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Sorted:
        return Sorted(*fn.topk_pair(input, k, dim, largest, sorted))

    def reference(self, x: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
        if not x.ndim:
            return x, np.zeros((), np.int64)
        indices = np.argsort(-x if largest else x, dim, kind="stable").take(range(k), dim)
        return np.take_along_axis(x, indices, dim), indices

    def cases(self) -> Iterable[Case]:
        d: dict[str, Any] = {"distinct": True}
        yield from (Case(T(7, **d), 3), Case(T(3, 5, **d), 2, 0), Case(T(3, 5, **d), 2, largest=False), Case(T(3, 5, **d), 5, 1, True))
        yield Case(T(3, 4), 0)
        yield from (Case(T(2, 3, 2, **d), 1, dim=1), Case(T(), 1), Case(T(9, dtype="int64", low=0, high=1000), 4))
        yield Case(T(2, 300, **d), 7)
        yield Case(T(3, 4), 5, error=(RuntimeError, "topk: k is 5 but dim 1 of (3, 4) has size 4"))


class TopKPair(Op):
    """`topk` as an op with two results."""

    name = "topk_pair"
    function = method = False

    def forward(self, ctx: Node, input: Tensor, k: int, dim: int, largest: bool, sorted: bool) -> tuple[Tensor, Tensor]:
        x = input.array if input.array.ndim else input.array.reshape(1)
        d = check_dim("topk", dim, input.array.ndim)
        n = x.shape[d]
        if not 0 <= k <= n:
            raise RuntimeError(f"topk: k is {k} but dim {d} of {tuple(input.shape)} has size {n}")
        if n < 64 or 4 * k > n:
            i = order(x, d, largest).take(range(k), axis=d)
        else:
            y = x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x
            i = y.argpartition(n - k if largest else k - 1, axis=d).take(range(n - k, n) if largest else range(k), axis=d)
            i.sort(axis=d)  # among equal entries the order of their places
            if sorted:
                i = np.take_along_axis(i, order(np.take_along_axis(y, i, d), d, largest), d)
        ctx.dim, ctx.indices, ctx.shape = d, i, x.shape
        shape = i.shape if input.array.ndim else i.shape[:0] if k else i.shape
        ctx.out, ctx.whole = shape, input.array.shape
        return wrap(np.take_along_axis(x, i, d).reshape(shape), input.device), wrap(i.reshape(shape), input.device)

    def backward(self, ctx: Node, g: Tensor, _: Tensor) -> Tensor:
        g = g.reshape(ctx.indices.shape)
        return fn.scatter_values(g.new_zeros(ctx.shape), ctx.dim, wrap(ctx.indices, g.device), g).reshape(ctx.whole)

    def reference(self, x: Any, k: int, dim: int, largest: bool, sorted: bool) -> Any:
        return TopK.reference(self, x, k, dim, largest, sorted)  # type: ignore[arg-type]

    def cases(self) -> Iterable[Case]:
        yield Case(T(4, 3, distinct=True), 2, 0, True, True)
