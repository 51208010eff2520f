"""max: the largest element."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.reduction import Extremum, ValuesIndices


class Max(Op):
    """`max(x)`: the largest element. `max(x, dim)`: (values, indices) along a dimension. `max(x, other)`: element-wise, as `maximum`.

    NaN wins. Along a dimension the gradient goes to the chosen element; over all of them equal ones share it evenly.
    """

    name = "max"
    composite = True

    def forward(self, input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        if other is not None or isinstance(dim, Tensor):
            return fn.maximum(input, dim if other is None else other)
        if dim is None:
            if not input.array.size:
                raise RuntimeError(f"max: an empty tensor of shape {tuple(input.shape)} has no largest element")
            return fn.amax(input)
        return ValuesIndices(*fn.max_along(input, dim, keepdim))

    def reference(self, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return x.max() if dim is None else (np.max(x, dim, keepdims=keepdim), np.argmax(x, dim, keepdims=keepdim))

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5, distinct=True)), Case(T(3, 5, distinct=True), 1), Case(T(3, 5, distinct=True), dim=0, keepdim=True))
        yield Case(T(0), error=(RuntimeError, "max: an empty tensor of shape (0,)"))


class MaxAlong(Extremum):
    """(values, indices) of the largest elements along `dim`; of equal ones the first."""

    name = "max_along"
    ufunc = "argmax"
    function = method = False
