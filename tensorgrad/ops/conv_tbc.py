"""conv_tbc: one-dimensional convolution with time first and channels last."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class ConvTbc(Op):
    """y[t, n, o] = bias[o] + sum over k, c of weight[k, c, o] x[t + k - pad, n, c]; input (T, N, C), weight (K, C, O), bias (O,)."""

    name = "conv_tbc"
    method = False
    functional = True
    composite = True
    group = "conv2d"

    def forward(self, input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
        if input.ndim != 3 or weight.ndim != 3 or tuple(bias.shape) != (weight.shape[2],):
            raise RuntimeError(f"conv_tbc: expected (T, N, C), (K, C, O) and (O,), got {tuple(input.shape)}, {tuple(weight.shape)} and "
                               f"{tuple(bias.shape)}")
        if input.shape[2] != weight.shape[1]:
            raise RuntimeError(f"conv_tbc: input has {input.shape[2]} channels (dim 2 of {tuple(input.shape)}) but weight expects "
                               f"{weight.shape[1]} (dim 1 of {tuple(weight.shape)})")
        y = fn.conv1d(fn.permute(input, (1, 2, 0)), fn.permute(weight, (2, 1, 0)), bias, 1, pad)  # (N, O, T)
        return fn.permute(y, (2, 0, 1))

    def reference(self, x: Any, w: Any, bias: Any, pad: int = 0) -> Any:
        big = np.pad(x, ((pad, pad), (0, 0), (0, 0)))
        length = len(big) - len(w) + 1
        return sum(np.einsum("tnc,co->tno", big[k: k + length], w[k]) for k in range(len(w))) + bias

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(6, 2, 3), T(3, 3, 4), T(4)), Case(T(4, 1, 2), T(2, 2, 1), T(1), 2))
        yield Case(T(6, 2, 3), T(3, 2, 4), T(4), error=(RuntimeError, "conv_tbc: input has 3 channels"))
        yield Case(T(6, 2), T(3, 2, 4), T(4), error=(RuntimeError, "conv_tbc: expected (T, N, C), (K, C, O) and (O,)"))
