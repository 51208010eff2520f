"""repeat: copies of the tensor side by side."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, Sizes
from ..tensor import Tensor, wrap


class Repeat(Op):
    """The tensor copied `repeats[i]` times along each dim; more numbers than dims add dims in front."""

    name = "repeat"
    function = False

    def forward(self, ctx: Node, input: Tensor, repeats: Sizes) -> Tensor:
        x = input.array
        if len(repeats) < x.ndim:
            raise RuntimeError(f"repeat: {len(repeats)} numbers {tuple(repeats)} for a tensor of {x.ndim} dimensions of shape "
                               f"{tuple(x.shape)}")
        if any(r < 0 for r in repeats):
            raise RuntimeError(f"repeat: the numbers must not be negative, got {tuple(repeats)}")
        full = (1,) * (len(repeats) - x.ndim) + x.shape
        ctx.shape, ctx.full, ctx.repeats = x.shape, full, tuple(repeats)
        return wrap(input.device.backend.xp.tile(x, tuple(repeats)), input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        apart = [n for pair in zip(ctx.repeats, ctx.full, strict=True) for n in pair]  # (r0, n0, r1, n1, ...)
        if not apart:
            return g
        return g.reshape(apart).sum(tuple(range(0, len(apart), 2))).reshape(ctx.shape)

    def reference(self, x: Any, repeats: Any) -> Any:
        return np.tile(x, repeats)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3), (2, 1)), Case(T(2, 3), (3, 1, 2)), Case(T(3), (4,)), Case(T(), (2, 2)), Case(T(2, 3), (0, 2)))
        yield Case(T(), ())
        yield Case(T(2, 3), (2,), error=(RuntimeError, "repeat: 1 numbers (2,) for a tensor of 2 dimensions"))
        yield Case(T(2), (-1,), error=(RuntimeError, "repeat: the numbers must not be negative"))
