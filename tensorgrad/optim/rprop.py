"""Rprop: steps that know the sign of the gradient and not its size."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..op import fn
from ..tensor import Tensor
from .optimizer import Optimizer, check_number, count_step, scalar


class Rprop(Optimizer):
    """Each element has a step of its own, at first lr: times etas[1] where the gradient kept its sign, times etas[0] where not.

    It stays within `step_sizes`; p -= sign(g) step, except where the sign changed. For full batches: noise changes signs. `maximize`
    negates the gradient. `foreach=False` steps the parameters one by one instead of in one call. ValueError names a hyperparameter out of
    range, NotImplementedError `differentiable`.
    Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm", ICNN 1993.
    """

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
                 step_sizes: tuple[float, float] = (1e-6, 50), *, capturable: bool = False, foreach: bool | None = None,
                 maximize: bool = False, differentiable: bool = False, master_weights: bool = False):
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
                                  "differentiable": differentiable, "capturable": capturable}, master_weights)

    def check(self, group: dict[str, Any]) -> None:
        check_number("Rprop", "lr", group["lr"])
        shorter, longer = group["etas"]
        if not 0 < shorter < 1 < longer:
            raise ValueError(f"Rprop: etas must be a number in (0, 1) and one above 1, got {group['etas']}")

    def update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        numbers = (*group["etas"], *group["step_sizes"], group["maximize"])

        def make(p: Tensor, state: dict[str, Any]) -> None:
            if "step" not in state:
                state["step"], state["prev"] = scalar(p), self.zeros_like(p)
                state["step_size"] = self.zeros_like(p, float(group["lr"]))

        def of(p: Tensor, state: dict[str, Any]) -> tuple[tuple, tuple]:
            count_step(state)
            return (state["prev"], state["step_size"]), numbers

        self.run(fn.rprop_step, of, params, make)
