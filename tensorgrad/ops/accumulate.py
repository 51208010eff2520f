"""accumulate: add values at positions, where the same position may come many times."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..autograd import Node
from ..cases import Case, T
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap


class Accumulate(Op):
    """A copy of `input` (N, D) with `source` (M, D) added to its rows `index` (M,).

    Behind index_add, scatter_add, the gradient of advanced indexing and of embeddings: they all come down to rows. Rows are added
    in the order of `index`, so the result does not depend on the number of threads.
    """

    name = "accumulate"
    function = method = False
    defaults = ("cpu/rows", "cpu/numpy")

    def forward(self, ctx: Node, input: Tensor, index: Tensor, source: Tensor) -> Tensor:
        ctx.index = index
        out = input.array.copy(order="C")
        self.add(input.device, out, index.array, source.array)
        return wrap(out, input.device)

    def add(self, device: Any, out: Any, index: Any, source: Any) -> None:
        """Add `source` to the rows `index` of `out`, all C-contiguous."""
        xp = device.backend.xp
        self.kernel(device, out)(out, xp.ascontiguousarray(index), xp.ascontiguousarray(source))

    def add_rows(self, device: Any, x: Any, dim: int, index: Any, rows: Any) -> None:
        """x[..., index, ...] += rows along `dim`, in place."""
        xp = device.backend.xp
        if not rows.size:
            return
        moved = xp.moveaxis(x, dim, 0)
        n = moved.shape[0]
        flat = moved.reshape(n, -1)
        buffer = flat if flat.flags.c_contiguous and xp.shares_memory(flat, x) else xp.array(flat, order="C")
        self.add(device, buffer, index, xp.moveaxis(rows, dim, 0).reshape(len(index), -1))
        if buffer is not flat or not xp.shares_memory(flat, x):
            moved[...] = buffer.reshape(moved.shape)

    def add_at(self, device: Any, x: Any, key: tuple, source: Any) -> None:
        """x[key] += source in place, for a key of arrays of positions (or full slices before them)."""
        xp = device.backend.xp
        arrays = [k for k in key if not isinstance(k, slice)]
        if x.flags.c_contiguous and not isinstance(key[0], slice) and len(arrays) == len(key) and source.size:
            lead = x.shape[:len(key)]
            index = xp.ravel_multi_index(tuple(xp.broadcast_arrays(*arrays)), lead).reshape(-1)
            self.add(device, x.reshape(int(np.prod(lead)), -1), index, source.reshape(len(index), -1))
        else:
            wide = xp.float32 if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x.dtype
            sums = x.astype(wide, copy=False)
            xp.add.at(sums, key, source)
            if sums is not x:
                x[...] = sums

    @staticmethod
    @rung("cpu/numpy", "float32 float64 float16 int64 int32 int16 int8 uint8 bool")
    def rows_numpy(out: Any, index: Any, source: Any) -> None:
        """One after the other, by NumPy."""
        np.add.at(out, index, source)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        return g, None, fn.index_select(g, 0, ctx.index) if ctx.edges[2] is not None else None

    def reference(self, x: Any, index: Any, source: Any) -> Any:
        y = x.copy()
        for k, i in enumerate(index):
            y[i] += source[k]
        return y

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5, 3), T(7, dtype="int64", low=0, high=5), T(7, 3)), Case(T(1, 17), T(4, dtype="int64", low=0, high=1), T(4, 17)))
        yield from (Case(T(5, 0), T(2, dtype="int64", low=0, high=5), T(2, 0)), Case(T(5, 3), T(0, dtype="int64"), T(0, 3)))
        yield Case(T(40, 33), T(2000, dtype="int64", low=0, high=40), T(2000, 33, grad=False))
