"""sgd_step: one step of stochastic gradient descent."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..cases import Case, T
from ..graph import Node
from ..op import rung
from ..tensor import Tensor
from .shared.stepping import FusedStep, States


class SgdStep(FusedStep):
    """buf = momentum buf + (1 - dampening) g (buf = g at `first`); p -= lr buf, with Nesterov p -= lr (g + momentum buf).

    g is the gradient, negated where `maximize`, plus weight_decay * p. Without a buffer p -= lr g.
    """

    name = "sgd_step"
    arithmetic = 6

    def forward(self, ctx: Node, input: Sequence[Tensor], grad: Sequence[Tensor], momentum_buffer: States, lr: float,
                momentum: float = 0.0, dampening: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False, maximize: bool = False,
                first: bool = False, master: States = None) -> None:
        self.run(input, grad, master, (momentum_buffer,), lr, momentum, dampening, weight_decay, int(nesterov), int(maximize), int(first))

    @rung("cpu/numpy", writes=(0, 1, 3))
    def in_numpy(self, params: Any, master: Any, grads: Any, buffers: Any, lr: float, momentum: float, dampening: float,
                 weight_decay: float, nesterov: int, maximize: int, first: int) -> None:
        for p, g, buf in self.each(params, master, grads, buffers):
            g = (-g if maximize else g) + weight_decay * p
            if buf is not None:
                buf[...] = g if first else momentum * buf + (1 - dampening) * g
                g = g + momentum * buf if nesterov else buf
            p -= lr * g

    def reference(self, params: Any, grads: Any, buffers: Any, lr: float, momentum: float = 0.0, dampening: float = 0.0,
                  weight_decay: float = 0.0, nesterov: bool = False, maximize: bool = False, first: bool = False) -> Any:
        def one(p: Any, g: Any, buf: Any) -> Any:
            g = (-g if maximize else g) + weight_decay * p
            if buf is None:
                return p - lr * g
            buf = g if first else momentum * buf + (1 - dampening) * g
            return p - lr * (g + momentum * buf if nesterov else buf)

        return [one(*items) for items in zip(params, grads, buffers or [None] * len(params), strict=True)]

    def cases(self) -> Iterable[Case]:
        yield from self.sample(1, 0.1, 0.9, 0.3, 0.05, False, True)
        yield from self.sample(1, 0.1, 0.9, 0.0, 0.05, True, False)
        yield from self.sample(1, 0.1, 0.9, 0.5, 0.0, False, False, True)
        yield Case([T(3, 5, grad=False)], [T(3, 5, grad=False)], None, 0.1, 0.0, 0.0, 0.01)
        yield Case([T(3, grad=False)], [T(4, grad=False)], None, 0.1,
                   error=(RuntimeError, "sgd_step: the gradient is float32 of shape (4,)"))
