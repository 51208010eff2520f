"""Stochastic gradient descent with momentum."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..op import fn
from ..tensor import Tensor
from .optimizer import Optimizer, check_number


class SGD(Optimizer):
    """buf = momentum buf + (1 - dampening) g (buf = g at first); p -= lr buf, with `nesterov` p -= lr (g + momentum buf).

    g is the gradient, negated where `maximize`, plus weight_decay * p. ValueError names a hyperparameter out of range.
    Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0, dampening: float = 0, weight_decay: float = 0,
                 nesterov: bool = False, *, maximize: bool = False, foreach: bool | None = None, differentiable: bool = False,
                 fused: bool | None = None, master_weights: bool = False):
        super().__init__(params, {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
                                  "nesterov": nesterov, "maximize": maximize, "foreach": foreach, "differentiable": differentiable,
                                  "fused": fused}, master_weights)

    def check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            check_number("SGD", name, group[name])
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(f"SGD: nesterov needs a momentum above 0 and no dampening, got momentum={group['momentum']}, "
                             f"dampening={group['dampening']}")

    def update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        def make(p: Tensor, state: dict[str, Any]) -> None:
            if group["momentum"] and not group["dampening"] and "momentum_buffer" not in state:
                state["momentum_buffer"] = self.zeros_like(p)  # with dampening the first step is unlike the others

        fixed = (group["lr"], group["momentum"], group["dampening"], group["weight_decay"], group["nesterov"], group["maximize"])
        plain = (None,), (*fixed, False)

        def of(p: Tensor, state: dict[str, Any]) -> tuple[tuple, tuple]:
            if not group["momentum"]:
                return plain
            first = "momentum_buffer" not in state
            if first:
                state["momentum_buffer"] = self.zeros_like(p)
            return (state["momentum_buffer"],), (*fixed, first)

        self.run(fn.sgd_step, of, params, make)
