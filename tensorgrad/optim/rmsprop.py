"""RMSprop: steps divided by a running root mean square of the gradient."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import dtypes
from ..op import fn
from ..tensor import Tensor
from .optimizer import Optimizer, check_number, count_step


class RMSprop(Optimizer):
    """s = alpha s + (1 - alpha) g^2; u = g / (sqrt(s) + eps); p -= lr u, or with momentum buf = momentum buf + u; p -= lr buf.

    `centered` subtracts the squared running mean of g from s. g is the gradient, negated where `maximize`, plus
    weight_decay * p. ValueError names a hyperparameter out of range.
    Tieleman and Hinton, "Lecture 6.5: rmsprop", Coursera, 2012; centred: Graves, arXiv:1308.0850.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0,
                 momentum: float = 0, centered: bool = False, capturable: bool = False, foreach: bool | None = None,
                 maximize: bool = False, differentiable: bool = False, *, master_weights: bool = False):
        super().__init__(params, {"lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
                                  "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
                                  "differentiable": differentiable}, master_weights)

    def check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "eps", "momentum", "weight_decay", "alpha"):
            check_number("RMSprop", name, group[name])

    def update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        def make(p: Tensor, state: dict[str, Any]) -> None:
            if "step" not in state:
                state["step"] = p.new_zeros((), dtype=dtypes.float32, device="cpu")
                state["square_avg"] = self.zeros_like(p)
            if group["momentum"] > 0 and "momentum_buffer" not in state:
                state["momentum_buffer"] = self.zeros_like(p)
            if group["centered"] and "grad_avg" not in state:
                state["grad_avg"] = self.zeros_like(p)

        def of(p: Tensor, state: dict[str, Any]) -> tuple[tuple, tuple]:
            count_step(state)
            states = (state["square_avg"], state["grad_avg"] if group["centered"] else None,
                      state["momentum_buffer"] if group["momentum"] > 0 else None)
            return states, (group["lr"], group["alpha"], group["eps"], group["weight_decay"], group["momentum"], group["maximize"])

        self.run(fn.rmsprop_step, of, params, make)
