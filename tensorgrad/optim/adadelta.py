"""Adadelta: steps in units of the parameter, from running means of gradients and of steps."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import dtypes
from ..op import fn
from ..tensor import Tensor
from .optimizer import Optimizer, check_number, count_step


class Adadelta(Optimizer):
    """s = rho s + (1 - rho) g^2; u = sqrt(d + eps) / sqrt(s + eps) g; d = rho d + (1 - rho) u^2; p -= lr u.

    g is the gradient, negated where `maximize`, plus weight_decay * p. ValueError names a hyperparameter out of range.
    Zeiler, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0,
                 foreach: bool | None = None, *, capturable: bool = False, maximize: bool = False, differentiable: bool = False,
                 master_weights: bool = False):
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
                                  "capturable": capturable, "maximize": maximize, "differentiable": differentiable}, master_weights)

    def check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay"):
            check_number("Adadelta", name, group[name])
        check_number("Adadelta", "rho", group["rho"], "at most 1")

    def update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        def make(p: Tensor, state: dict[str, Any]) -> None:
            if "step" not in state:
                state["step"] = p.new_zeros((), dtype=dtypes.float32, device="cpu")
                state["square_avg"], state["acc_delta"] = self.zeros_like(p), self.zeros_like(p)

        def of(p: Tensor, state: dict[str, Any]) -> tuple[tuple, tuple]:
            count_step(state)
            return (state["square_avg"], state["acc_delta"]), (group["lr"], group["rho"], group["eps"], group["weight_decay"],
                                                               group["maximize"])

        self.run(fn.adadelta_step, of, params, make)
