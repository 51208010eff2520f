"""gather: pick along one dimension by an index of the result's shape."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn, rung
from ..pointwise import ALL_TYPES
from ..tensor import Tensor, wrap
from .shared.indexing import distinct_along, in_columns, index_along


class Gather(Op):
    """out[i][j][k] = input[index[i][j][k]][j][k] for dim 0, and so on for the others.

    `index` (ints, not negative) has as many dims as the input; in dims other than `dim` it may be smaller. The gradient adds up
    where an element was picked twice.
    """

    name = "gather"
    defaults = ("cuda/pick", "cpu/columns", "cpu/numpy")

    def forward(self, ctx: Node, input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
        if sparse_grad:
            raise NotImplementedError("gather: there are no sparse gradients")
        x = input.array
        i, d = index_along("gather", input, dim, index)
        ctx.dim, ctx.shape = d, x.shape
        ctx.save(index)
        out = input.device.backend.xp.empty(index.array.shape, x.dtype)
        if i.size:
            from_ = in_columns(x if x.ndim else x.reshape(1), d, i.shape)
            at = in_columns(i, d, i.shape)
            self.kernel(input.device, x)(out.reshape(at.shape), from_, at)
        return wrap(out, input.device)

    @staticmethod
    @rung("cpu/numpy", ALL_TYPES)
    def columns_numpy(out: Any, x: Any, index: Any) -> None:
        """By NumPy, on (outer, n, inner) arrays."""
        out[...] = np.take_along_axis(x, index, 1)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        (index,) = ctx.saved
        return fn.scatter_add(g.new_zeros(ctx.shape), ctx.dim, index, g), None

    def reference(self, x: Any, dim: int, index: Any) -> Any:
        out = np.empty(index.shape)
        for place in np.ndindex(*index.shape):
            source = list(place)
            if source:
                source[dim] = index[place]
            out[place] = x[tuple(source)]
        return out

    def cost(self, input: Any, dim: int, index: Any, **options: Any) -> tuple[float, float]:
        n = index.array.size
        return 0.0, float(8 * n + (n + distinct_along("gather", input, dim, index)) * input.array.itemsize)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), 0, T(4, 5, dtype="int64", low=0, high=3)), Case(T(3, 5), -1, T(3, 2, dtype="int64", low=0, high=5)))
        yield from (Case(T(3, 5), 1, T(2, 7, dtype="int64", low=0, high=5)), Case(T(3), 0, T(4, dtype="int64", low=0, high=3)))
        yield from (Case(T(2, 3, 4), 1, T(2, 1, 3, dtype="int64", low=0, high=3)), Case(T(3, 5), 0, T(0, 5, dtype="int64")))
        yield Case(T(), 0, T(dtype="int64", low=0, high=1))
        yield Case(T(3, 5), 0, T(values=[[3]], dtype="int64"), error=(IndexError, "gather: index 3 is out of range for dim 0 of size 3"))
        yield Case(T(3, 5), 0, T(2, 6, dtype="int64", low=0),
                   error=(RuntimeError, "gather: index has size 6 in dim 1 of (2, 6) but the tensor has 5 in (3, 5)"))
        yield Case(T(3, 5), 0, T(2, dtype="int64", low=0),
                   error=(RuntimeError, "gather: index of shape (2,) and the tensor of shape (3, 5)"))
