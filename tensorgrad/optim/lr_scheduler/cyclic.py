"""Cyclical learning rates: up and down between two rates, with momentum the other way round."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from ..optimizer import Optimizer
from .scheduler import LRScheduler, Rate, check_optimizer, for_each_group, set_momentum, set_rate

_SCALES: dict[str, tuple[str, Callable[[float, float], float]]] = {
    "triangular": ("cycle", lambda gamma, cycle: 1.0),
    "triangular2": ("cycle", lambda gamma, cycle: 0.5 ** (cycle - 1)),
    "exp_range": ("iterations", lambda gamma, step: gamma**step),
}


class CyclicLR(LRScheduler):
    """From base_lr linearly up to max_lr in `step_size_up` steps and down again in `step_size_down`, over and over.

    The height of a cycle is that of the first ("triangular"), half of the one before ("triangular2"), times gamma^step ("exp_range"), or
    times `scale_fn` of the cycle or of the step, as `scale_mode` ("cycle" or "iterations") says. `cycle_momentum` moves momentum (Adam:
    beta1) from max_momentum down and back. Called after each batch.
    Smith, "Cyclical learning rates for training neural networks", WACV 2017.
    """

    def __init__(self, optimizer: Optimizer, base_lr: float | Sequence[float], max_lr: float | Sequence[float], step_size_up: int = 2000,
                 step_size_down: int | None = None, mode: str = "triangular", gamma: float = 1.0,
                 scale_fn: Callable[[float], float] | None = None, scale_mode: str = "cycle", cycle_momentum: bool = True,
                 base_momentum: float | Sequence[float] = 0.8, max_momentum: float | Sequence[float] = 0.9, last_epoch: int = -1):
        check_optimizer(self, optimizer)
        if mode not in _SCALES and scale_fn is None:
            raise ValueError(f"CyclicLR: mode must be one of {', '.join(_SCALES)}, got {mode!r}; or give scale_fn")
        if scale_mode not in ("cycle", "iterations"):
            raise ValueError(f"CyclicLR: scale_mode must be 'cycle' or 'iterations', got {scale_mode!r}")
        groups = optimizer.param_groups
        base_lrs, self.max_lrs = (for_each_group("CyclicLR", groups, name, value) for name, value in (("base_lr", base_lr),
                                                                                                       ("max_lr", max_lr)))
        self.total_size = float(step_size_up + (step_size_up if step_size_down is None else step_size_down))
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        self.scale_mode = _SCALES[mode][0] if scale_fn is None else scale_mode
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
                raise ValueError("CyclicLR: the optimizer has neither momentum nor betas; pass cycle_momentum=False")
            self.base_momentums = for_each_group("CyclicLR", groups, "base_momentum", base_momentum)
            self.max_momentums = for_each_group("CyclicLR", groups, "max_momentum", max_momentum)
        if last_epoch == -1:
            for i, group in enumerate(groups):
                set_rate(group, base_lrs[i])
                if cycle_momentum:
                    set_momentum(group, self.max_momentums[i])
                    group["max_momentum"], group["base_momentum"] = self.max_momentums[i], self.base_momentums[i]
        self.base_lrs = base_lrs
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """What the height of a cycle, or of a step in it, is multiplied by."""
        return self._scale_fn_custom(x) if self._scale_fn_custom is not None else _SCALES[self.mode][1](self.gamma, x)

    def get_lr(self) -> list[Rate]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        height *= self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True):
                set_momentum(group, high - (high - low) * height)
        return [low + (high - low) * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer; of a `scale_fn` its attributes, where it is an object."""
        f = self._scale_fn_custom
        return {**super().state_dict(), "_scale_fn_custom": None if f is None or isinstance(f, FunctionType) else dict(f.__dict__)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken; the function stays that of this schedule."""
        f = self._scale_fn_custom
        super().load_state_dict(state_dict)
        self._scale_fn_custom = f
        if state_dict["_scale_fn_custom"]:
            f.__dict__.update(state_dict["_scale_fn_custom"])
