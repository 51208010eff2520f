"""renorm: sub-tensors of bounded norm."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim


class Renorm(Op):
    """The sub-tensors along `dim` whose p-norm is above `maxnorm`, scaled down to it; the others as they are."""

    name = "renorm"
    inplace = True
    composite = True

    def forward(self, input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
        if not p > 0:
            raise RuntimeError(f"renorm: p must be positive, got {p}")
        if maxnorm < 0:
            raise RuntimeError(f"renorm: maxnorm must not be negative, got {maxnorm}")
        if input.ndim < 2:
            raise RuntimeError(f"renorm: expected at least two dimensions, got the shape {tuple(input.shape)}")
        d = check_dim("renorm", dim, input.ndim)
        length = fn.vector_norm(input, p, [i for i in range(input.ndim) if i != d], True)
        return input * fn.where(length > maxnorm, maxnorm / (length + 1e-7), 1.0)

    def reference(self, x: Any, p: float, dim: int, maxnorm: float) -> Any:
        length = (np.abs(x) ** p).sum(tuple(i for i in range(x.ndim) if i != dim), keepdims=True) ** (1 / p)
        return x * np.where(length > maxnorm, maxnorm / (length + 1e-7), 1.0)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 4), 2, 0, 1.0), Case(T(2, 3, 4), 1, 1, 5.0), Case(T(3, 4), 2, 1, 100.0))
        yield Case(T(3, 4), 0, 0, 1.0, error=(RuntimeError, "renorm: p must be positive, got 0"))
