"""adadelta_step: one step of Adadelta."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case
from ..graph import Node
from ..op import rung
from ..tensor import Tensor
from .shared.stepping import FusedStep, States


class AdadeltaStep(FusedStep):
    """s = rho s + (1 - rho) g^2; u = sqrt(d + eps) / sqrt(s + eps) g; d = rho d + (1 - rho) u^2; p -= lr u.

    s is `square_avg`, d is `acc_delta`; g is the gradient, negated where `maximize`, plus weight_decay * p.
    Zeiler, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701.
    """

    name = "adadelta_step"
    arithmetic = 14

    def forward(self, ctx: Node, input: Sequence[Tensor], grad: Sequence[Tensor], square_avg: Sequence[Tensor],
                acc_delta: Sequence[Tensor], lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0,
                maximize: bool = False, master: States = None) -> None:
        self.run(input, grad, master, (square_avg, acc_delta), lr, rho, eps, weight_decay, int(maximize))

    @rung("cpu/numpy", writes=(0, 1, 3, 4))
    def in_numpy(self, params: Any, master: Any, grads: Any, squares: Any, deltas: Any, lr: float, rho: float, eps: float,
                 weight_decay: float, maximize: int) -> None:
        for p, g, s, d in self.each(params, master, grads, squares, deltas):
            g = (-g if maximize else g) + weight_decay * p
            s[...] = rho * s + (1 - rho) * g * g
            update = np.sqrt(d + eps) / np.sqrt(s + eps) * g
            d[...] = rho * d + (1 - rho) * update * update
            p -= lr * update

    def reference(self, params: Any, grads: Any, squares: Any, deltas: Any, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6,
                  weight_decay: float = 0.0, maximize: bool = False) -> Any:
        def one(p: Any, g: Any, s: Any, d: Any) -> Any:
            g = (-g if maximize else g) + weight_decay * p
            return p - lr * np.sqrt(d + eps) / np.sqrt(rho * s + (1 - rho) * g**2 + eps) * g

        return [one(*items) for items in zip(params, grads, squares, deltas, strict=True)]

    def cases(self) -> Iterable[Case]:
        yield from self.sample(2, 0.7, 0.8, 1e-3, 0.05, True)
