"""view_as: the view in another tensor's shape."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class ViewAs(Op):
    """`input.view(other.shape)`."""

    name = "view_as"
    function = False
    composite = True
    copies = False

    def forward(self, input: Tensor, other: Tensor) -> Tensor:
        return fn.view_shape(input, other.array.shape)

    def reference(self, x: Any, other: Any) -> Any:
        return x.reshape(other.shape)

    def cases(self) -> Iterable[Case]:
        yield Case(T(2, 6), T(3, 4))
        yield Case(T(2, 6), T(3, 5), error=(RuntimeError, "view: 12 elements"))
