"""NAdam: Adam with Nesterov's momentum."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..op import fn
from ..tensor import Tensor
from .optimizer import Optimizer, check_number, count_step, scalar


class NAdam(Optimizer):
    """Adam that looks ahead: p -= lr ((1 - mu_t) g / (1 - mu_1...mu_t) + mu_t+1 m / (1 - mu_1...mu_t+1)) / (sqrt(v') + eps).

    mu_t = b1 (1 - 0.96^(t momentum_decay) / 2); m and v are Adam's moments, v' corrected for its start at 0. g is the gradient, negated
    where `maximize`, plus weight_decay * p (`decoupled_weight_decay`: p shrinks by lr * weight_decay instead). `foreach=False` steps the
    parameters one by one instead of in one call. ValueError names a hyperparameter out of range, NotImplementedError
    `differentiable`. Dozat, "Incorporating Nesterov momentum into Adam", ICLR 2016 workshop.
    """

    own_shapes = ("step", "mu_product")

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *,
                 foreach: bool | None = None, maximize: bool = False, capturable: bool = False, differentiable: bool = False,
                 master_weights: bool = False):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
                                  "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
                                  "capturable": capturable, "differentiable": differentiable}, master_weights)

    def check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay", "momentum_decay"):
            check_number("NAdam", name, group[name])
        for i in (0, 1):
            check_number("NAdam", f"betas[{i}]", group["betas"][i], "below 1")

    def update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        lr, (beta1, beta2), decay = float(group["lr"]), group["betas"], group["weight_decay"]
        decays = (0.0, 1 - lr * decay) if group["decoupled_weight_decay"] else (decay, 1.0)

        def make(p: Tensor, state: dict[str, Any]) -> None:
            if "step" not in state:
                state["step"], state["mu_product"] = scalar(p), scalar(p, 1.0)
                state["exp_avg"], state["exp_avg_sq"] = self.zeros_like(p), self.zeros_like(p)

        def of(p: Tensor, state: dict[str, Any]) -> tuple[tuple, tuple]:
            step = count_step(state)
            mu, following = (beta1 * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"])) for t in (step, step + 1))
            product = state["mu_product"].array
            product *= mu
            so_far = float(product)
            return (state["exp_avg"], state["exp_avg_sq"]), (
                step, lr * (1 - mu) / (1 - so_far), lr * following / (1 - so_far * following), beta1, beta2, group["eps"], *decays,
                group["maximize"])

        self.run(fn.nadam_step, of, params, make)
