"""linear_activation: act(x @ w.T + b), a layer and its activation as one kernel."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..grad_mode import is_grad_enabled
from ..op import Op, fn
from ..tensor import Tensor
from .shared.activation import ACTIVATIONS, check_activation


class LinearActivation(Op):
    """y = act(input @ weight.T + bias) with weight (out, in), bias (out,) and an activation of gemm's.

    Where a gradient will be asked for, only relu is part of the kernel: the derivatives of the others need the sum before the
    activation, and computing it again would cost more than storing it.
    """

    name = "linear_activation"
    autocast = ("lower", "lower")
    composite = True
    function = method = False

    def forward(self, input: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none") -> Tensor:
        check_activation(self.name, activation)
        recorded = is_grad_enabled() and any(t is not None and t.requires_grad for t in (input, weight, bias))
        if recorded and activation not in ("none", "relu"):
            return ACTIVATIONS[activation].forward(fn.linear(input, weight, bias))
        return fn.gemm(input, fn.transpose(weight, 0, 1), None, bias, activation=activation)

    def reference(self, x: Any, w: Any, b: Any = None, activation: str = "none") -> Any:
        return ACTIVATIONS[activation].reference(np.matmul(x, w.T) + (0 if b is None else b))

    def cases(self) -> Iterable[Case]:
        for activation in ACTIVATIONS:
            yield Case(T(4, 3), T(5, 3), T(5), activation)
            yield Case(T(2, 4, 3, grad=False), T(5, 3, grad=False), T(5, grad=False), activation)
        yield from (Case(T(3), T(5, 3), None, "relu"), Case(T(0, 3), T(5, 3), T(5), "relu"), Case(T(3, 0), T(2, 0), T(2), "relu"))
        yield Case(T(4, 3), T(5, 2), T(5), "relu", error=(RuntimeError, "gemm: dim 1 of (4, 3) is 3 but dim 0 of (2, 5) is 2"))
        yield Case(T(4, 3), T(5, 3), T(5), "elu", error=(ValueError, "linear_activation: there is no activation 'elu'"))
