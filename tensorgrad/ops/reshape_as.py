"""reshape_as: reshape to another tensor's shape."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class ReshapeAs(Op):
    """`input.reshape(other.shape)`."""

    name = "reshape_as"
    function = False
    composite = True

    def forward(self, input: Tensor, other: Tensor) -> Tensor:
        return fn.reshape(input, other.array.shape)

    def reference(self, x: Any, other: Any) -> Any:
        return x.reshape(other.shape)

    def cases(self) -> Iterable[Case]:
        yield Case(T(2, 6), T(3, 4))
        yield Case(T(2, 6), T(3, 5), error=(RuntimeError, "reshape: 12 elements"))
