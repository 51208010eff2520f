"""The uniform distribution."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..creation import empty
from ..op import fn
from ..tensor import Tensor
from .distribution import Distribution, broadcast


class Uniform(Distribution):
    """1 / (high - low) for low <= x < high."""

    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None):
        self.low, self.high = broadcast(low, high)
        super().__init__(self.low.shape, (), validate_args)
        self.check("low", self.low < self.high, "below high")

    @property
    def mean(self) -> Tensor:
        """(low + high) / 2."""
        return (self.low + self.high) / 2

    @property
    def variance(self) -> Tensor:
        """(high - low)^2 / 12."""
        return (self.high - self.low).square() / 12

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """low + (high - low) * a number from [0, 1)."""
        noise = empty(self._shape(sample_shape), dtype=self.low.dtype, device=self.low.device).uniform_()
        return self.low + (self.high - self.low) * noise

    def log_prob(self, value: Tensor) -> Tensor:
        """-ln(high - low) inside; outside ValueError, or -inf without validation."""
        inside = fn.logical_and(value >= self.low, value <= self.high)
        self.check("value", inside, "from low to high")
        return fn.where(fn.logical_and(inside, value < self.high), -(self.high - self.low).log(), -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        """(x - low) / (high - low), between 0 and 1."""
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Tensor) -> Tensor:
        """low + p (high - low)."""
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        """ln(high - low)."""
        return (self.high - self.low).log()

    def expand(self, batch_shape: Sequence[int]) -> Uniform:
        """The same, with the batch broadcast."""
        return Uniform(self.low.expand(tuple(batch_shape)), self.high.expand(tuple(batch_shape)), False)
