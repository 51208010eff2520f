"""local_response_norm_backward: the gradient of local_response_norm in one walk through the channels."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dispatch import Kernel
from ..graph import Node
from ..op import Op, fn
from ..second_order import gradients_again
from ..tensor import Tensor, wrap
from .local_response_norm import MOST, in_lines
from .shared.windows import Taps


class LocalResponseNormBackward(Op):
    """dx[d] = g[d] s[d]^-beta - 2 alpha beta / size x[d] (the sum over windows c that hold d of g[c] x[c] s[c]^(-beta - 1)).

    s = k + alpha m is what the forward pass divides by, to the power of beta.
    """

    name = "local_response_norm_backward"
    function = method = False
    group = "local_response_norm"
    defaults = ("cuda/v01_running_window", "cuda/v00_direct", "cpu/window")

    def forward(self, ctx: Node, g: Tensor, input: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
        x, xp = input.array, input.device.backend.xp
        dx = xp.empty(x.shape, x.dtype)
        kernel = self.kernel(input.device, x, size <= MOST)
        kernel(in_lines(dx, xp), in_lines(g.array, xp), in_lines(x, xp), size, alpha, beta, k)
        ctx.options = size, alpha, beta, k
        ctx.save(g, input)
        return wrap(dx, input.device)

    def supports(self, kernel: Kernel, short: bool = True) -> str | None:
        return f"needs a window of at most {MOST} channels" if kernel.rung == "v01_running_window" and not short else None

    def backward(self, ctx: Node, u: Tensor) -> tuple:
        g, x = ctx.saved
        (dg,), (dx,) = gradients_again(lambda t: [composed(t, *ctx.options)], (x,), (g,), (True,), (u,))
        return dg, dx

    def reference(self, g: Any, x: Any, size: int, alpha: float, beta: float, k: float) -> Any:
        c = np.arange(x.shape[1])
        inside = (c - size // 2 <= c[:, None]).T & (c[:, None] <= c + (size - 1) // 2).T  # (window, channel)
        s = k + alpha / size * np.einsum("wc,nc...->nw...", inside, x * x)
        return g * s**-beta - 2 * alpha * beta / size * x * np.einsum("wc,nw...->nc...", inside, g * x * s ** (-beta - 1))

    def cases(self) -> Iterable[Case]:
        for shape, *options in (((2, 5, 3), 3, 0.5, 0.75, 1.0), ((1, 7, 2, 3), 4, 0.5, 0.75, 2.0), ((2, 2, 70), 5, 1.0, 0.5, 1.0),
                                ((0, 3, 2), 2, 1.0, 0.75, 1.0), ((1, 19, 5), 17, 8.0, 1.25, 1.0), ((1, 20, 33), 16, 8.0, 0.75, 1.0)):
            yield Case(T(*shape), T(*shape), *options)

    def cost(self, g: Any, input: Any, size: int, *args: Any) -> tuple[float, float]:
        n = float(np.prod(input.shape))
        return (3 * size + 8) * n, 3 * n * input.dtype.itemsize


def composed(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """The norm in ops."""
    c, n = np.arange(x.shape[1]), x.shape[1]
    taps = Taps.of_ranges(n, np.maximum(c - size // 2, 0), np.minimum(c + (size - 1) // 2 + 1, n), np.full(n, 1 / size))
    squares = fn.reshape(x * x, x.shape[0], n, math.prod(x.shape[2:]))
    return x * fn.pow(fn.reshape(fn.resample(squares, taps, None), x.shape) * alpha + k, -beta)
