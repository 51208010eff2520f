"""min: the smallest element."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.reduction import Extremum, ValuesIndices


class Min(Op):
    """`min(x)`: the smallest element. `min(x, dim)`: (values, indices) along a dimension. `min(x, other)`: element-wise, as `minimum`.

    NaN wins. Along a dimension the gradient goes to the chosen element; over all of them equal ones share it evenly.
    """

    name = "min"
    composite = True

    def forward(self, input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        if other is not None or isinstance(dim, Tensor):
            return fn.minimum(input, dim if other is None else other)
        if dim is None:
            if not input.array.size:
                raise RuntimeError(f"min: an empty tensor of shape {tuple(input.shape)} has no smallest element")
            return fn.amin(input)
        return ValuesIndices(*fn.min_along(input, dim, keepdim))

    def reference(self, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return x.min() if dim is None else (np.min(x, dim, keepdims=keepdim), np.argmin(x, dim, keepdims=keepdim))

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5, distinct=True)), Case(T(3, 5, distinct=True), 1), Case(T(3, 5, distinct=True), dim=0, keepdim=True))
        yield Case(T(0), error=(RuntimeError, "min: an empty tensor of shape (0,)"))


class MinAlong(Extremum):
    """(values, indices) of the smallest elements along `dim`; of equal ones the first."""

    name = "min_along"
    ufunc = "argmin"
    function = method = False
