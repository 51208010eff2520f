"""The one-cycle policy: warm up, then anneal far below the start, with momentum the other way round."""
from __future__ import annotations

import math
from collections.abc import Sequence

from ..optimizer import Optimizer
from .scheduler import LRScheduler, Rate, check_optimizer, for_each_group, set_momentum


class OneCycleLR(LRScheduler):
    """From max_lr / div_factor up to max_lr for `pct_start` of `total_steps`, then down to that start / final_div_factor.

    Called after each batch; one step too many is a ValueError. `three_phase` returns to the start as slowly as it rose before
    the last descent. `cycle_momentum` moves momentum (Adam: beta1) from max_momentum to base_momentum and back.
    Smith and Topin, "Super-convergence", arXiv:1708.07120.
    """

    def __init__(self, optimizer: Optimizer, max_lr: float | Sequence[float], total_steps: int | None = None, epochs: int | None = None,
                 steps_per_epoch: int | None = None, pct_start: float = 0.3, anneal_strategy: str = "cos", cycle_momentum: bool = True,
                 base_momentum: float | Sequence[float] = 0.85, max_momentum: float | Sequence[float] = 0.95, div_factor: float = 25.0,
                 final_div_factor: float = 1e4, three_phase: bool = False, last_epoch: int = -1):
        check_optimizer(self, optimizer)
        if total_steps is None and epochs and steps_per_epoch:
            total_steps = epochs * steps_per_epoch
        if not isinstance(total_steps, int) or total_steps < 1:
            raise ValueError(f"OneCycleLR: give total_steps, or epochs and steps_per_epoch, as ints of at least 1; got "
                             f"total_steps={total_steps}, epochs={epochs}, steps_per_epoch={steps_per_epoch}")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start must lie in [0, 1], got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        self.total_steps, self.anneal_strategy, self.cycle_momentum = total_steps, anneal_strategy, cycle_momentum
        turn = pct_start * total_steps - 1
        self._ends = [turn, 2 * turn, total_steps - 1.0] if three_phase else [turn, total_steps - 1.0]
        if last_epoch == -1:
            groups = optimizer.param_groups
            points = [for_each_group("OneCycleLR", groups, name, value) for name, value in (
                ("max_lr", max_lr), ("base_momentum", base_momentum), ("max_momentum", max_momentum))]
            for group, top, low, high in zip(groups, *points, strict=True):
                group["initial_lr"] = top / div_factor
                group["max_lr"], group["min_lr"] = top, top / div_factor / final_div_factor
                if cycle_momentum:
                    if "momentum" not in group and "betas" not in group:
                        raise ValueError("OneCycleLR: the optimizer has neither momentum nor betas; pass cycle_momentum=False")
                    group["max_momentum"], group["base_momentum"] = high, low
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(f"OneCycleLR: this is step {step}, but the cycle was planned for {self.total_steps} steps")
        phase = next((i for i, end in enumerate(self._ends) if step <= end), len(self._ends) - 1)
        start = self._ends[phase - 1] if phase else 0.0
        span = self._ends[phase] - start
        done = (step - start) / span if span else 1.0
        lr_points = ["initial_lr", "max_lr", *(["initial_lr"] if len(self._ends) == 3 else []), "min_lr"]
        momentum_points = ["max_momentum", "base_momentum", "max_momentum", "max_momentum"]
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[lr_points[phase]], group[lr_points[phase + 1]], done))
            if self.cycle_momentum:
                set_momentum(group, self._between(group[momentum_points[phase]], group[momentum_points[phase + 1]], done))
        return rates

    def _between(self, start: float, end: float, done: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * done
        return end + (start - end) / 2 * (1 + math.cos(math.pi * done))
