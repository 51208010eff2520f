"""Decay by a power: to zero at the end, or for ever slower."""
from __future__ import annotations

from ..optimizer import Optimizer
from .scheduler import LRScheduler, Rate


class PolynomialLR(LRScheduler):
    """lr = initial lr * (1 - step / total_iters)^power, and 0 from `total_iters` on."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1):
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        if self.last_epoch == 0 or self.last_epoch > self.total_iters:
            return self._scaled(1.0)
        left, before = 1.0 - self.last_epoch / self.total_iters, 1.0 - (self.last_epoch - 1) / self.total_iters
        return self._scaled((left / before) ** self.power)


class PowerLR(LRScheduler):
    """lr = initial lr / (1 + step / c)^power: half of it after `c` steps, a third after 2c, for power 1. PyTorch has none like it.

    Steps shrink so slowly that their sum grows without bound while, for a power above 1/2, the sum of their squares does not.
    Robbins and Monro, "A stochastic approximation method", Ann. Math. Statist. 22, 1951.
    """

    def __init__(self, optimizer: Optimizer, c: float, power: float = 1.0, last_epoch: int = -1):
        if not c > 0:
            raise ValueError(f"PowerLR: c must be above 0, got {c}")
        self.c, self.power = c, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        return [base / (1 + self.last_epoch / self.c) ** self.power for base in self.base_lrs]
