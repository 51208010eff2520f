"""Adagrad: steps divided by the root of all squared gradients so far."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import dtypes
from ..op import fn
from ..tensor import Tensor
from .optimizer import Optimizer, check_number, count_step


class Adagrad(Optimizer):
    """s += g^2; p -= lr / (1 + (step - 1) lr_decay) g / (sqrt(s) + eps), with s starting at `initial_accumulator_value`.

    g is the gradient, negated where `maximize`, plus weight_decay * p. ValueError names a hyperparameter out of range.
    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 12, 2011.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
                 initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *, maximize: bool = False,
                 differentiable: bool = False, fused: bool | None = None, master_weights: bool = False):
        super().__init__(params, {"lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
                                  "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
                                  "differentiable": differentiable, "fused": fused}, master_weights)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for p in group["params"]:
            self.state[p] = {"step": p.new_zeros((), dtype=dtypes.float32, device="cpu"),
                             "sum": self.zeros_like(p, group["initial_accumulator_value"])}

    def check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"):
            check_number("Adagrad", name, group[name])

    def update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        def make(p: Tensor, state: dict[str, Any]) -> None:
            pass  # add_param_group did

        def of(p: Tensor, state: dict[str, Any]) -> tuple[tuple, tuple]:
            lr = group["lr"] / (1 + (count_step(state) - 1) * group["lr_decay"])
            return (state["sum"],), (lr, group["eps"], group["weight_decay"], group["maximize"])

        self.run(fn.adagrad_step, of, params, make)
