"""add_rows and row_dots: sums of picked rows and products of picked rows; each is the other's gradient."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dispatch import Kernel
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .accumulate import CUTS
from .shared.indexing import pieces_of

ENTRIES: dict[str, Any] = {"source": np.array([0, 2, 2, 4, 1]), "target": np.array([1, 1, 0, 3, 1])}  # for the sample calls


def sort_entries(first: Any, order: Any, target: Any, xp: Any) -> None:
    """Fills `first` and `order`: entries with target r are order[first[r]:first[r + 1]], as they come. CPU kernels do it themselves."""
    order[...] = xp.argsort(target, kind="stable")
    first[...] = xp.searchsorted(target[order], xp.arange(len(first)))


class AddRows(Op):
    """y[target[p]] += scale[p] * input[source[p]] on a zero y of `rows` rows: a product with a sparse matrix.

    source and target are int64 arrays of equal length; source None stands for 0, 1, 2, ..., scale None for ones. Terms of one row
    are added in their order, in float64 where they are many. `input` (any, D), y (rows, D). `grad_scale` multiplies the gradient
    of `input` only.
    """

    name = "add_rows"
    function = method = False
    defaults = ("cuda/v02_pieces", "cuda/v01_sorted", "cpu/sorted", "cpu/numpy")

    def forward(self, ctx: Node, input: Tensor, scale: Tensor | None, source: Any, target: Any, rows: int,
                grad_scale: Any = None) -> Tensor:
        x, xp, there = input.array, input.device.backend.xp, input.device.backend.asarray
        source, target = None if source is None else there(source), there(target)
        y = xp.empty((rows, x.shape[1]), x.dtype)
        workspace = xp.empty(rows + 1, np.int64), xp.empty(len(target), np.int64)
        call = ("captured",) if input.device.backend.capturing() else ()
        self.kernel(input.device, x, *call)(y, *workspace, xp.ascontiguousarray(x), source, target,
                                            None if scale is None else xp.ascontiguousarray(scale.array))
        ctx.source, ctx.target, ctx.rows, ctx.grad_scale = source, target, x.shape[0], grad_scale
        ctx.save(input if scale is not None else None, scale)
        return wrap(y, input.device)

    def bind(self, path: str, call: Callable[..., Any], xp: Any) -> Callable[..., Any]:
        own = path.partition("/")[2]
        if own not in ("v01_sorted", "v02_pieces"):
            return call

        def with_entries(y: Any, first: Any, order: Any, x: Any, source: Any, target: Any, scale: Any) -> None:
            sort_entries(first, order, target, xp)
            pieces = pieces_of(first, xp.arange(len(y)), y.shape[1], xp) if own == "v02_pieces" else ()
            call(y, first, order, x, source, target, scale, *pieces)

        return with_entries

    def supports(self, kernel: Kernel, *call: str) -> str | None:
        return CUTS if call and kernel.rung == "v02_pieces" else None

    @staticmethod
    @rung("cpu/numpy", writes=(0, 1, 2))
    def add_at(y: Any, first: Any, order: Any, x: Any, source: Any, target: Any, scale: Any) -> None:
        """np.add.at on zeros, in float64."""
        out = np.zeros(y.shape)
        np.add.at(out, target, (x if source is None else x[source]) * (1 if scale is None else scale[:, None]))
        y[...] = out

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, scale = ctx.saved
        source = g.device.backend.xp.arange(len(ctx.target)) if ctx.source is None else ctx.source
        dx = dscale = None
        if ctx.edges[0] is not None:
            by = scale
            if ctx.grad_scale is not None:
                by = wrap(g.device.backend.asarray(ctx.grad_scale).astype(g.array.dtype), g.device)
                by = by if scale is None else scale * by
            dx = fn.add_rows(g, by, ctx.target, source, ctx.rows)
        if ctx.edges[1] is not None:
            dscale = fn.row_dots(x, g, source, ctx.target)
        return dx, dscale

    def reference(self, x: Any, scale: Any, source: Any, target: Any, rows: int) -> Any:
        y = np.zeros((rows, x.shape[1]))
        for p, t in enumerate(target):
            y[t] += x[p if source is None else source[p]] * (1 if scale is None else scale[p])
        return y

    def cost(self, input: Any, scale: Any, source: Any, target: Any, rows: int, grad_scale: Any = None) -> tuple[float, float]:
        n, columns = len(target), input.array.shape[1]
        indices = 8 * n * (1 if source is None else 2) + (0 if scale is None else scale.nbytes)
        return float((1 if scale is None else 2) * n * columns), float(indices + (n + rows) * columns * input.array.itemsize)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5, 3), None, rows=4, **ENTRIES), Case(T(5, 17), T(5), rows=5, **ENTRIES))
        yield Case(T(5, 2), None, source=None, target=ENTRIES["target"], rows=4)
        yield Case(T(200, 3), T(200), source=None, target=np.zeros(200, np.int64), rows=2)
        yield Case(T(0, 3), None, source=None, target=np.zeros(0, np.int64), rows=3)


class RowDots(Op):
    """y[p] = sum over i of input[first[p], i] * other[second[p], i]; first and second are int64 arrays of equal length."""

    name = "row_dots"
    function = method = False
    defaults = ("cuda/row_dots", "cpu/rows", "cpu/numpy")

    def forward(self, ctx: Node, input: Tensor, other: Tensor, first: Any, second: Any) -> Tensor:
        xp = input.device.backend.xp
        first, second = (input.device.backend.asarray(a) for a in (first, second))
        y = xp.empty(len(first), input.array.dtype)
        self.kernel(input.device, input.array)(y, xp.ascontiguousarray(input.array), xp.ascontiguousarray(other.array), first, second)
        ctx.first, ctx.second = first, second
        ctx.save(input, other)
        return wrap(y, input.device)

    @staticmethod
    @rung("cpu/numpy")
    def einsum(y: Any, a: Any, b: Any, first: Any, second: Any) -> None:
        """The picked rows written out, then one einsum."""
        y[...] = np.einsum("pi,pi->p", a[first].astype(np.float64), b[second].astype(np.float64))

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        a, b = ctx.saved
        da = fn.add_rows(b, g, ctx.second, ctx.first, a.array.shape[0]) if ctx.edges[0] is not None else None
        db = fn.add_rows(a, g, ctx.first, ctx.second, b.array.shape[0]) if ctx.edges[1] is not None else None
        return da, db

    def reference(self, a: Any, b: Any, first: Any, second: Any) -> Any:
        return (a[first] * b[second]).sum(1)

    def cost(self, input: Any, other: Any, first: Any, second: Any) -> tuple[float, float]:
        n, columns = len(first), input.array.shape[1]
        return float(2 * n * columns), float(16 * n + (2 * n * columns + n) * input.array.itemsize)

    def cases(self) -> Iterable[Case]:
        yield Case(T(5, 3), T(4, 3), first=ENTRIES["source"], second=ENTRIES["target"])
        yield Case(T(2, 33), T(1, 33), first=np.array([1]), second=np.array([0]))
