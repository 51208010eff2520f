"""clone: a copy."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T, unary_shapes
from ..graph import Node
from ..memory_format import channels_last, contiguous_format, order_of, preserve_format
from ..op import Op
from ..tensor import Tensor, wrap


class Clone(Op):
    """A copy in new memory, in row-major order unless `memory_format` says another; gradients flow through it."""

    name = "clone"

    def forward(self, ctx: Node, input: Tensor, *, memory_format: Any = None) -> Tensor:
        if memory_format is not None:
            order = order_of("clone", input.array, memory_format)
            copy = input.array.transpose(order).copy()
            return wrap(copy.transpose([order.index(d) for d in range(len(order))]), input.device)
        return wrap(input.array.copy(), input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return g

    def reference(self, x: Any, memory_format: Any = None) -> Any:
        return x

    def cases(self) -> Iterable[Case]:
        yield from unary_shapes()
        yield from (Case(T(2, 3, 4, 5), memory_format=f, torch=False) for f in (channels_last, contiguous_format, preserve_format))
