"""allclose: whether two tensors nearly agree everywhere."""
from __future__ import annotations

from ..op import Op, fn
from ..tensor import Tensor


class Allclose(Op):
    """Whether `isclose` holds for all elements, as a bool."""

    name = "allclose"
    composite = True

    def forward(self, input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
        return bool(fn.isclose(input, other, rtol, atol, equal_nan).array.all())
