"""bilinear: y = x1^T W x2 + b for each output."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Bilinear(Op):
    """y[..., o] = sum over i, j of input1[..., i] weight[o, i, j] input2[..., j] + bias[o]."""

    name = "bilinear"
    autocast = ("widest", "widest")
    method = False
    functional = True
    composite = True

    def forward(self, input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        a, b, w = input1.array.shape, input2.array.shape, weight.array.shape
        if len(w) != 3 or not a or not b or a[:-1] != b[:-1] or a[-1] != w[1] or b[-1] != w[2]:
            raise RuntimeError(f"bilinear: input1 {tuple(a)} and input2 {tuple(b)} must be (..., in1) and (..., in2) with the same leading "
                               f"dims, for a weight (out, in1, in2) that is {tuple(w)}")
        n, (outputs, first, second) = int(np.prod(a[:-1])), w
        left = fn.matmul(input1.reshape(n, first), weight)  # (out, n, in2)
        y = fn.transpose((left * input2.reshape(n, second)).sum(-1), 0, 1)  # (n, out)
        if bias is not None:
            if bias.array.shape != (outputs,):
                raise RuntimeError(f"bilinear: bias has shape {tuple(bias.array.shape)} but weight {tuple(w)} expects ({outputs},)")
            y = y + bias
        return y.reshape(*a[:-1], outputs)

    def reference(self, x1: Any, x2: Any, w: Any, b: Any = None) -> Any:
        y = np.einsum("...i,oij,...j->...o", x1, w, x2)
        return y if b is None else y + b

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 4), T(3, 5), T(2, 4, 5), T(2)), Case(T(4), T(5), T(2, 4, 5)), Case(T(2, 3, 4), T(2, 3, 1), T(3, 4, 1), T(3)),
                    Case(T(0, 4), T(0, 5), T(2, 4, 5), T(2)))
        yield Case(T(3, 4), T(3, 5), T(2, 5, 4), error=(RuntimeError, "bilinear: input1 (3, 4) and input2 (3, 5) must be"))
        yield Case(T(3, 4), T(3, 5), T(2, 4, 5), T(3), error=(RuntimeError, "bilinear: bias has shape (3,)"))
