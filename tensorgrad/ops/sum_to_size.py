"""sum_to_size: undo broadcasting by summing the dimensions it stretched."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..graph import Node
from ..op import Op, Sizes, fn
from ..tensor import Tensor, wrap


class SumToSize(Op):
    """The sum of a tensor over all dimensions along which `size` would have been broadcast to its shape."""

    name = "sum_to_size"
    autocast = ("", "float32")
    function = False

    def forward(self, ctx: Node, input: Tensor, size: Sizes) -> Tensor:
        x = input.array
        lead = x.ndim - len(size)
        if lead < 0 or any(s not in (1, n) for s, n in zip(size, x.shape[lead:], strict=True)):
            raise RuntimeError(f"sum_to_size: {tuple(size)} does not broadcast to {tuple(x.shape)}")
        dims = tuple(range(lead)) + tuple(i for i in range(lead, x.ndim) if size[i - lead] == 1 and x.shape[i] != 1)
        ctx.shape = x.shape
        y = fn.sum.op.kernel(input.device, x)(x, dims, True, x.dtype)
        return wrap(y.reshape(size), input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return g.expand(ctx.shape)

    def reference(self, x: Any, size: Any) -> Any:
        lead = x.ndim - len(size)
        dims = tuple(range(lead)) + tuple(i for i in range(lead, x.ndim) if size[i - lead] == 1)
        return x.sum(axis=dims, keepdims=True).reshape(size)

    def cost(self, input: Any, size: Any) -> tuple[float, float]:
        return float(math.prod(input.shape)), float(input.nbytes + math.prod(size) * input.dtype.itemsize)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 5), size=(3, 1)), Case(T(4, 3), size=(4, 3)), Case(T(7), size=()), Case(T(0, 3), size=(1, 3)))
        yield Case(T(2, 3), size=(2, 2), error=(RuntimeError, "sum_to_size: (2, 2)"))
