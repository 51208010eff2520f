"""scaled_elu: what elu, selu and celu have in common."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..pointwise import Activation, ActivationBackward
from ..tensor import Tensor


class ScaledElu(Activation):
    """y = scale x above zero, else scale alpha (e^(input_scale x) - 1): elu, selu and celu are this."""

    name = "scaled_elu"
    functional = inplace = False

    def forward(self, ctx: Node, input: Tensor, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Tensor:
        return self.apply(ctx, input, float(alpha), float(scale), float(input_scale))

    def compute(self, xp: Any, x: Any, alpha: float, scale: float, input_scale: float) -> Any:
        kind = x.dtype.type
        return xp.where(x > 0, x * kind(scale), xp.expm1(xp.minimum(x, kind(0)) * kind(input_scale)) * kind(alpha * scale))

    def reference(self, x: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
        return np.where(x > 0, scale * x, alpha * scale * np.expm1(np.minimum(x, 0) * input_scale))

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(9, low=-5, high=5), 0.7, 1.3, 0.4)


class ScaledEluBackward(ActivationBackward):
    """gx = g scale above zero, else g scale alpha input_scale e^(input_scale x)."""

    name = "scaled_elu_backward"
    group = "scaled_elu"
    sample = (0.7, 1.3, 0.4)

    def slope(self, x: Tensor, alpha: float, scale: float, input_scale: float) -> Tensor:
        return fn.where(x > 0, scale, (x.clamp(max=0.0) * input_scale).exp() * (alpha * scale * input_scale))
