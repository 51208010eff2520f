"""Schedules given as functions."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from ..optimizer import Optimizer
from .scheduler import LRScheduler, Rate, check_optimizer, rates_of


class LambdaLR(LRScheduler):
    """lr = initial lr * lr_lambda(step); one function for all groups, or one for each.

    `state_dict` holds the attributes of functions that are objects, and None for plain ones.
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]], last_epoch: int = -1):
        check_optimizer(self, optimizer)
        groups = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"{type(self).__name__}: {len(self.lr_lambdas)} functions for {groups} parameter groups")
        for f in self.lr_lambdas:
            if not callable(f):
                raise TypeError(f"{type(self).__name__}: lr_lambda must be a function, not a {type(f).__name__}")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        return [base * f(self.last_epoch) for base, f in zip(self.base_lrs, self.lr_lambdas, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and plain functions."""
        return {**super().state_dict(),
                "lr_lambdas": [None if isinstance(f, FunctionType) else dict(getattr(f, "__dict__", {})) for f in self.lr_lambdas]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken; the functions stay those of this schedule."""
        functions = self.lr_lambdas
        super().load_state_dict(state_dict)
        self.lr_lambdas = functions
        for f, attributes in zip(functions, state_dict["lr_lambdas"], strict=True):
            if attributes:
                f.__dict__.update(attributes)


class MultiplicativeLR(LambdaLR):
    """lr is multiplied by lr_lambda(step) at each step; one function for all groups, or one for each."""

    def get_lr(self) -> list[Rate]:
        return rates_of(self.optimizer) if self._step_count == 1 and self.last_epoch == 0 else self._multiplied()

    def _multiplied(self) -> list[Rate]:
        return [group["lr"] * f(self.last_epoch) for group, f in zip(self.optimizer.param_groups, self.lr_lambdas, strict=True)]

    def restart(self) -> None:
        """Go on from the present rates with the factor of step 0."""
        self.last_epoch = 0
        self._set(self._multiplied())
