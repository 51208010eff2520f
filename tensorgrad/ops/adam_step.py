"""adam_step: one step of Adam or AdamW."""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import rung
from ..tensor import Tensor
from .shared.stepping import FusedStep, States


class AdamStep(FusedStep):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= lr m' / (sqrt(v') + eps), m' and v' corrected for their start at 0.

    g is the gradient, negated where `maximize`. Weight decay is added to g, or, where `decoupled`, shrinks p by lr * weight_decay
    first (AdamW). With `max_exp_avg_sq` the largest v so far takes the place of v (AMSGrad). `step` counts from 1.
    Kingma and Ba, "Adam", ICLR 2015; Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """

    name = "adam_step"
    arithmetic = 14

    def forward(self, ctx: Node, input: Sequence[Tensor], grad: Sequence[Tensor], exp_avg: Sequence[Tensor], exp_avg_sq: Sequence[Tensor],
                max_exp_avg_sq: States, step: float, lr: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
                weight_decay: float = 0.0, decoupled: bool = False, maximize: bool = False, master: States = None) -> None:
        self.run(input, grad, master, (exp_avg, exp_avg_sq, max_exp_avg_sq), lr / (1 - beta1**step), math.sqrt(1 - beta2**step), beta1,
                 beta2, eps, 0.0 if decoupled else weight_decay, 1 - lr * weight_decay if decoupled else 1.0, int(maximize))

    @rung("cpu/numpy", writes=(0, 1, 3, 4, 5))
    def in_numpy(self, params: Any, master: Any, grads: Any, means: Any, squares: Any, tops: Any, step_size: float,
                 root_correction: float, beta1: float, beta2: float, eps: float, weight_decay: float, shrink: float, maximize: int) -> None:
        for p, g, m, v, top in self.each(params, master, grads, means, squares, tops):
            g = (-g if maximize else g) + weight_decay * p
            m += (1 - beta1) * (g - m)
            v[...] = beta2 * v + (1 - beta2) * g * g
            if top is not None:
                np.maximum(top, v, out=top)
            p[...] = shrink * p - step_size * m / (np.sqrt(v if top is None else top) / root_correction + eps)

    def reference(self, params: Any, grads: Any, means: Any, squares: Any, tops: Any, step: float, lr: float, beta1: float = 0.9,
                  beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0, decoupled: bool = False,
                  maximize: bool = False) -> Any:
        def one(p: Any, g: Any, m: Any, v: Any, top: Any) -> Any:
            g = -g if maximize else g
            if decoupled:
                p = p - lr * weight_decay * p
            else:
                g = g + weight_decay * p
            m_hat = (beta1 * m + (1 - beta1) * g) / (1 - beta1**step)
            v = beta2 * v + (1 - beta2) * g**2
            v_hat = (v if top is None else np.maximum(top, v)) / (1 - beta2**step)
            return p - lr * m_hat / (np.sqrt(v_hat) + eps)

        return [one(*items) for items in zip(params, grads, means, squares, tops or [None] * len(params), strict=True)]

    def cases(self) -> Iterable[Case]:
        yield from self.sample(3, 3.0, 0.01, 0.9, 0.99, 1e-8, 0.1, False, True)
        yield from self.sample(3, 1.0, 0.01, 0.8, 0.99, 1e-3, 0.1, True, False)
        t = [T(3, 5, grad=False)]
        yield Case(t, t, t, [T(3, 5, low=0.1, grad=False)], None, 7.0, 0.1)
        yield Case(t, [T(5, 3, grad=False)], t, t, None, 1.0, 0.1,
                   error=(RuntimeError, "adam_step: the gradient is float32 of shape (5, 3)"))
