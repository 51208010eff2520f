"""accumulate: add values at positions, where the same position may come many times."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dispatch import Kernel
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .shared.indexing import flat_places, pieces_of, runs_of

CUTS = "cuts runs whose lengths the host must know, which a graph being captured cannot tell"
FEW_COLUMNS = 16  # below, sorting costs more than adding one by one


class Accumulate(Op):
    """A copy of `input` (N, D) with `source` (M, D) added to its rows `index` (M,).

    Behind index_add, scatter_add, the gradient of advanced indexing and of embeddings: they all come down to rows. Rows are added
    in the order of `index`, so the result does not depend on the number of threads.
    """

    name = "accumulate"
    function = method = False
    defaults = ("cuda/v02_pieces", "cuda/v01_sorted", "cpu/rows", "cpu/numpy")

    def forward(self, ctx: Node, input: Tensor, index: Tensor, source: Tensor) -> Tensor:
        ctx.index = index
        out = input.array.copy(order="C")
        self.add(input.device, out, index.array, source.array)
        return wrap(out, input.device)

    def add(self, device: Any, out: Any, index: Any, source: Any) -> None:
        """Add `source` to the rows `index` of `out` (C-contiguous)."""
        xp = device.backend.xp
        if not source.size:
            return
        if source.shape[1] < FEW_COLUMNS:
            fn.scatter_add.op.add_columns(device, out, 0, xp.broadcast_to(index[:, None], source.shape), source)
            return
        call = ("captured",) if device.backend.capturing() else ()
        self.kernel(device, out, *call)(out, xp.ascontiguousarray(index), xp.ascontiguousarray(source), *runs_of(index, xp))

    def add_rows(self, device: Any, x: Any, dim: int, index: Any, rows: Any) -> None:
        """x[..., index, ...] += rows along `dim`, in place."""
        xp = device.backend.xp
        moved = xp.moveaxis(x, dim, 0)
        n = moved.shape[0]
        flat = moved.reshape(n, math.prod(moved.shape[1:]))
        in_place = flat.flags.c_contiguous and xp.may_share_memory(flat, x)
        buffer = flat if in_place else xp.array(flat, order="C")
        self.add(device, buffer, index, xp.moveaxis(rows, dim, 0).reshape(len(index), math.prod(moved.shape[1:])))
        if not in_place:
            moved[...] = buffer.reshape(moved.shape)

    def add_at(self, device: Any, x: Any, key: tuple, source: Any) -> None:
        """x[key] += source in place, for a key of arrays of positions and full slices: the arrays' dims become rows."""
        xp = device.backend.xp
        dims = [d for d, k in enumerate(key) if not isinstance(k, slice)]
        arrays = xp.broadcast_arrays(*[xp.where(key[d] < 0, key[d] + x.shape[d], key[d]) for d in dims])
        if not source.size:
            return
        moved = xp.moveaxis(x, dims, range(len(dims)))
        lead, rest = moved.shape[:len(dims)], moved.shape[len(dims):]
        # Arrays side by side leave their dims where they stood, others put them in front.
        place = dims[0] if dims[-1] - dims[0] + 1 == len(dims) else 0
        rows = xp.moveaxis(source, range(place, place + arrays[0].ndim), range(arrays[0].ndim))
        in_place = moved.flags.c_contiguous
        buffer = moved if in_place else xp.array(moved, order="C")
        index = flat_places([a.reshape(-1) for a in arrays], lead)
        self.add(device, buffer.reshape(math.prod(lead), math.prod(rest)), index, rows.reshape(len(index), math.prod(rest)))
        if not in_place:
            moved[...] = buffer

    def bind(self, path: str, call: Callable[..., Any], xp: Any) -> Callable[..., Any]:
        if path != "cuda/v02_pieces":
            return call

        def in_pieces(out: Any, index: Any, source: Any, order: Any, bounds: Any) -> None:
            call(out, index, source, order, bounds, *pieces_of(bounds, index[order[bounds[:-1]]], out.shape[1], xp))

        return in_pieces

    def supports(self, kernel: Kernel, *call: str) -> str | None:
        return CUTS if call and kernel.rung == "v02_pieces" else None

    @staticmethod
    @rung("cpu/numpy", "float32 float64 float16 int64 int32 int16 int8 uint8 bool")
    def rows_numpy(out: Any, index: Any, source: Any, order: Any, starts: Any) -> None:
        """Each target's rows as one sum."""
        sums = np.add.reduceat(source[order], starts[:-1], axis=0, dtype=np.float64 if out.dtype.kind == "f" else out.dtype)
        out[index[order[starts[:-1]]]] += sums.astype(out.dtype)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        return g, None, fn.index_select(g, 0, ctx.index) if ctx.edges[2] is not None else None

    def reference(self, x: Any, index: Any, source: Any) -> Any:
        y = x.copy()
        for k, i in enumerate(index):
            y[i] += source[k]
        return y

    def cost(self, input: Any, index: Any, source: Any) -> tuple[float, float]:
        columns, n, places = input.array.shape[1], index.array.size, len(index.device.backend.xp.unique(index.array))
        return float(n * columns), float(8 * n + (n + 2 * places) * columns * input.array.itemsize)

    def cases(self) -> Iterable[Case]:
        yield Case(T(5, 3), T(7, dtype="int64", low=0, high=5), T(7, 3))
        yield Case(T(1, 17), T(4, dtype="int64", low=0, high=1), T(4, 17))
        yield from (Case(T(5, 0), T(2, dtype="int64", low=0, high=5), T(2, 0)), Case(T(5, 3), T(0, dtype="int64"), T(0, 3)))
        yield Case(T(40, 33), T(2000, dtype="int64", low=0, high=40), T(2000, 33, grad=False))
