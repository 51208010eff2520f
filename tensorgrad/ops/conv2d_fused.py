"""conv2d_fused: a convolution and what follows it in a network that no longer learns, as one kernel."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..second_order import gradients_of
from ..tensor import Tensor, wrap
from .conv2d import CONV2D
from .shared.activation import ACTIVATIONS, check_activation
from .shared.convolution import Ints, checked
from .shared.normalization import check_parameter


class Conv2dFused(Op):
    """y = act(scale (conv2d(input, weight) + bias) + shift + residual), rounded once where one kernel does it all.

    `bias`, `scale` and `shift`, (C_out,), and `residual`, of the result's shape, may be None; beside a half-precision input scale and shift
    may be float32. `activation` is gemm's, the other options are conv2d's. Batch normalisation with fixed statistics is a scale,
    weight / sqrt(var + eps), and a shift, its bias - mean scale. This follows the rung chosen for conv2d; where that rung stops at the
    convolution, the rest is done by operations.
    """

    name = "conv2d_fused"
    autocast = ("lower", "lower")
    group = "conv2d"
    function = method = False

    def forward(self, ctx: Node, input: Tensor, weight: Tensor, bias: Tensor | None = None, scale: Tensor | None = None,
                shift: Tensor | None = None, residual: Tensor | None = None, stride: Ints = 1, padding: Any = 0, dilation: Ints = 1,
                groups: int = 1, activation: str = "none") -> Tensor:
        check_activation(self.name, activation)
        x, g = checked(self.name, input, weight, bias, stride, padding, dilation, groups)
        for name, t in (("scale", scale), ("shift", shift)):
            check_parameter(self.name, name, t, (g.cout,), input)
        batched = x is input.array
        shape = g.output_shape if batched else g.output_shape[1:]
        check_parameter(self.name, "residual", residual, shape, input)
        if residual is not None and residual.dtype is not input.dtype:
            raise RuntimeError(f"conv2d_fused: residual is {residual.dtype.name} but input is {input.dtype.name}; convert one")
        xp = input.device.backend.xp
        numbers = [None if t is None else xp.ascontiguousarray(t.array) for t in (scale, shift)]
        added = None if residual is None else residual.array if batched else residual.array[None]
        y, done = CONV2D.convolve(input.device, x, weight.array, bias, g, *numbers, added, list(ACTIVATIONS).index(activation))
        out = wrap(y if batched else y[0], input.device)
        if not done:
            out = followed(out, [None if t is None else t.detach() for t in (scale, shift, residual)], activation)
        if ctx.edges is not None:
            ctx.save(input, weight, bias, scale, shift, residual)
            ctx.options, ctx.activation = (stride, padding, dilation, groups), activation
        return out

    def backward(self, ctx: Node, gy: Tensor) -> tuple:
        """By operations: training keeps the convolution's result, which this has not."""

        def formula(x: Tensor, w: Tensor, bias: Any, *after: Any) -> tuple[Tensor]:
            return (followed(fn.conv2d(x, w, bias, *ctx.options), after, ctx.activation),)

        return gradients_of(formula, ctx.saved, (gy,), [edge is not None for edge in ctx.edges])

    def reference(self, x: Any, w: Any, bias: Any = None, scale: Any = None, shift: Any = None, residual: Any = None, stride: Any = 1,
                  padding: Any = 0, dilation: Any = 1, groups: int = 1, activation: str = "none") -> Any:
        y = CONV2D.reference(x, w, bias, stride, padding, dilation, groups)
        y = y * (1 if scale is None else scale[:, None, None]) + (0 if shift is None else shift[:, None, None])
        return ACTIVATIONS[activation].reference(y + (0 if residual is None else residual))

    def cases(self) -> Iterable[Case]:
        x, w, c = T(2, 3, 5, 4), T(4, 3, 3, 3), T(4)
        yield from (
            Case(x, w), Case(x, w, c, c, T(4), activation="relu"), Case(x, w, None, c, T(4), T(2, 4, 5, 4), padding=1, activation="relu"),
            Case(T(1, 4, 7, 6), T(6, 2, 3, 2), T(6), T(6), None, T(1, 6, 3, 3), 2, 1, (2, 3), 2), Case(x, w, c, None, c, activation="silu"),
            Case(T(3, 5, 4), w, None, c, c, T(4, 3, 2), activation="gelu"), Case(T(2, 6, 5, 5), T(6, 1, 3, 3), T(6), T(6), T(6), groups=6),
            Case(T(0, 3, 5, 4), w, c, c, c, T(0, 4, 3, 2)), Case(T(2, 5, 3, 4), T(7, 5, 1, 1), None, T(7), T(7), T(2, 7, 3, 4)))
        yield Case(x, w, None, T(3), error=(RuntimeError, "conv2d_fused: scale has shape (3,) but input of shape (2, 3, 5, 4) needs (4,)"))
        yield Case(x, w, None, None, None, T(4, 3, 2), error=(RuntimeError, "conv2d_fused: residual has shape (4, 3, 2) but input of shape "
                                                                           "(2, 3, 5, 4) needs (2, 4, 3, 2)"))
        yield Case(x, T(4, 2, 3, 3), error=(RuntimeError, "conv2d_fused: input has 3 channels (dim 1 of (2, 3, 5, 4)) but weight"))
        yield Case(x, w, activation="elu", error=(ValueError, "conv2d_fused: there is no activation 'elu'"))

    def cost(self, input: Any, weight: Any, bias: Any = None, scale: Any = None, shift: Any = None, residual: Any = None,
             *options: Any, **named: Any) -> tuple[float, float]:
        named.pop("activation", None)
        flops, moved = CONV2D.cost(input, weight, bias, *options[:4], **named)
        return flops, moved + sum(t.nbytes for t in (scale, shift, residual) if t is not None)


def followed(y: Tensor, after: Sequence[Tensor | None], activation: str) -> Tensor:
    """What follows a convolution, by operations; of half precision in float32."""
    wide, (scale, shift, residual) = y.float() if y.array.dtype.itemsize == 2 else y, after
    for t, combine in ((scale, fn.mul), (shift, fn.add)):
        wide = wide if t is None else combine(wide, t.to(wide.dtype).reshape(-1, 1, 1))
    wide = wide if residual is None else wide + residual
    return ACTIVATIONS[activation].forward(wide).to(y.dtype)
