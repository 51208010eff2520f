"""scatter: write along one dimension at an index of the source's shape."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, Operand, fn
from ..tensor import Tensor, wrap
from .shared.indexing import along_dim, check_number, scatter_source
from .shared.overwrite import Overwriting


def _scatter(name: str, input: Tensor, dim: int, index: Tensor, src: Any, value: Any, reduce: str | None) -> Tensor:
    if (src is None) == (value is None):
        raise TypeError(f"{name}: expected src or value, one of them")
    given = value if src is None else src
    if reduce is None:
        return getattr(input, "scatter_values" + name[len("scatter"):])(dim, index, given)
    if reduce not in ("add", "multiply"):
        raise ValueError(f"{name}: reduce must be 'add' or 'multiply', not {reduce!r}; scatter_reduce knows more")
    if not isinstance(given, Tensor):
        given = input.new_full(index.shape, given)
    return getattr(input, "scatter_reduce" + name[len("scatter"):])(dim, index, given, "sum" if reduce == "add" else "prod")


class Scatter(Op):
    """input, with out[index[i][j]][j] = src[i][j] for dim 0, and so on for the others; `src` a tensor or a number (also as `value`).

    `index` (ints, not negative) may be smaller than `src`, and smaller than the input in dims other than `dim`. Where an index comes
    twice one of the values stays: scatter_add and scatter_reduce combine them, and so does `reduce="add"` or `"multiply"` here.
    """

    name = "scatter"
    composite = True

    def forward(self, input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Tensor:
        return _scatter("scatter", input, dim, index, src, value, reduce)

    def reference(self, x: Any, dim: int, index: Any, src: Any = None, value: Any = None) -> Any:
        y = x.copy()
        for place in np.ndindex(*index.shape):
            target = list(place)
            target[dim] = index[place]
            y[tuple(target)] = src[place] if isinstance(src, np.ndarray) else value if src is None else src
        return y

    def cases(self) -> Iterable[Case]:
        i = T(values=[[0, 2, 1], [2, 0, 0]], dtype="int64")
        yield from (Case(T(3, 5), 0, i, T(2, 3)), Case(T(2, 3), 1, T(values=[[0, 2, 1], [2, 0, 1]], dtype="int64"), T(4, 3), torch=False))
        yield from (Case(T(3, 5), 0, i, 1.5), Case(T(3, 5), 0, i, value=2.0))
        yield from (Case(T(4), -1, T(values=[3, 1], dtype="int64"), T(2)), Case(T(3, 5), 0, T(0, 5, dtype="int64"), T(2, 5), torch=False))
        yield Case(T(3, 5), 0, T(values=[[3]], dtype="int64"), T(1, 1), error=(IndexError, "index 3 is out of range for dim 0 of size 3"))
        yield Case(T(3, 5), 0, i, T(1, 3), error=(RuntimeError, "index has size 2 in dim 0 of (2, 3) but src has 1 in (1, 3)"))
        yield Case(T(3, 5), 0, i, error=(TypeError, "scatter: expected src or value"))


class ScatterInPlace(Op):
    """`scatter` in this tensor itself."""

    name = "scatter_"
    function = False
    composite = True

    def forward(self, input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Tensor:
        return _scatter("scatter_", input, dim, index, src, value, reduce)


class ScatterValues(Overwriting):
    """`scatter` without `reduce`."""

    name = "scatter_values"
    function = False
    torch_name = ""

    def forward(self, ctx: Node, input: Tensor, dim: int, index: Tensor, src: Operand) -> Tensor:
        key, ctx.dim = along_dim("scatter", input, dim, index)
        values: Any = src
        if isinstance(src, Tensor):
            values, ctx.shape = scatter_source("scatter", input, index, src), src.array.shape
        else:
            check_number("scatter", src, "src")
        ctx.save(index)
        x = self.target(input)
        (x if x.ndim else x.reshape(1))[key] = values
        return wrap(x, input.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        (index,) = ctx.saved
        to_input = fn.scatter_values(g, ctx.dim, index, 0) if ctx.edges[0] is not None else None
        to_src = fn.from_corner(fn.gather(g, ctx.dim, index), ctx.shape) if ctx.edges[2] is not None else None
        return to_input, None, to_src

    def reference(self, x: Any, dim: int, index: Any, src: Any) -> Any:
        return Scatter.reference(self, x, dim, index, src)  # type: ignore[arg-type]

    def cases(self) -> Iterable[Case]:
        yield Case(T(3, 5), 0, T(values=[[0, 2, 1], [2, 0, 0]], dtype="int64"), T(2, 4))
        yield Case(T(3, 5), -1, T(2, 1, dtype="int64", low=0, high=5), 2.0)
