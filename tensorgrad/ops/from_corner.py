"""from_corner: zeros of a larger shape with a tensor in their first corner."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, Sizes, fn
from ..tensor import Tensor, wrap


class FromCorner(Op):
    """Zeros of `size` whose leading part in each dim is `input`: the gradient of taking that part."""

    name = "from_corner"
    function = method = False

    def forward(self, ctx: Node, input: Tensor, size: Sizes) -> Tensor:
        ctx.corner = tuple([slice(n) for n in input.array.shape])
        out = input.device.backend.xp.zeros(size, input.array.dtype)
        out[(*ctx.corner, ...)] = input.array
        return wrap(out, input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.getitem(g, ctx.corner)

    def reference(self, x: Any, size: Any) -> Any:
        return np.pad(x, [(0, m - n) for n, m in zip(x.shape, size, strict=True)]) if x.ndim else x

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3), (4, 3)), Case(T(2, 3), (2, 3)), Case(T(0, 3), (2, 5)), Case(T(), ()))
