"""lerp: between two tensors."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, Operand
from ..pointwise import check_broadcast, summed
from ..tensor import Tensor, wrap


class Lerp(Op):
    """z = input + weight (end - input): at weight 0 the input, at 1 the end. The weight is a number or a tensor."""

    name = "lerp"
    inplace = True

    def forward(self, ctx: Node, input: Tensor, end: Tensor, weight: Operand) -> Tensor:
        wide = np.dtype(np.float32) if input.array.dtype.itemsize == 2 else input.array.dtype
        w = weight.array if isinstance(weight, Tensor) else input.device.backend.scalar(np.asarray(weight, wide))
        for t in (end, weight):
            if isinstance(t, Tensor) and t.array.dtype != input.array.dtype:
                raise RuntimeError(f"lerp: all tensors must have one dtype, got {input.dtype.name} and {t.dtype.name}")
            if isinstance(t, Tensor):
                check_broadcast("lerp", input.array.shape, t.array.shape)
        ctx.kinds = [t.array.shape if isinstance(t, Tensor) else None for t in (input, end, weight)]
        ctx.save(input, end, weight if isinstance(weight, Tensor) else None)
        ctx.number = None if isinstance(weight, Tensor) else weight
        x, e, w = (a.astype(wide, copy=False) for a in (input.array, end.array, w))
        near = x + w * (e - x)
        out = np.where(np.abs(w) < 0.5, near, e - (e - x) * (1 - w))  # exact at both ends
        return wrap(out.astype(input.array.dtype, copy=False), input.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, end, w = ctx.saved
        a, b, c = ctx.kinds
        weight = ctx.number if w is None else w
        gx = summed(g * (1.0 - weight), a) if ctx.edges[0] else None
        ge = summed(g * weight, b) if ctx.edges[1] else None
        return gx, ge, summed(g * (end - x), c) if ctx.edges[2] else None

    def reference(self, x: Any, end: Any, w: Any) -> Any:
        return x + w * (end - x)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(3, 5), 0.3), Case(T(3, 5), T(5), T(3, 1)), Case(T(3), T(3), 0.9), Case(T(), T(), T()))
        yield Case(T(0), T(0), 0.5)
        yield Case(T(3), T(2), 0.5, error=(RuntimeError, "lerp: shapes (3,) and (2,) do not broadcast"))
