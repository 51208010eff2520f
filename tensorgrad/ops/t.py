"""t: a matrix transposed."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class TOfMatrix(Op):
    """A view of a matrix with its dimensions swapped; a tensor of fewer dimensions is returned as it is."""

    name = "t"
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        if input.array.ndim > 2:
            raise RuntimeError(f"t: expected at most 2 dimensions, got the shape {tuple(input.shape)}; use transpose(dim0, dim1) or .mT")
        return fn.transpose(input, 0, 1) if input.array.ndim == 2 else input

    def reference(self, x: Any) -> Any:
        return x.T

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3)), Case(T(4)), Case(T()), Case(T(0, 2)))
        yield Case(T(2, 3, 4), error=(RuntimeError, "t: expected at most 2 dimensions, got the shape (2, 3, 4)"))


class TInPlace(Op):
    """This matrix itself takes the transposed shape; its memory stays."""

    name = "t_"
    function = False
    composite = True
    torch_name = ""

    def forward(self, input: Tensor) -> Tensor:
        if input.array.ndim > 2:
            raise RuntimeError(f"t_: expected at most 2 dimensions, got the shape {tuple(input.shape)}")
        return input.transpose_(0, 1) if input.array.ndim == 2 else input
