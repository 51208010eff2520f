"""asgd_step: one step of averaged stochastic gradient descent."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..cases import Case
from ..graph import Node
from ..op import rung
from ..tensor import Tensor
from .shared.stepping import FusedStep, States


class AsgdStep(FusedStep):
    """p = (1 - lambd eta) p - eta g; ax += mu (p - ax), which makes ax the mean of all p where mu is 1 / their number.

    g is the gradient, negated where `maximize`, plus weight_decay * p.
    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 30, 1992.
    """

    name = "asgd_step"
    arithmetic = 7

    def forward(self, ctx: Node, input: Sequence[Tensor], grad: Sequence[Tensor], ax: Sequence[Tensor], eta: float, lambd: float = 1e-4,
                mu: float = 1.0, weight_decay: float = 0.0, maximize: bool = False, master: States = None) -> None:
        self.run(input, grad, master, (ax,), eta, 1 - lambd * eta, mu, weight_decay, int(maximize))

    @rung("cpu/numpy", writes=(0, 1, 3))
    def in_numpy(self, params: Any, master: Any, grads: Any, averages: Any, eta: float, shrink: float, mu: float, weight_decay: float,
                 maximize: int) -> None:
        for p, g, ax in self.each(params, master, grads, averages):
            g = (-g if maximize else g) + weight_decay * p
            p[...] = shrink * p - eta * g
            ax[...] = p if mu == 1 else ax + mu * (p - ax)

    def reference(self, params: Any, grads: Any, averages: Any, eta: float, lambd: float = 1e-4, mu: float = 1.0,
                  weight_decay: float = 0.0, maximize: bool = False) -> Any:
        def one(p: Any, g: Any) -> Any:
            g = (-g if maximize else g) + weight_decay * p
            return p - lambd * eta * p - eta * g

        return [one(*items) for items in zip(params, grads, strict=True)]

    def cases(self) -> Iterable[Case]:
        yield from self.sample(1, 0.1, 1e-4, 0.25, 0.05, True)
        yield from self.sample(1, 0.1, 0.01)
