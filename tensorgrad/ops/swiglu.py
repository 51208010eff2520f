"""swiglu: silu(a) b, the gate of many Transformers."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..pointwise import Pointwise, keep_shapes, summed
from ..second_order import gradients_of
from ..tensor import Tensor, wrap
from .shared.chains import check_alike


class Swiglu(Pointwise):
    """y = silu(input) * other in one pass, with silu(a) = a / (1 + e^-a); the tensors broadcast and have one floating dtype.

    Shazeer, "GLU variants improve Transformer", 2020, without the products before it.
    """

    name = "swiglu"
    function = method = False
    functional = True

    def forward(self, ctx: Node, input: Tensor, other: Tensor) -> Tensor:
        a, b = check_alike(self, {"input": input, "other": other})
        keep_shapes(ctx, input, other)
        ctx.save(input, other)
        return wrap(self.kernel(input.device, a)(a, b), input.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        made = fn.swiglu_backward(g, *ctx.saved)
        return tuple([summed(d, shape) if need else None for d, shape, need in zip(made, ctx.shapes, ctx.needs, strict=True)])

    def reference(self, a: Any, b: Any) -> Any:
        with np.errstate(all="ignore"):
            return a / (1 + np.exp(-a)) * b

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(3, 5)), Case(T(7), T(7)), Case(T(), T()), Case(T(0, 3), T(0, 3)), Case(T(2, 3, 4), T(3, 1)))
        yield from (Case(T(4, 1), T(1, 3)), Case(T(41, low=-60, high=60), T(41)))
        yield Case(T(3, 5), T(3), error=(RuntimeError, "swiglu: shapes (3, 5) and (3,) do not broadcast: dim 1 of the first is 5"))
        yield Case(T(3), T(3, dtype="int64"), error=(RuntimeError, "but other is int64; convert one with .to(...)"))
        yield Case(T(3, dtype="int64"), T(3), error=(RuntimeError, "swiglu: needs a floating tensor, got int64"))


class SwigluBackward(Op):
    """Both gradients of swiglu in one pass: da = g b s (1 + a (1 - s)) and db = g a s, with s = sigmoid(a), in the result's shape."""

    name = "swiglu_backward"
    group = "swiglu"
    function = method = False
    defaults = ("cuda/vectorized", "cpu/simd")

    def forward(self, ctx: Node, g: Tensor, input: Tensor, other: Tensor) -> tuple:
        ctx.save(g, input, other)
        xp, shape = g.device.backend.xp, np.broadcast_shapes(g.array.shape, input.array.shape, other.array.shape)
        made = xp.empty(shape, g.array.dtype), xp.empty(shape, g.array.dtype)
        self.kernel(g.device, g.array)(*made, g.array, input.array, other.array)
        return tuple([wrap(d, g.device) for d in made])

    def backward(self, ctx: Node, *gradients: Tensor) -> tuple:
        def formula(g: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            return g * b * fn.silu_backward.op.slope(a), g * fn.silu(a)

        return gradients_of(formula, ctx.saved, gradients, ctx.needs)

    def reference(self, g: Any, a: Any, b: Any) -> Any:
        with np.errstate(all="ignore"):
            s = 1 / (1 + np.exp(-a))
        return g * b * (s * (1 + a * (1 - s))), g * (a * s)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(3, 5), T(3, 5)), Case(T(7), T(7), T(7)), Case(T(0, 3), T(0, 3), T(0, 3)))
        yield from (Case(T(2, 3, 4), T(2, 3, 4), T(3, 1)), Case(T(41), T(41, low=-30, high=30), T(41)))

    def cost(self, g: Any, input: Any, other: Any) -> tuple[float, float]:
        return 8.0 * math.prod(g.shape), float(3 * g.nbytes + input.nbytes + other.nbytes)
