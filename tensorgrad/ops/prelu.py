"""prelu: leaky relu with learnt slopes."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Prelu(Op):
    """y = x above zero, else w x; the weight has one element, or one for each channel (dim 1) (He et al., 2015)."""

    name = "prelu"
    autocast = ("lower", "lower")
    functional = composite = True

    def forward(self, input: Tensor, weight: Tensor) -> Tensor:
        if weight.array.ndim > 1:
            raise RuntimeError(f"prelu: weight must have at most one dimension, it has shape {tuple(weight.shape)}")
        n, shape = weight.array.size, input.array.shape
        if n != 1:
            channels = shape[1] if len(shape) > 1 else 1
            if n != channels:
                raise RuntimeError(f"prelu: weight has {n} elements but dim 1 of the input {tuple(shape)} has {channels}")
            weight = weight.reshape(n, *[1] * (len(shape) - 2))
        else:
            weight = weight.reshape(())
        return fn.where(input > 0, input, weight * input)

    def reference(self, x: Any, w: Any) -> Any:
        return np.where(x > 0, x, x * (w if w.size == 1 else w.reshape(-1, *[1] * (x.ndim - 2))))

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 5, distinct=True), T(3)), Case(T(4, 3, distinct=True), T(1)), Case(T(6, distinct=True), T(1)))
        yield Case(T(2, 3), T(2), error=(RuntimeError, "prelu: weight has 2 elements but dim 1 of the input (2, 3) has 3"))
