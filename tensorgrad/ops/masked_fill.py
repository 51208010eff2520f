"""masked_fill: one value where a mask is true."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Operand, fn
from ..pointwise import check_broadcast, number_on
from ..tensor import Tensor, wrap
from .shared.indexing import check_number
from .shared.overwrite import Overwriting


class MaskedFill(Overwriting):
    """input, with `value` (a number or a scalar tensor) where `mask` (bool) is true; the two broadcast, in place only the mask does."""

    name = "masked_fill"

    def forward(self, ctx: Node, input: Tensor, mask: Tensor, value: Operand) -> Tensor:
        x, m = input.array, mask.array
        if m.dtype != bool:
            raise RuntimeError(f"{self.name}: mask must be bool, not {mask.dtype.name}")
        number: Any = value
        if isinstance(value, Tensor):
            if value.array.ndim:
                raise RuntimeError(f"{self.name}: value must be a number or have no dimensions, it has shape {tuple(value.shape)}")
            ctx.kind, number = value.dtype, value.array
        else:
            check_number(self.name, value, "value")
        if m.shape != x.shape:
            check_broadcast(self.name, x.shape, m.shape)
            shape = np.broadcast_shapes(x.shape, m.shape)
            if self.mutates and shape != x.shape:
                raise RuntimeError(f"{self.name}: a mask of shape {tuple(m.shape)} does not broadcast to the tensor's shape "
                                   f"{tuple(x.shape)}")
        ctx.save(mask)
        ctx.shape = x.shape
        xp = input.device.backend.xp
        fill = (number if isinstance(value, Tensor) else number_on(input.device, number, x.dtype)).astype(x.dtype, copy=False)
        bits = (lambda a: a.view(np.int16)) if x.itemsize == 2 else (lambda a: a)  # array modules do not know every half precision
        if self.mutates:
            xp.copyto(bits(x), bits(fill), where=m)
            return input
        return wrap(xp.where(m, bits(fill), bits(x)).view(x.dtype), input.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        (mask,) = ctx.saved
        to_input = to_value = None
        if ctx.edges[0] is not None:
            to_input = fn.masked_fill(g, mask, 0)
            to_input = to_input if to_input.array.shape == ctx.shape else fn.sum_to_size(to_input, ctx.shape)
        if ctx.edges[2] is not None:
            to_value = fn.masked_fill(g, ~mask, 0).sum().to(ctx.kind)
        return to_input, None, to_value

    def reference(self, x: Any, mask: Any, value: Any) -> Any:
        return np.where(mask, value, x)

    def cases(self) -> Iterable[Case]:
        m = T(3, 5, dtype="bool")
        yield from (Case(T(3, 5), m, -1.5), Case(T(3, 5), T(5, dtype="bool"), T()), Case(T(3, 5), T(3, 1, dtype="bool"), 0))
        yield Case(T(), T(dtype="bool"), 1.0)
        yield from (Case(T(3, 5, grad=False), m, float("-inf")), Case(T(0, 3), T(1, 3, dtype="bool"), 2.0))
        yield Case(T(3, 5), T(3, dtype="bool"), 1.0, error=(RuntimeError, "dim 1 of the first is 5 but dim 0 of the second is 3"))
        yield Case(T(3), T(3), 1.0, error=(RuntimeError, "mask must be bool, not float32"))
        yield Case(T(3), T(3, dtype="bool"), T(3), error=(RuntimeError, "value must be a number or have no dimensions"))
