"""local_response_norm: each value divided by the energy of its neighbour channels."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dispatch import Kernel
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap

MOST = 16  # channels of a window that a thread keeps


def in_lines(x: Any, xp: Any) -> Any:
    """As (N, C, S) without gaps."""
    return xp.ascontiguousarray(x).reshape(*x.shape[:2], math.prod(x.shape[2:]))


class LocalResponseNorm(Op):
    """y[n, c] = x[n, c] / (k + alpha m[n, c])^beta, m the mean of x^2 over `size` channels around c (those beyond the edge count as 0).

    `input` is (N, C, *). Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", 2012.
    """

    name = "local_response_norm"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    torch_name = "nn.functional.local_response_norm"
    defaults = ("cuda/v01_running_window", "cuda/v00_direct", "cpu/window")

    def forward(self, ctx: Node, input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
        x, xp = input.array, input.device.backend.xp
        if x.ndim < 3:
            raise ValueError(f"local_response_norm: input must be (N, C, ...) with at least 3 dims, got shape {tuple(x.shape)}")
        if not input.dtype.is_floating_point:
            raise RuntimeError(f"local_response_norm: input must be floating, got {input.dtype.name}")
        if size < 1:
            raise ValueError(f"local_response_norm: size must be at least 1, got {size}")
        y = xp.empty(x.shape, x.dtype)
        self.kernel(input.device, x, size <= MOST)(in_lines(y, xp), in_lines(x, xp), size, alpha, beta, k)
        ctx.options = size, alpha, beta, k
        ctx.save(input)
        return wrap(y, input.device)

    def supports(self, kernel: Kernel, short: bool = True) -> str | None:
        return f"needs a window of at most {MOST} channels" if kernel.rung == "v01_running_window" and not short else None

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.local_response_norm_backward(g, ctx.saved[0], *ctx.options)

    def reference(self, x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
        y = np.empty_like(x)
        for c in range(x.shape[1]):
            m = (x[:, max(0, c - size // 2): c + (size - 1) // 2 + 1] ** 2).sum(1) / size
            y[:, c] = x[:, c] / (k + alpha * m) ** beta
        return y

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 5, 3), 3), Case(T(1, 7, 2, 3), 4, 0.5, 0.75, 2.0), Case(T(2, 2, 3), 5, 1.0), Case(T(0, 3, 2), 2))
        yield from (Case(T(1, 19, 37), 17, 2.0), Case(T(2, 9, 5, 13), 1, 3.0, 0.5), Case(T(1, 20, 70), 16, 8.0, 1.25, 0.5))
        yield Case(T(2, 3), 2, error=(ValueError, "local_response_norm: input must be (N, C, ...)"))
        yield Case(T(2, 3, 2), 0, error=(ValueError, "local_response_norm: size must be at least 1"), torch=False)
        yield Case(T(2, 3, 2, dtype="int64"), 2, error=(RuntimeError, "local_response_norm: input must be floating"), torch=False)

    def cost(self, input: Any, size: int, *args: Any, **kwargs: Any) -> tuple[float, float]:
        n = float(np.prod(input.shape))
        return (2 * size + 3) * n, 2 * n * input.dtype.itemsize
