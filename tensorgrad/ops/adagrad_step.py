"""adagrad_step: one step of Adagrad."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case
from ..graph import Node
from ..op import rung
from ..tensor import Tensor
from .shared.stepping import FusedStep, States


class AdagradStep(FusedStep):
    """s += g^2; p -= lr g / (sqrt(s) + eps), with g the gradient, negated where `maximize`, plus weight_decay * p.

    Duchi, Hazan and Singer, "Adaptive subgradient methods", JMLR 12, 2011.
    """

    name = "adagrad_step"
    arithmetic = 8

    def forward(self, ctx: Node, input: Sequence[Tensor], grad: Sequence[Tensor], sum: Sequence[Tensor], lr: float, eps: float = 1e-10,
                weight_decay: float = 0.0, maximize: bool = False, master: States = None) -> None:
        self.run(input, grad, master, (sum,), lr, eps, weight_decay, int(maximize))

    @rung("cpu/numpy", writes=(0, 1, 3))
    def in_numpy(self, params: Any, master: Any, grads: Any, sums: Any, lr: float, eps: float, weight_decay: float, maximize: int) -> None:
        for p, g, s in self.each(params, master, grads, sums):
            g = (-g if maximize else g) + weight_decay * p
            s += g * g
            p -= lr * g / (np.sqrt(s) + eps)

    def reference(self, params: Any, grads: Any, sums: Any, lr: float, eps: float = 1e-10, weight_decay: float = 0.0,
                  maximize: bool = False) -> Any:
        def one(p: Any, g: Any, s: Any) -> Any:
            g = (-g if maximize else g) + weight_decay * p
            return p - lr * g / (np.sqrt(s + g**2) + eps)

        return [one(*items) for items in zip(params, grads, sums, strict=True)]

    def cases(self) -> Iterable[Case]:
        yield from self.sample(1, 0.1, 1e-10, 0.05, True)
