"""clone: a copy."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, unary_shapes
from ..graph import Node
from ..op import Op
from ..tensor import Tensor, wrap


class Clone(Op):
    """A copy in new memory; gradients flow through it."""

    name = "clone"

    def forward(self, ctx: Node, input: Tensor) -> Tensor:
        return wrap(input.array.copy(), input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return g

    def reference(self, x: Any) -> Any:
        return x

    def cases(self) -> Iterable[Case]:
        return unary_shapes()
