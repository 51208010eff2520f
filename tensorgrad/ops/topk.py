"""topk: the k largest or smallest."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dispatch import Kernel
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, check_dim, wrap
from .sort import Sorted, order

ALL = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool"
MOST = 1024  # entries of a row that a block keeps


class TopK(Op):
    """(values, indices) of the `k` largest (or smallest) entries along `dim`, in order where `sorted`. NaN is the largest.

    Which of equal entries are taken is not specified. RuntimeError when k exceeds the size.
    """

    name = "topk"
    composite = True
    group = "topk_pair"

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
    """`topk` as an op with two results, which come in order whether `sorted` or not."""

    name = "topk_pair"
    function = method = False
    defaults = ("cuda/v00_bitonic", "cpu/numpy")

    def forward(self, ctx: Node, input: Tensor, k: int, dim: int, largest: bool, sorted: bool) -> tuple[Tensor, Tensor]:
        x = input.array if input.array.ndim else input.array.reshape(1)
        d = check_dim("topk", dim, input.array.ndim)
        n = x.shape[d]
        if not 0 <= k <= n:
            raise RuntimeError(f"topk: k is {k} but dim {d} of {tuple(input.shape)} has size {n}")
        lead, xp = x.shape[:d] + x.shape[d + 1:], input.device.backend.xp
        rows = math.prod(lead)
        y, i = xp.empty((rows, k), x.dtype), xp.empty((rows, k), np.int64)
        if y.size:
            lines = xp.ascontiguousarray(xp.moveaxis(x, d, -1)).reshape(rows, n)
            self.kernel(input.device, x, k <= MOST)(y, i, lines, k, int(largest))
        y, i = (xp.moveaxis(a.reshape(*lead, k), -1, d) for a in (y, i))
        ctx.dim, ctx.indices, ctx.shape = d, i, x.shape
        shape = i.shape if input.array.ndim else i.shape[:0] if k else i.shape
        ctx.out, ctx.whole = shape, input.array.shape
        return wrap(y.reshape(shape), input.device), wrap(i.reshape(shape), input.device)

    @staticmethod
    @rung("cpu/numpy", types=ALL, writes=(0, 1))
    def by_partition(xp: Any, y: Any, i: Any, x: Any, k: int, largest: int) -> None:
        """np.argpartition, and the order of what it finds."""
        n = x.shape[1]
        if n < 64 or 4 * k > n:
            i[...] = order(x, 1, bool(largest))[:, :k]
        else:
            wide = x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x
            part = wide.argpartition(n - k if largest else k - 1, axis=1)
            found = xp.sort(part[:, n - k:] if largest else part[:, :k], axis=1)  # among equal entries the order of their places
            i[...] = xp.take_along_axis(found, order(xp.take_along_axis(wide, found, 1), 1, bool(largest)), 1)
        y[...] = xp.take_along_axis(x, i, 1)

    def supports(self, kernel: Kernel, few: bool = True) -> str | None:
        return f"keeps at most {MOST} entries" if kernel.rung == "v00_bitonic" and not few else None

    def backward(self, ctx: Node, g: Tensor, _: Tensor) -> Tensor:
        g = g.reshape(ctx.indices.shape)
        return fn.scatter_values(g.new_zeros(ctx.shape), ctx.dim, wrap(ctx.indices, g.device), g).reshape(ctx.whole)

    def reference(self, x: Any, k: int, dim: int, largest: bool, sorted: bool) -> Any:
        return TopK.reference(self, x, k, dim, largest, sorted)  # type: ignore[arg-type]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(4, 3, distinct=True), 2, 0, True, True), Case(T(3, 130, distinct=True), 70, 1, False, True))

    def cost(self, input: Any, k: int, dim: int, *args: Any) -> tuple[float, float]:
        n = float(np.prod(input.shape))
        kept = n / max(input.shape[dim] if input.shape else 1, 1) * k
        return n, n * input.dtype.itemsize + kept * (input.dtype.itemsize + 8)
