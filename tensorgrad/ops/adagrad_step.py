"""adagrad_step: one step of Adagrad on one parameter."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case
from ..graph import Node
from ..op import rung
from ..tensor import Tensor
from .sgd_step import FusedStep


class AdagradStep(FusedStep):
    """s += g^2; p -= lr g / (sqrt(s) + eps), with g the gradient, negated where `maximize`, plus weight_decay * p.

    Duchi, Hazan and Singer, "Adaptive subgradient methods", JMLR 12, 2011.
    """

    name = "adagrad_step"

    def forward(self, ctx: Node, input: Tensor, grad: Tensor, sum: Tensor, lr: float, eps: float = 1e-10, weight_decay: float = 0.0,
                maximize: bool = False) -> None:
        self.run(input, grad, (sum,), lr, eps, weight_decay, int(maximize))

    @rung("cpu/numpy", writes=(0, 2))
    def in_numpy(self, p: Any, g: Any, s: Any, lr: float, eps: float, weight_decay: float, maximize: int) -> None:
        g = (-g if maximize else g) + weight_decay * p
        s += g * g
        p -= lr * g / (np.sqrt(s) + eps)

    def reference(self, p: Any, g: Any, s: Any, lr: float, eps: float = 1e-10, weight_decay: float = 0.0, maximize: bool = False) -> Any:
        g = (-g if maximize else g) + weight_decay * p
        return p - lr * g / (np.sqrt(s + g**2) + eps)

    def cases(self) -> Iterable[Case]:
        yield from self.sample(1, 0.1, 1e-10, 0.05, True)
