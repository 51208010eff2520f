"""var_mean: variance and mean."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class VarMean(Op):
    """(variance, mean) over `dim`; arguments as for `var`."""

    name = "var_mean"
    method = False
    composite = True

    def forward(self, input: Tensor, dim: int | Sequence[int] | bool | None = None, unbiased: bool | None = None, keepdim: bool = False, *,
                correction: float | None = None) -> tuple[Tensor, Tensor]:
        y = fn.var(input, dim, unbiased, keepdim, correction=correction)
        return y, fn.mean(input, None if isinstance(dim, bool) else dim, keepdim)

    def reference(self, x: Any, dim: Any = None, keepdim: bool = False, correction: float = 1) -> Any:
        axis = tuple(dim) if isinstance(dim, list) else dim
        return x.var(axis=axis, keepdims=keepdim, ddof=correction), x.mean(axis=axis, keepdims=keepdim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5)), Case(T(3, 5), 1), Case(T(2, 3, 4), dim=[0, 2], correction=0, keepdim=True))
