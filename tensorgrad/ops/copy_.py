"""copy_: overwrite with the values of another tensor."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..device import moved
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor


class Copy(Op):
    """Overwrite this tensor with `src`, broadcast to its shape and converted to its dtype and device. Gradients flow to `src`."""

    name = "copy_"
    function = False
    mutates = True

    def forward(self, ctx: Node, input: Tensor, src: Tensor, non_blocking: bool = False) -> None:
        x = src.array
        if src.device is not input.device:
            x = moved(x, src.device, input.device, non_blocking and input.device.type != "cpu")
        lead = len(x.shape) - len(input.array.shape)
        if lead > 0 or any(n not in (1, m) for n, m in zip(x.shape[::-1], input.array.shape[::-1], strict=False)):
            raise RuntimeError(f"copy_: a tensor of shape {tuple(src.shape)} cannot be broadcast to {tuple(input.shape)}")
        ctx.shape, ctx.kind, ctx.device = src.array.shape, src.dtype, src.device
        with np.errstate(all="ignore"):
            input.array[...] = x

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        if not ctx.edges[1]:
            return None, None
        g = fn.sum_to_size(g, ctx.shape)
        return None, g.to(device=ctx.device, dtype=ctx.kind)

    def reference(self, x: Any, src: Any) -> Any:
        return np.broadcast_to(src, x.shape)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3), T(2, 3)), Case(T(2, 3), T(3)), Case(T(2, 3), T()), Case(T(0, 3), T(3)))
        yield Case(T(4), T(4, dtype="int64", low=-3, high=3))
        yield Case(T(2), T(3), error=(RuntimeError, "copy_: a tensor of shape (3,) cannot be broadcast to (2,)"))
