"""A schedule given as a function."""
from __future__ import annotations

from collections.abc import Callable, Sequence

from ..optimizer import Optimizer
from .scheduler import LRScheduler


class LambdaLR(LRScheduler):
    """lr = initial lr * lr_lambda(step); one function for all groups, or one for each."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]], last_epoch: int = -1):
        groups = len(optimizer.param_groups)
        functions = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(functions) != groups:
            raise ValueError(f"LambdaLR: {len(functions)} functions for {groups} parameter groups")
        self._function = _Functions(functions)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base * factor for base, factor in zip(self.base_lrs, self._function(self.last_epoch), strict=True)]


class _Functions:
    """Callable, so that a state dict leaves it out: functions are not stored."""

    def __init__(self, functions: list[Callable[[int], float]]):
        self.functions = functions

    def __call__(self, step: int) -> list[float]:
        return [f(step) for f in self.functions]
