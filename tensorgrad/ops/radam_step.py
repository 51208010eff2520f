"""radam_step: one step of RAdam."""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case
from ..graph import Node
from ..op import rung
from ..tensor import Tensor
from .shared.stepping import FusedStep, States


class RadamStep(FusedStep):
    """Adam's step times a rectification of the variance of its early steps; without its divisor in the first few.

    m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; rho_inf = 2 / (1 - b2) - 1; rho = rho_inf - 2 step b2^step / (1 - b2^step). Where
    rho > 5, p -= lr r m' sqrt(1 - b2^step) / (sqrt(v) + eps) with r^2 = (rho - 4)(rho - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho)
    and m' corrected for its start at 0; else p -= lr m'. g is the gradient, negated where `maximize`. Weight decay is added to g, or,
    where `decoupled`, shrinks p by lr * weight_decay first. `step` counts from 1.
    Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020, algorithm 2.
    """

    name = "radam_step"
    arithmetic = 13

    def forward(self, ctx: Node, input: Sequence[Tensor], grad: Sequence[Tensor], exp_avg: Sequence[Tensor], exp_avg_sq: Sequence[Tensor],
                step: float, lr: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0,
                decoupled: bool = False, maximize: bool = False, master: States = None) -> None:
        rate, limit = lr / (1 - beta1**step), 2 / (1 - beta2) - 1
        length = limit - 2 * step * beta2**step / (1 - beta2**step)
        if length > 5:
            rate *= math.sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)) * math.sqrt(1 - beta2**step)
        self.run(input, grad, master, (exp_avg, exp_avg_sq), rate, beta1, beta2, eps, 0.0 if decoupled else weight_decay,
                 1 - lr * weight_decay if decoupled else 1.0, int(length > 5), int(maximize))

    @rung("cpu/numpy", writes=(0, 1, 3, 4))
    def in_numpy(self, params: Any, master: Any, grads: Any, means: Any, squares: Any, step_size: float, beta1: float, beta2: float,
                 eps: float, weight_decay: float, shrink: float, adaptive: int, maximize: int) -> None:
        for p, g, m, v in self.each(params, master, grads, means, squares):
            g = (-g if maximize else g) + weight_decay * p
            m += (1 - beta1) * (g - m)
            v[...] = beta2 * v + (1 - beta2) * g * g
            p[...] = shrink * p - step_size * m / (np.sqrt(v) + eps if adaptive else 1)

    def reference(self, params: Any, grads: Any, means: Any, squares: Any, step: float, lr: float, beta1: float = 0.9,
                  beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0, decoupled: bool = False,
                  maximize: bool = False) -> Any:
        top = 2 / (1 - beta2) - 1
        rho = top - 2 * step * beta2**step / (1 - beta2**step)

        def one(p: Any, g: Any, m: Any, v: Any) -> Any:
            g = -g if maximize else g
            if decoupled:
                p = p * (1 - lr * weight_decay)
            else:
                g = g + weight_decay * p
            m_hat = (beta1 * m + (1 - beta1) * g) / (1 - beta1**step)
            v = beta2 * v + (1 - beta2) * g**2
            if rho <= 5:
                return p - lr * m_hat
            r = np.sqrt((rho - 4) * (rho - 2) * top / ((top - 4) * (top - 2) * rho))
            return p - lr * m_hat * r * np.sqrt(1 - beta2**step) / (np.sqrt(v) + eps)

        return [one(*items) for items in zip(params, grads, means, squares, strict=True)]

    def cases(self) -> Iterable[Case]:
        yield from self.sample(2, 3.0, 0.01, 0.9, 0.99, 1e-8, 0.1, False, True)
        yield from self.sample(2, 9.0, 0.01, 0.8, 0.99, 1e-3, 0.1, True, False)
