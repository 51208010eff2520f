"""bag_max: the largest entries of bags of table rows."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .add_rows import ENTRIES, sort_entries


class BagMax(Op):
    """y[b, i] = max over the entries p with target[p] = b of input[source[p], i]; zeros where a bag is empty.

    source and target are int64 arrays of equal length, y has `rows` rows. The gradient goes to the first largest entry.
    """

    name = "bag_max"
    function = method = False
    defaults = ("cuda/v01_sorted", "cpu/sorted")

    def forward(self, ctx: Node, input: Tensor, source: Any, target: Any, rows: int) -> Tensor:
        x, xp = input.array, input.device.backend.xp
        source, target = (input.device.backend.asarray(a) for a in (source, target))
        y, at = xp.empty((rows, x.shape[1]), x.dtype), xp.empty((rows, x.shape[1]), np.int64)
        workspace = xp.empty(rows + 1, np.int64), xp.empty(len(target), np.int64)
        self.kernel(input.device, x)(y, at, *workspace, xp.ascontiguousarray(x), source, target)
        ctx.at, ctx.size = at, x.shape
        return wrap(y, input.device)

    def bind(self, path: str, call: Callable[..., Any], xp: Any) -> Callable[..., Any]:
        if path.partition("/")[2] != "v01_sorted":
            return call

        def with_entries(y: Any, at: Any, first: Any, order: Any, x: Any, source: Any, target: Any) -> None:
            sort_entries(first, order, target, xp)
            call(y, at, first, order, x, source, target)

        return with_entries

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        filled = ctx.at >= 0
        if not filled.all():
            g = g * wrap(filled.astype(g.array.dtype), g.device)
        xp = g.device.backend.xp
        flat = xp.maximum(ctx.at, 0) * ctx.size[1] + xp.arange(ctx.size[1])
        return fn.pool_scatter(g, wrap(flat, g.device), ctx.size)

    def reference(self, x: Any, source: Any, target: Any, rows: int) -> Any:
        y = np.zeros((rows, x.shape[1]))
        for b in range(rows):
            if (target == b).any():
                y[b] = x[source[target == b]].max(0)
        return y

    def cost(self, input: Any, source: Any, target: Any, rows: int) -> tuple[float, float]:
        n, columns, item = len(target), input.array.shape[1], input.array.itemsize
        return float(n * columns), float(16 * n + n * columns * item + rows * columns * (item + 8))

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5, 3, distinct=True), rows=4, **ENTRIES), Case(T(5, 17, distinct=True), rows=5, **ENTRIES))
