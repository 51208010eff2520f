"""rmsprop_step: one step of RMSprop on one parameter."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import rung
from ..tensor import Tensor
from .sgd_step import FusedStep


class RmspropStep(FusedStep):
    """s = alpha s + (1 - alpha) g^2; u = g / (sqrt(s - mean^2) + eps); buf = momentum buf + u; p -= lr buf.

    Without `grad_avg` the mean gradient counts as 0, without `momentum_buffer` p -= lr u. g is the gradient, negated where
    `maximize`, plus weight_decay * p. Tieleman and Hinton, "Lecture 6.5: rmsprop", 2012; centred: Graves, arXiv:1308.0850.
    """

    name = "rmsprop_step"

    def forward(self, ctx: Node, input: Tensor, grad: Tensor, square_avg: Tensor, grad_avg: Tensor | None, momentum_buffer: Tensor | None,
                lr: float, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0, momentum: float = 0.0,
                maximize: bool = False) -> None:
        self.run(input, grad, (square_avg, grad_avg, momentum_buffer), lr, alpha, eps, weight_decay, momentum, int(maximize))

    @rung("cpu/numpy", writes=(0, 2, 3, 4))
    def in_numpy(self, p: Any, g: Any, s: Any, mean: Any, buf: Any, lr: float, alpha: float, eps: float, weight_decay: float,
                 momentum: float, maximize: int) -> None:
        g = (-g if maximize else g) + weight_decay * p
        s[...] = alpha * s + (1 - alpha) * g * g
        square = s
        if mean is not None:
            mean += (1 - alpha) * (g - mean)
            square = s - mean * mean
        update = g / (np.sqrt(square) + eps)
        if buf is not None:
            buf[...] = momentum * buf + update
            update = buf
        p -= lr * update

    def reference(self, p: Any, g: Any, s: Any, mean: Any, buf: Any, lr: float, alpha: float = 0.99, eps: float = 1e-8,
                  weight_decay: float = 0.0, momentum: float = 0.0, maximize: bool = False) -> Any:
        g = (-g if maximize else g) + weight_decay * p
        s = alpha * s + (1 - alpha) * g**2
        mean = 0.0 if mean is None else alpha * mean + (1 - alpha) * g
        update = g / (np.sqrt(s - mean**2) + eps)
        return p - lr * (update if buf is None else momentum * buf + update)

    def cases(self) -> Iterable[Case]:
        for shape in ((0,), (), (7,), (3, 5), (2, 3, 37)):
            t, s = T(*shape, grad=False), T(*shape, low=4.0, high=5.0, grad=False)
            small = T(*shape, low=-0.1, high=0.1, grad=False)
            yield Case(t, t, s, None, None, 0.1, 0.9, 1e-8, 0.1)
            yield Case(t, small, s, small, t, 0.1, 0.9, 1e-8, 0.0, 0.8, True)
