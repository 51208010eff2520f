"""Adamax: Adam with the largest gradient, slowly forgotten, in the place of the root mean square."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..op import fn
from ..tensor import Tensor
from .optimizer import Optimizer, check_number, count_step, scalar


class Adamax(Optimizer):
    """m = b1 m + (1 - b1) g; u = max(b2 u, |g| + eps); p -= lr m / ((1 - b1^step) u).

    g is the gradient, negated where `maximize`, plus weight_decay * p. `foreach=False` steps the parameters one by one instead of in one
    call. ValueError names a hyperparameter out of range, NotImplementedError `differentiable`.
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 2.
    """

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, foreach: bool | None = None, *, maximize: bool = False, differentiable: bool = False,
                 capturable: bool = False, master_weights: bool = False):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
                                  "maximize": maximize, "differentiable": differentiable, "capturable": capturable}, master_weights)

    def check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay"):
            check_number("Adamax", name, group[name])
        for i in (0, 1):
            check_number("Adamax", f"betas[{i}]", group["betas"][i], "below 1")

    def update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        numbers = (float(group["lr"]), *group["betas"], group["eps"], group["weight_decay"], group["maximize"])

        def make(p: Tensor, state: dict[str, Any]) -> None:
            if "step" not in state:
                state["step"] = scalar(p)
                state["exp_avg"], state["exp_inf"] = self.zeros_like(p), self.zeros_like(p)

        def of(p: Tensor, state: dict[str, Any]) -> tuple[tuple, tuple]:
            return (state["exp_avg"], state["exp_inf"]), (count_step(state), *numbers)

        self.run(fn.adamax_step, of, params, make)
