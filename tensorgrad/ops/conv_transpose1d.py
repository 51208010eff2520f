"""conv_transpose1d: the transpose of conv1d's linear map."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor
from .conv_transpose2d import transposed
from .shared.convolution import Ints


class ConvTranspose1d(Op):
    """Each input position adds weight * value to the outputs it would meet in conv1d; options as for conv_transpose2d.

    input (N, C_in, L) or (C_in, L), weight (C_in, C_out / groups, k), bias (C_out,).
    """

    name = "conv_transpose1d"
    autocast = ("lower", "lower")
    method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Ints = 1, padding: Ints = 0,
                output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1) -> Tensor:
        return transposed("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)

    def reference(self, x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
                  dilation: Any = 1) -> Any:
        images = x if x.ndim == 3 else x[None]
        n, cin, length = images.shape
        per, k = w.shape[1:]
        y = np.zeros((n, per * groups, (length - 1) * stride + dilation * (k - 1) + 1 + output_padding))
        for c in range(cin):
            first = c // (cin // groups) * per
            for i in range(k):
                at = slice(i * dilation, i * dilation + (length - 1) * stride + 1, stride)
                y[:, first : first + per, at] += np.einsum("o,np->nop", w[c, :, i], images[:, c])
        y = y[:, :, padding : y.shape[2] - padding] + (0 if bias is None else bias[:, None])
        return y if x.ndim == 3 else y[0]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 4), T(3, 4, 3), T(4)), Case(T(3, 5), T(3, 2, 4), T(2), stride=2, padding=1, output_padding=1),
                    Case(T(1, 4, 3), T(4, 1, 3), groups=2, dilation=2), Case(T(0, 3, 4), T(3, 2, 3)))
        yield Case(T(2, 3, 4), T(4, 3, 3),
                   error=(RuntimeError, "conv_transpose1d: input has 3 channels (dim 1 of (2, 3, 4)) but weight expects 4"))
