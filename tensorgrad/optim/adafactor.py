"""Adafactor: Adam's second moment as the product of a row and a column, in a fraction of the memory."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import dtypes
from ..tensor import Tensor
from .optimizer import Optimizer, check_number, count_step, scalar


class Adafactor(Optimizer):
    """p -= a u / max(1, rms(u) / d) with u = g / sqrt(v), a = max(eps[1], rms(p)) min(lr, 1 / sqrt(step)).

    v = v + step^beta2_decay (g^2 - v), which a parameter of two dimensions or more keeps as the means over its rows and over its columns:
    v = row col / mean(row). Nothing below eps[0]^2 (the dtype's eps where None) is divided by. g is the gradient, negated where
    `maximize`; p shrinks by lr * weight_decay. ValueError names a hyperparameter out of range, NotImplementedError `foreach=True`.
    Shazeer and Stern, "Adafactor: adaptive learning rates with sublinear memory cost", ICML 2018, algorithms 4 and 5.
    """

    own_shapes = ("step", "row_var", "col_var", "variance")

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1e-2, beta2_decay: float = -0.8,
                 eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0, weight_decay: float = 0.0, *,
                 foreach: bool | None = None, maximize: bool = False):
        super().__init__(params, {"lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay,
                                  "foreach": foreach, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        if group["foreach"]:
            raise NotImplementedError("Adafactor: foreach=True is not supported: parameters are stepped one by one; leave it out")
        for name in ("lr", "weight_decay"):
            check_number("Adafactor", name, group[name])
        for i, value in enumerate(group["eps"]):
            if i or value is not None:
                check_number("Adafactor", f"eps[{i}]", value)
        if not group["beta2_decay"] <= 0:
            raise ValueError(f"Adafactor: beta2_decay must not be positive, got {group['beta2_decay']}")
        if not group["d"] >= 1:
            raise ValueError(f"Adafactor: d must be at least 1, got {group['d']}")

    def update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        for p in params:
            self._update(p, self.state[p], group)

    def _update(self, p: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        assert p.grad is not None
        g = -p.grad if group["maximize"] else p.grad
        if "step" not in state:
            state["step"] = scalar(p)
            if p.ndim > 1:
                state["row_var"], state["col_var"] = g.new_zeros((*g.shape[:-1], 1)), g.new_zeros((*g.shape[:-2], 1, g.shape[-1]))
            else:
                state["variance"] = g.new_zeros(g.shape)
        step, lr, (least, floor) = count_step(state), float(group["lr"]), group["eps"]
        least = dtypes.finfo(p.dtype).eps if least is None else least
        fresh = step ** group["beta2_decay"]
        rate = max(floor, _rms(p)) * min(lr, step**-0.5)
        if group["weight_decay"]:
            p.mul_(1 - lr * group["weight_decay"])
        square = g * g
        if p.ndim > 1:
            row, col = state["row_var"], state["col_var"]
            row.lerp_(square.mean(-1, keepdim=True), fresh)
            col.lerp_(square.mean(-2, keepdim=True), fresh)
            v = (row @ col) / row.mean(-2, keepdim=True).clamp(min=least)
        else:
            v = state["variance"].lerp_(square, fresh)
        u = v.clamp(min=least * least).rsqrt() * g
        p.sub_(u * (rate / max(1.0, _rms(u) / group["d"])))


def _rms(t: Tensor) -> float:
    return float((t * t).mean()) ** 0.5 if t.numel() else 0.0
