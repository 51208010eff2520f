"""bias_gelu: gelu(x + bias), a layer's bias and its activation in one pass."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..pointwise import Pointwise, keep_shapes, summed
from ..second_order import gradients_of
from ..tensor import Tensor, wrap
from .gelu import check_approximate
from .shared.chains import check_alike


class BiasGelu(Pointwise):
    """y = z Phi(z) with z = input + bias; `bias` broadcasts against `input`, a row of it as a rule. `approximate` as in gelu.

    The sum is stored nowhere: backward adds again, and dbias is the sum of dinput over the rows. Both tensors have one floating dtype.
    """

    name = "bias_gelu"
    function = method = False
    functional = True

    def forward(self, ctx: Node, input: Tensor, bias: Tensor, *, approximate: str = "none") -> Tensor:
        flag = check_approximate(self.name, approximate)
        x, b = check_alike(self, {"input": input, "bias": bias})
        keep_shapes(ctx, input, bias)
        ctx.flag = flag
        ctx.save(input, bias)
        return wrap(self.kernel(input.device, x)(x, b, flag), input.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        dz = fn.bias_gelu_backward(g, *ctx.saved, ctx.flag)
        return tuple([summed(dz, shape) if need else None for shape, need in zip(ctx.shapes, ctx.needs, strict=True)])

    def reference(self, x: Any, bias: Any, approximate: str = "none") -> Any:
        return fn.gelu.op.reference(x + bias, approximate)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(5)), Case(T(3, 5), T(5), approximate="tanh"), Case(T(0, 3), T(3)), Case(T(7), T()))
        yield from (Case(T(37, 4, low=-9, high=9), T(4), approximate="tanh"), Case(T(37, 4, low=-9, high=9), T(4)))
        yield Case(T(2, 3, 8), T(3, 1))
        yield Case(T(3, 5), T(3), error=(RuntimeError, "bias_gelu: shapes (3, 5) and (3,) do not broadcast: dim 1 of the first is 5"))
        yield Case(T(3), T(3, dtype="int64"), error=(RuntimeError, "but bias is int64; convert one with .to(...)"))
        yield Case(T(3, dtype="int64"), T(3), error=(RuntimeError, "bias_gelu: needs a floating tensor, got int64"))
        yield Case(T(3), T(3), approximate="erf", error=(RuntimeError, "bias_gelu: approximate must be 'none' or 'tanh', not 'erf'"))


class BiasGeluBackward(Pointwise):
    """The gradient of bias_gelu for the sum input + bias, in one pass: g times the slope of gelu there; the flag chooses tanh."""

    name = "bias_gelu_backward"
    group = "bias_gelu"
    function = method = False

    def forward(self, ctx: Node, g: Tensor, input: Tensor, bias: Tensor, approximate: int = 0) -> Tensor:
        ctx.flag = approximate
        ctx.save(g, input, bias)
        return wrap(self.kernel(g.device, g.array)(g.array, input.array, bias.array, approximate), g.device)

    def backward(self, ctx: Node, gg: Tensor) -> tuple:
        return gradients_of(lambda g, x, b: (g * fn.gelu_backward.op.slope(x + b, ctx.flag),), ctx.saved, (gg,), ctx.needs)

    def reference(self, g: Any, x: Any, bias: Any, approximate: int = 0) -> Any:
        return fn.gelu_backward.op.reference(g, x + bias, approximate)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(3, 5), T(5)), Case(T(41), T(41, low=-5, high=5), T(41), 1), Case(T(0, 3), T(0, 3), T(3)))
