"""Adam: steps scaled by running moments of the gradient."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import dtypes
from ..op import fn
from ..tensor import Tensor
from .optimizer import Optimizer, check_number, count_step


class Adam(Optimizer):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= lr m' / (sqrt(v') + eps), with m' and v' corrected for starting at 0.

    g is the gradient, negated where `maximize`, plus weight_decay * p (`decoupled_weight_decay`: p shrinks by lr * weight_decay
    instead). `amsgrad` divides by the largest v so far. ValueError names a hyperparameter out of range.
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015; Reddi et al., "On the convergence of Adam", ICLR 2018.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None, maximize: bool = False,
                 capturable: bool = False, differentiable: bool = False, fused: bool | None = None, decoupled_weight_decay: bool = False,
                 master_weights: bool = False):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
                                  "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
                                  "fused": fused, "decoupled_weight_decay": decoupled_weight_decay}, master_weights)

    def check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay"):
            check_number(self._name, name, group[name])
        for i in (0, 1):
            check_number(self._name, f"betas[{i}]", group["betas"][i], "below 1")

    def update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        def make(p: Tensor, state: dict[str, Any]) -> None:
            if "step" not in state:
                state["step"] = p.new_zeros((), dtype=dtypes.float32, device="cpu")
                state["exp_avg"], state["exp_avg_sq"] = self.zeros_like(p), self.zeros_like(p)
            if group["amsgrad"] and "max_exp_avg_sq" not in state:
                state["max_exp_avg_sq"] = self.zeros_like(p)

        def of(p: Tensor, state: dict[str, Any]) -> tuple[tuple, tuple]:
            states = state["exp_avg"], state["exp_avg_sq"], state["max_exp_avg_sq"] if group["amsgrad"] else None
            return states, (count_step(state), group["lr"], *group["betas"], group["eps"], group["weight_decay"],
                            group["decoupled_weight_decay"], group["maximize"])

        self.run(fn.adam_step, of, params, make)
