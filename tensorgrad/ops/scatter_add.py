"""scatter_add: add along one dimension at an index of the source's shape."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn, rung
from ..tensor import Tensor, wrap
from .shared.indexing import distinct_along, in_columns, index_along, places_of, runs_of, scatter_source
from .shared.overwrite import Overwriting

ADDS_IN_FLOAT32 = 64  # to one place at most; beyond, and in half precision, sums are held in float64 and rounded once


class ScatterAdd(Overwriting):
    """input, with src[i][j] added to out[index[i][j]][j] for dim 0, and so on for the others; shapes as for `scatter`.

    Gradients flow to a `src` larger than `index` too; PyTorch has none for those."""

    name = "scatter_add"
    autocast = ("", "widest")
    defaults = ("cuda/v01_sorted", "cpu/columns", "cpu/numpy")

    def forward(self, ctx: Node, input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
        i, ctx.dim = index_along(self.name, input, dim, index)
        values, ctx.shape = scatter_source(self.name, input, index, src), src.array.shape
        ctx.save(index)
        x = self.target(input)
        fn.scatter_add.op.add_columns(input.device, x if x.ndim else x.reshape(1), ctx.dim, i, values)
        return wrap(x, input.device)

    def add_columns(self, device: Any, x: Any, d: int, index: Any, src: Any) -> None:
        """Add `src` to storage `x` along `d` at the positions `index`, in place."""
        if not index.size:
            return
        at = in_columns(index, d, index.shape)  # (outer, m, inner)
        into = in_columns(x, d, index.shape)  # (outer, n, inner)
        sums = into
        if x.dtype.kind not in "iub" and (at.shape[1] > ADDS_IN_FLOAT32 or x.dtype.itemsize == 2):
            sums = into.astype(np.float64, copy=False)
        self.kernel(device, src)(sums, at, src.reshape(at.shape))
        if sums is not into:
            into[...] = sums
        if not device.backend.xp.may_share_memory(into, x):
            part = x[tuple([slice(None) if k == d else slice(n) for k, n in enumerate(index.shape)])]
            part[...] = into.reshape(part.shape)

    def bind(self, path: str, call: Callable[..., Any], xp: Any) -> Callable[..., Any]:
        if path != "cuda/v01_sorted":
            return call

        def with_runs(out: Any, index: Any, src: Any) -> None:
            call(out, index, src, *runs_of(places_of(index, out.shape[1], xp), xp))

        return with_runs

    @staticmethod
    @rung("cpu/numpy", "float32 float64 float16 int64 int32 int16 int8 uint8 bool")
    def columns_numpy(out: Any, index: Any, src: Any) -> None:
        """By NumPy, on (outer, n, inner) arrays."""
        outer, _, inner = index.shape
        np.add.at(out, (np.arange(outer)[:, None, None], index, np.arange(inner)), src)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        if ctx.edges[2] is None:
            return g, None, None
        (index,) = ctx.saved
        return g, None, fn.from_corner(fn.gather(g, ctx.dim, index), ctx.shape)

    def reference(self, x: Any, dim: int, index: Any, src: Any) -> Any:
        y = x.copy()
        for place in np.ndindex(*index.shape):
            target = list(place)
            if target:
                target[dim] = index[place]
            y[tuple(target)] += src[place]
        return y

    def cost(self, input: Any, dim: int, index: Any, src: Any) -> tuple[float, float]:
        n, places = index.array.size, distinct_along(self.name, input, dim, index)
        return float(n), float(8 * n + (n + 2 * places) * input.array.itemsize)

    def cases(self) -> Iterable[Case]:
        i = T(2, 3, dtype="int64", low=0, high=3)
        yield from (Case(T(3, 5), 0, i, T(2, 3)), Case(T(2, 3), 1, i, T(4, 3), torch=False))
        yield Case(T(3, 5), 0, T(0, 5, dtype="int64"), T(2, 5), torch=False)
        yield Case(T(4), -1, T(7, dtype="int64", low=0, high=4), T(7))
        yield Case(T(2, 3, 4), 1, T(1, 5, 4, dtype="int64", low=0, high=3), T(2, 5, 4), torch=False)
        yield Case(T(3, 5), 0, T(values=[[3]], dtype="int64"), T(1, 1), error=(IndexError, "index 3 is out of range for dim 0 of size 3"))
        yield Case(T(3, 5), 0, i, T(1, 3), error=(RuntimeError, "index has size 2 in dim 0 of (2, 3) but src has 1 in (1, 3)"))
