"""RAdam: Adam with a rectified variance, which takes the place of a warm-up."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..op import fn
from ..tensor import Tensor
from .optimizer import Optimizer, check_number, count_step, scalar


class RAdam(Optimizer):
    """Adam whose first steps are those of momentum alone, and whose later ones are scaled by how far the variance can be trusted.

    g is the gradient, negated where `maximize`, plus weight_decay * p (`decoupled_weight_decay`: p shrinks by lr * weight_decay
    instead). `foreach=False` steps the parameters one by one instead of in one call. ValueError names a hyperparameter out of range,
    NotImplementedError `differentiable`.
    Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020, algorithm 2.
    """

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, decoupled_weight_decay: bool = False, *, foreach: bool | None = None, maximize: bool = False,
                 capturable: bool = False, differentiable: bool = False, master_weights: bool = False):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
                                  "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
                                  "differentiable": differentiable}, master_weights)

    def check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay"):
            check_number("RAdam", name, group[name])
        for i in (0, 1):
            check_number("RAdam", f"betas[{i}]", group["betas"][i], "below 1")

    def update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        numbers = (float(group["lr"]), *group["betas"], group["eps"], group["weight_decay"], group["decoupled_weight_decay"],
                   group["maximize"])

        def make(p: Tensor, state: dict[str, Any]) -> None:
            if "step" not in state:
                state["step"] = scalar(p)
                state["exp_avg"], state["exp_avg_sq"] = self.zeros_like(p), self.zeros_like(p)

        def of(p: Tensor, state: dict[str, Any]) -> tuple[tuple, tuple]:
            return (state["exp_avg"], state["exp_avg_sq"]), (count_step(state), *numbers)

        self.run(fn.radam_step, of, params, make)
