"""gemm: act(alpha (a @ b) + beta c + bias), a matrix product and what follows it as one kernel."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .. import dispatch, dtypes
from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .matmul import MATMUL, Matmul
from .shared.activation import ACTIVATIONS, check_activation
from .shared.product import check_operands

NUMBER = {name: i for i, name in enumerate(ACTIVATIONS)}


class Gemm(Op):
    """y = act(alpha (mat1 @ mat2) + beta input + bias), where `input` and `bias` broadcast to the product or are None.

    Matrices or batches of them, all of one floating dtype; `activation` is none, relu, gelu, gelu_tanh or silu. The sum is rounded once
    where one kernel does it all. With beta = 0 `input` is not looked at. This is what addmm, baddbmm, addmv and a layer with its
    activation run. It follows the rung chosen for matmul; where that rung stops at the product, the rest is done by operations.
    """

    name = "gemm"
    group = "matmul"
    function = method = False

    def forward(self, ctx: Node, mat1: Tensor, mat2: Tensor, input: Tensor | None = None, bias: Tensor | None = None, *,
                alpha: float = 1, beta: float = 1, activation: str = "none") -> Tensor:
        check_operands(self.name, mat1, mat2)
        check_activation(self.name, activation)
        for name, t in (("input", input), ("bias", bias)):
            check_addend(self.name, name, t, mat1, mat2)
        c0 = None if input is None or beta == 0 else input.array
        y = MATMUL.multiply(mat1.device, mat1.array, mat2.array, c0, None if bias is None else bias.array, float(alpha), float(beta),
                            NUMBER[activation])
        out = wrap(y, mat1.device)
        if ctx.edges is not None:
            ctx.alpha, ctx.beta, ctx.activation = alpha, beta, activation
            ctx.shapes = [None if t is None else t.array.shape for t in (mat1, mat2, input, bias)]
            if activation == "none":
                ctx.save(mat1 if ctx.edges[1] else None, mat2 if ctx.edges[0] else None)
            else:
                ctx.save(mat1, mat2, *((out,) if activation == "relu" else (input, bias)))
        return out

    kernel_for = Matmul.kernel_for
    bind = Matmul.bind

    def kernel(self, device: Any, array: Any, *info: Any) -> Callable[..., Any]:
        """The kernel of the path chosen for matmul, which is then asked for the rest as well or followed by operations."""
        key = (device, array.dtype, *info)
        picked = self.picked.get(key)
        if picked is None:
            name = dtypes.BY_NUMPY[array.dtype].name
            chosen = dispatch.choose(MATMUL, device, name, *info)
            fused = dispatch.kernels_of(device.type).get(self.name, {}).get(chosen.path)
            picked = self.picked[key] = fused.call if fused is not None else product_then_rest(chosen.for_dtype(name), device)
        return picked

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        mat1, mat2, *rest = ctx.saved
        if ctx.activation != "none":  # of all but relu what it was applied to is needed, which was not kept: once more
            known = rest[0] if ctx.activation == "relu" else fn.gemm(mat1, mat2, *rest, alpha=ctx.alpha, beta=ctx.beta)
            g = ACTIVATIONS[ctx.activation].backward(g, known)
        shapes = ctx.shapes
        dinput = fn.sum_to_size(g, shapes[2]) * ctx.beta if ctx.edges[2] else None
        dbias = fn.sum_to_size(g, shapes[3]) if ctx.edges[3] else None
        return *MATMUL.gradients(g if ctx.alpha == 1 else g * ctx.alpha, mat1, mat2, shapes, ctx.edges), dinput, dbias

    def reference(self, x: Any, y: Any, c: Any = None, bias: Any = None, alpha: float = 1, beta: float = 1,
                  activation: str = "none") -> Any:
        z = alpha * np.matmul(x, y)
        z = z + (0 if c is None or beta == 0 else beta * c) + (0 if bias is None else bias)
        return ACTIVATIONS[activation].reference(z)

    def cases(self) -> Iterable[Case]:
        a, b = T(3, 5), T(5, 2)
        yield from (Case(a, b), Case(a, b, T(2)), Case(a, b, T(3, 1), T(2), alpha=-2, beta=0.5), Case(a, b, None, T(3, 1), alpha=0.5),
                    Case(a, b, T(3, 2), beta=0), Case(T(3, 0), T(0, 2), T(3, 2), T(2), beta=3), Case(T(0, 5), b, T(2)),
                    Case(T(2, 3, 5), T(2, 5, 4), T(2, 1, 4), T(3, 4)), Case(T(2, 3, 5), b, T(2, 3, 2), T(2)), Case(T(5), b, None, T(2)),
                    Case(T(9, 1), T(1, 7), T(9, 7)), Case(T(1, 9), T(9, 7), T(7)), Case(T(33, 70), T(70, 49), T(33, 49), T(49)))
        for activation in ACTIVATIONS:
            yield Case(T(4, 3), T(3, 5), T(1, 5), T(5), alpha=0.7, beta=2, activation=activation)
        yield Case(a, b, T(3), error=(RuntimeError, "gemm: input of shape (3,) does not broadcast to the product's shape (3, 2)"))
        yield Case(a, b, None, T(2, dtype="int64"), error=(RuntimeError, "gemm: bias is int64 but the product is float32"))
        yield Case(a, b, activation="tanh", error=(ValueError, "gemm: there is no activation 'tanh'; there are none, relu, gelu"))

    def cost(self, mat1: Any, mat2: Any, input: Any = None, bias: Any = None, **options: Any) -> tuple[float, float]:
        flops, moved = MATMUL.cost(mat1, mat2)
        return flops, moved + sum(t.nbytes for t in (input, bias) if t is not None)


def check_addend(op: str, name: str, t: Tensor | None, mat1: Tensor, mat2: Tensor) -> None:
    """RuntimeError unless a tensor can be added to the product: dtype, device, shape."""
    if t is None:
        return
    x, y = mat1.array.shape, mat2.array.shape
    want = (*np.broadcast_shapes(x[:-2], y[:-2]), *x[-2:-1], *(y[-1:] if len(y) > 1 else ()))
    shape = t.array.shape
    if len(shape) > len(want) or any(s not in (1, w) for s, w in zip(shape[::-1], want[::-1], strict=False)):
        raise RuntimeError(f"{op}: {name} of shape {tuple(shape)} does not broadcast to the product's shape {tuple(want)}")
    if t.dtype is not mat1.dtype:
        raise RuntimeError(f"{op}: {name} is {t.dtype.name} but the product is {mat1.dtype.name}; convert one with .to(...)")
    if t.device is not mat1.device:
        raise RuntimeError(f"{op}: {name} is on {t.device} but the product is on {mat1.device}; move one with .to(...)")


def product_then_rest(multiply: Callable[..., Any], device: Any) -> Callable[..., Any]:
    """What a rung with an epilogue does, by a rung that has none."""
    names = list(ACTIVATIONS)

    def run(out: Any, x: Any, y: Any, c0: Any, bias: Any, alpha: float, beta: float, activation: int) -> None:
        multiply(out, x, y)
        if alpha != 1:
            out *= out.dtype.type(alpha)
        if c0 is not None:
            out += c0 if beta == 1 else c0 * out.dtype.type(beta)
        if bias is not None:
            out += bias
        if activation:
            out[...] = ACTIVATIONS[names[activation]].forward(wrap(out, device)).array

    return run
