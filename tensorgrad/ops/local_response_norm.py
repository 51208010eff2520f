"""local_response_norm: each value divided by the energy of its neighbour channels."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.windows import Taps


class LocalResponseNorm(Op):
    """y[n, c] = x[n, c] / (k + alpha m[n, c])^beta, m the mean of x^2 over `size` channels around c (those beyond the edge count as 0).

    `input` is (N, C, *). Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", 2012.
    """

    name = "local_response_norm"
    function = method = False
    functional = True
    composite = True
    torch_name = "nn.functional.local_response_norm"

    def forward(self, input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
        shape = input.array.shape
        if len(shape) < 3:
            raise ValueError(f"local_response_norm: input must be (N, C, ...) with at least 3 dims, got shape {tuple(shape)}")
        if size < 1:
            raise ValueError(f"local_response_norm: size must be at least 1, got {size}")
        c, n = np.arange(shape[1]), shape[1]
        taps = Taps.of_ranges(n, np.maximum(c - size // 2, 0), np.minimum(c + (size - 1) // 2 + 1, n), np.full(n, 1 / size))
        squares = fn.reshape(input * input, shape[0], shape[1], math.prod(shape[2:]))
        energy = fn.reshape(fn.resample(squares, taps, None), shape)
        return input * fn.pow(energy * alpha + k, -beta)

    def reference(self, x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
        y = np.empty_like(x)
        for c in range(x.shape[1]):
            m = (x[:, max(0, c - size // 2): c + (size - 1) // 2 + 1] ** 2).sum(1) / size
            y[:, c] = x[:, c] / (k + alpha * m) ** beta
        return y

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 5, 3), 3), Case(T(1, 7, 2, 3), 4, 0.5, 0.75, 2.0), Case(T(2, 2, 3), 5, 1.0), Case(T(0, 3, 2), 2))
        yield Case(T(2, 3), 2, error=(ValueError, "local_response_norm: input must be (N, C, ...)"))
        yield Case(T(2, 3, 2), 0, error=(ValueError, "local_response_norm: size must be at least 1"), torch=False)
