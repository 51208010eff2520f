"""to_dtype: convert the elements. `Tensor.to` and `.float()`, `.long()`, ... come here."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..dtypes import dtype as DType
from ..dtypes import float64
from ..graph import Node
from ..op import Op
from ..pointwise import QUIET
from ..tensor import Tensor, wrap


class ToDtype(Op):
    """A copy with elements of another dtype; the gradient is converted back."""

    name = "to_dtype"
    function = method = False

    def forward(self, ctx: Node, input: Tensor, dtype: DType) -> Tensor:
        ctx.kind = input.dtype
        return wrap(QUIET.run(input.array.astype, dtype.np), input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return g.to(ctx.kind)

    def reference(self, x: Any, dtype: Any) -> Any:
        return x.astype(dtype.np)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 2), float64), Case(T(0), float64), Case(T(), float64), Case(T(5, dtype="int64", low=0, high=9), float64))
