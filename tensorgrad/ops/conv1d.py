"""conv1d: one-dimensional convolution, as a two-dimensional one of height 1."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.convolution import Ints, check_bias, check_channels, check_operands, padding_of, several


class Conv1d(Op):
    """y[n, o, p] = bias[o] + sum over c, i of weight[o, c, i] x[n, c, p stride + i dilation - padding].

    input (N, C_in, L) or (C_in, L), weight (C_out, C_in / groups, k), bias (C_out,); options as for conv2d.
    """

    name = "conv1d"
    autocast = ("lower", "lower")
    method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Ints = 1, padding: Any = 0, dilation: Ints = 1,
                groups: int = 1) -> Tensor:
        check_operands("conv1d", 1, input, weight, bias)
        x, w = input.array.shape, weight.array.shape
        check_channels("conv1d", x, w, groups)
        check_bias("conv1d", bias, w, w[0])
        step, spread = several("conv1d", "stride", stride, 1, 1), several("conv1d", "dilation", dilation, 1, 1)
        border = padding_of("conv1d", padding, w[2:], step, spread)
        span, size = (spread[0] * (w[2] - 1) + 1 if w[2] else 0), x[-1] + sum(border[0])
        if not 0 < span <= size:
            raise RuntimeError(f"conv1d: the kernel spans {span} positions (dim 2 of weight {tuple(w)}, dilation {spread[0]}) but "
                               f"the padded "
                               f"input has {size} (dim {len(x) - 1} of {tuple(x)}, padding {sum(border[0])} in all)")
        y = fn.conv2d(input.unsqueeze(-2), weight.unsqueeze(-2), bias, (1, *step), ((0, 0), border[0]), (1, *spread), groups)
        return y.squeeze(-2)

    def reference(self, x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
        s, d, k = int(np.ravel(stride)[0]), int(np.ravel(dilation)[0]), w.shape[2]
        total = d * (k - 1)
        before = total // 2 if padding == "same" else 0 if padding == "valid" else int(np.ravel(padding)[0])
        after = total - before if padding == "same" else before
        big = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(before, after)])
        length = (big.shape[-1] - total - 1) // s + 1
        y = np.zeros((*x.shape[:-2], w.shape[0], length))
        per = w.shape[0] // groups
        for o in range(w.shape[0]):
            for i in range(k):
                seen = big[..., o // per * w.shape[1] : (o // per + 1) * w.shape[1], i * d :][..., : (length - 1) * s + 1 : s]
                y[..., o, :] += np.einsum("c,...cp->...p", w[o, :, i], seen)
        return y if bias is None else y + bias[:, None]

    def cases(self) -> Iterable[Case]:
        yield from (
            Case(T(2, 3, 7), T(4, 3, 3), T(4)), Case(T(3, 7), T(4, 3, 2), padding=1, stride=2),
            Case(T(2, 4, 9), T(6, 2, 3), T(6), groups=2, dilation=2),
            Case(T(1, 3, 5), T(3, 1, 3), padding="same", groups=3), Case(T(2, 2, 5), T(2, 2, 4), padding="same"),
            Case(T(0, 2, 5), T(3, 2, 2)),
            Case(T(1, 2, 3), T(2, 2, 3), T(2)), Case(T(2, 5, 11), T(3, 5, 1), padding="valid", stride=(3,)),
        )
        x = T(2, 3, 7)
        yield Case(x, T(4, 2, 3),
                   error=(RuntimeError, "conv1d: input has 3 channels (dim 1 of (2, 3, 7)) but weight expects 2 (dim 1 of (4, 2, 3))"))
        yield Case(x, T(4, 3, 9), error=(RuntimeError, "conv1d: the kernel spans 9 positions (dim 2 of weight (4, 3, 9), dilation 1)"))
        yield Case(T(2, 3, 7, 1), T(4, 3, 3),
                   error=(RuntimeError, "conv1d: input must be (N, C, L) or (C, L), but its shape is (2, 3, 7, 1)"))
        yield Case(x, T(4, 3, 3), stride=0, error=(ValueError, "conv1d: stride must be at least 1, got 0"))
