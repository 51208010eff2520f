"""equal: whether two tensors are the same."""
from __future__ import annotations

from ..op import Op, fn
from ..tensor import Tensor


class Equal(Op):
    """Whether shape and all elements agree, as a bool; NaN agrees with nothing."""

    name = "equal"
    composite = True

    def forward(self, input: Tensor, other: Tensor) -> bool:
        return input.array.shape == other.array.shape and bool(fn.all(fn.eq(input, other)))
