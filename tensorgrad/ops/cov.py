"""cov: covariances."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor


class Cov(Op):
    """The covariance matrix of variables (rows) from observations (columns), over n - `correction`.

    `fweights` are how often each observation counts, `aweights` its importance.
    """

    name = "cov"
    composite = True

    def forward(self, input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
        if input.ndim > 2:
            raise RuntimeError(f"cov: expected at most two dimensions, got the shape {tuple(input.shape)}")
        x = input if input.dtype.is_floating_point else input.float()
        x = x.reshape(1, -1) if x.ndim < 2 else x
        weights: Any = None
        for w in (fweights, aweights):
            if w is not None:
                if tuple(w.shape) != (x.shape[1],):
                    raise RuntimeError(f"cov: weights of shape {tuple(w.shape)} for {x.shape[1]} observations")
                if (w is fweights) == w.dtype.is_floating_point:
                    raise RuntimeError(f"cov: fweights must be integers and aweights floating, got {w.dtype.name}")
                if bool((w < 0).any()):
                    raise RuntimeError("cov: weights must not be negative")
                weights = w.to(x.dtype) if weights is None else weights * w.to(x.dtype)
        total: Any = x.shape[1] if weights is None else weights.sum()
        mean = x.mean(1, True) if weights is None else (x * weights).sum(1, True) / total
        rest = total - correction
        if weights is not None and aweights is not None:
            rest = total - correction * (weights * aweights.to(x.dtype)).sum() / total
        centred = x - mean
        spread = (centred if weights is None else centred * weights) @ centred.mT
        y = spread / (rest.clamp(min=0) if isinstance(rest, Tensor) else max(rest, 0))
        return y.squeeze() if input.ndim < 2 or input.shape[0] == 1 else y

    def reference(self, x: Any, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
        return np.cov(x, ddof=correction, fweights=fweights, aweights=aweights)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5)), Case(T(7)), Case(T(2, 4), correction=0), Case(T(1, 4)))
        yield Case(T(2, 3), fweights=T(values=[1, 2, 3], dtype="int64"), aweights=T(3, low=0.2, grad=False))
        yield Case(T(2, 2, 2), error=(RuntimeError, "cov: expected at most two dimensions, got the shape (2, 2, 2)"))
