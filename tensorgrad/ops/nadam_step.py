"""nadam_step: one step of NAdam."""
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


class NadamStep(FusedStep):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= (of_gradient g + of_mean m) / (sqrt(v / (1 - b2^step)) + eps).

    `of_gradient` is lr (1 - mu_t) / (1 - mu_1 ... mu_t) and `of_mean` lr mu_t+1 / (1 - mu_1 ... mu_t+1), of the momenta mu of the steps,
    which the optimizer keeps. g is the gradient, negated where `maximize`. Weight decay is added to g, or, where `shrink` is not 1, p is
    multiplied by it first. `step` counts from 1. Dozat, "Incorporating Nesterov momentum into Adam", ICLR 2016 workshop, algorithm 2.
    """

    name = "nadam_step"
    arithmetic = 15

    def forward(self, ctx: Node, input: Sequence[Tensor], grad: Sequence[Tensor], exp_avg: Sequence[Tensor], exp_avg_sq: Sequence[Tensor],
                step: float, of_gradient: float, of_mean: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
                weight_decay: float = 0.0, shrink: float = 1.0, maximize: bool = False, master: States = None) -> None:
        self.run(input, grad, master, (exp_avg, exp_avg_sq), of_gradient, of_mean, math.sqrt(1 - beta2**step), beta1, beta2, eps,
                 weight_decay, shrink, int(maximize))

    @rung("cpu/numpy", writes=(0, 1, 3, 4))
    def in_numpy(self, params: Any, master: Any, grads: Any, means: Any, squares: Any, of_gradient: float, of_mean: float,
                 root_correction: float, beta1: float, beta2: float, eps: float, weight_decay: float, shrink: float, maximize: int) -> None:
        for p, g, m, v in self.each(params, master, grads, means, squares):
            g = (-g if maximize else g) + weight_decay * p
            m += (1 - beta1) * (g - m)
            v[...] = beta2 * v + (1 - beta2) * g * g
            p[...] = shrink * p - (of_gradient * g + of_mean * m) / (np.sqrt(v) / root_correction + eps)

    def reference(self, params: Any, grads: Any, means: Any, squares: Any, step: float, of_gradient: float, of_mean: float,
                  beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0, shrink: float = 1.0,
                  maximize: bool = False) -> Any:
        def one(p: Any, g: Any, m: Any, v: Any) -> Any:
            g = (-g if maximize else g) + weight_decay * p
            m = beta1 * m + (1 - beta1) * g
            v_hat = (beta2 * v + (1 - beta2) * g**2) / (1 - beta2**step)
            return shrink * p - (of_gradient * g + of_mean * m) / (np.sqrt(v_hat) + eps)

        return [one(*items) for items in zip(params, grads, means, squares, strict=True)]

    def cases(self) -> Iterable[Case]:
        yield from self.sample(2, 3.0, 0.01, 0.02, 0.9, 0.99, 1e-8, 0.1, 1.0, True)
        yield from self.sample(2, 1.0, 0.01, 0.02, 0.8, 0.99, 1e-3, 0.0, 0.9, False)
