"""rmsprop_step: one step of RMSprop."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import rung
from ..tensor import Tensor
from .shared.stepping import FusedStep, States


class RmspropStep(FusedStep):
    """s = alpha s + (1 - alpha) g^2; u = g / (sqrt(s - mean^2) + eps); buf = momentum buf + u; p -= lr buf.

    Without `grad_avg` the mean gradient counts as 0, without `momentum_buffer` p -= lr u. g is the gradient, negated where
    `maximize`, plus weight_decay * p. Tieleman and Hinton, "Lecture 6.5: rmsprop", 2012; centred: Graves, arXiv:1308.0850.
    """

    name = "rmsprop_step"
    arithmetic = 12

    def forward(self, ctx: Node, input: Sequence[Tensor], grad: Sequence[Tensor], square_avg: Sequence[Tensor], grad_avg: States,
                momentum_buffer: States, lr: float, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0,
                momentum: float = 0.0, maximize: bool = False, master: States = None) -> None:
        self.run(input, grad, master, (square_avg, grad_avg, momentum_buffer), lr, alpha, eps, weight_decay, momentum, int(maximize))

    @rung("cpu/numpy", writes=(0, 1, 3, 4, 5))
    def in_numpy(self, params: Any, master: Any, grads: Any, squares: Any, means: Any, buffers: Any, lr: float, alpha: float, eps: float,
                 weight_decay: float, momentum: float, maximize: int) -> None:
        for p, g, s, mean, buf in self.each(params, master, grads, squares, means, buffers):
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

    def reference(self, params: Any, grads: Any, squares: Any, means: Any, buffers: Any, lr: float, alpha: float = 0.99, eps: float = 1e-8,
                  weight_decay: float = 0.0, momentum: float = 0.0, maximize: bool = False) -> Any:
        def one(p: Any, g: Any, s: Any, mean: Any, buf: Any) -> Any:
            g = (-g if maximize else g) + weight_decay * p
            s = alpha * s + (1 - alpha) * g**2
            mean = 0.0 if mean is None else alpha * mean + (1 - alpha) * g
            update = g / (np.sqrt(s - mean**2) + eps)
            return p - lr * (update if buf is None else momentum * buf + update)

        none = [None] * len(params)
        return [one(*items) for items in zip(params, grads, squares, means or none, buffers or none, strict=True)]

    def cases(self) -> Iterable[Case]:
        shapes = ((0,), (), (7,), (3, 5), (2, 3, 37), (4099,))
        t, s = [T(*shape, grad=False) for shape in shapes], [T(*shape, low=4.0, high=5.0, grad=False) for shape in shapes]
        small = [T(*shape, low=-0.1, high=0.1, grad=False) for shape in shapes]
        yield Case(t, t, s, None, None, 0.1, 0.9, 1e-8, 0.1)
        yield Case(t, small, s, small, t, 0.1, 0.9, 1e-8, 0.0, 0.8, True)
