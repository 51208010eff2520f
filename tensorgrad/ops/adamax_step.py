"""adamax_step: one step of Adamax."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case
from ..graph import Node
from ..op import rung
from ..tensor import Tensor
from .shared.stepping import FusedStep, States


class AdamaxStep(FusedStep):
    """m = b1 m + (1 - b1) g; u = max(b2 u, |g| + eps); p -= lr m / ((1 - b1^step) u). `step` counts from 1.

    g is the gradient, negated where `maximize`, plus weight_decay * p. Kingma and Ba, "Adam", ICLR 2015, algorithm 2.
    """

    name = "adamax_step"
    arithmetic = 10

    def forward(self, ctx: Node, input: Sequence[Tensor], grad: Sequence[Tensor], exp_avg: Sequence[Tensor], exp_inf: Sequence[Tensor],
                step: float, lr: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0,
                maximize: bool = False, master: States = None) -> None:
        self.run(input, grad, master, (exp_avg, exp_inf), lr / (1 - beta1**step), beta1, beta2, eps, weight_decay, int(maximize))

    @rung("cpu/numpy", writes=(0, 1, 3, 4))
    def in_numpy(self, params: Any, master: Any, grads: Any, means: Any, tops: Any, step_size: float, beta1: float, beta2: float,
                 eps: float, weight_decay: float, maximize: int) -> None:
        for p, g, m, u in self.each(params, master, grads, means, tops):
            g = (-g if maximize else g) + weight_decay * p
            m += (1 - beta1) * (g - m)
            np.maximum(beta2 * u, np.abs(g) + eps, out=u)
            p -= step_size * m / u

    def reference(self, params: Any, grads: Any, means: Any, tops: Any, step: float, lr: float, beta1: float = 0.9, beta2: float = 0.999,
                  eps: float = 1e-8, weight_decay: float = 0.0, maximize: bool = False) -> Any:
        def one(p: Any, g: Any, m: Any, u: Any) -> Any:
            g = (-g if maximize else g) + weight_decay * p
            m_hat = (beta1 * m + (1 - beta1) * g) / (1 - beta1**step)
            return p - lr * m_hat / np.maximum(beta2 * u, np.abs(g) + eps)

        return [one(*items) for items in zip(params, grads, means, tops, strict=True)]

    def cases(self) -> Iterable[Case]:
        yield from self.sample(2, 3.0, 0.01, 0.9, 0.99, 1e-8, 0.1, True)
