"""ASGD: stochastic gradient descent that also averages the parameters."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..op import fn
from ..tensor import Tensor
from .optimizer import Optimizer, check_number, count_step, scalar


class ASGD(Optimizer):
    """p = (1 - lambd eta) p - eta g with eta = lr / (1 + lambd lr step)^alpha; the mean of p since step t0 is `state[p]["ax"]`.

    g is the gradient, negated where `maximize`, plus weight_decay * p. `foreach=False` steps the parameters one by one instead of in one
    call. ValueError names a hyperparameter out of range, NotImplementedError `differentiable`.
    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 30, 1992.
    """

    own_shapes = ("step", "eta", "mu")

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6,
                 weight_decay: float = 0, foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
                 capturable: bool = False, *, master_weights: bool = False):
        super().__init__(params, {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
                                  "maximize": maximize, "differentiable": differentiable, "capturable": capturable}, master_weights)

    def check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "weight_decay"):
            check_number("ASGD", name, group[name])

    def update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        lr, lambd = float(group["lr"]), group["lambd"]

        def make(p: Tensor, state: dict[str, Any]) -> None:
            if "step" not in state:
                state["step"], state["eta"], state["mu"], state["ax"] = scalar(p), scalar(p, lr), scalar(p, 1.0), self.zeros_like(p)

        def of(p: Tensor, state: dict[str, Any]) -> tuple[tuple, tuple]:
            step, eta, mu = count_step(state), float(state["eta"].array), float(state["mu"].array)
            state["eta"].array[...] = lr / (1 + lambd * lr * step) ** group["alpha"]  # of the next step
            state["mu"].array[...] = 1 / max(1, step - group["t0"])
            return (state["ax"],), (eta, lambd, mu, group["weight_decay"], group["maximize"])

        self.run(fn.asgd_step, of, params, make)
