"""The normal distribution."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..creation import empty
from ..tensor import Tensor
from .distribution import Distribution, broadcast


class Normal(Distribution):
    """exp(-((x - loc) / scale)^2 / 2) / (scale sqrt(2 pi)): mean `loc`, standard deviation `scale` > 0."""

    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        self.loc, self.scale = broadcast(loc, scale)
        super().__init__(self.loc.shape, (), validate_args)
        self.check("scale", self.scale > 0, "positive")

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """scale^2."""
        return self.scale.square()

    @property
    def stddev(self) -> Tensor:
        """`scale`."""
        return self.scale

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """loc + scale * a standard normal number."""
        noise = empty(self._shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device).normal_()
        return self.loc + self.scale * noise

    def log_prob(self, value: Tensor) -> Tensor:
        """-((x - loc) / scale)^2 / 2 - ln(scale) - ln(2 pi) / 2."""
        return -((value - self.loc) / self.scale).square() / 2 - self.scale.log() - math.log(2 * math.pi) / 2

    def cdf(self, value: Tensor) -> Tensor:
        """(1 + erf((x - loc) / (scale sqrt(2)))) / 2."""
        return 0.5 * (1 + ((value - self.loc) / (self.scale * math.sqrt(2))).erf())

    def icdf(self, value: Tensor) -> Tensor:
        """loc + scale sqrt(2) erfinv(2 p - 1)."""
        return self.loc + self.scale * math.sqrt(2) * (2 * value - 1).erfinv()

    def entropy(self) -> Tensor:
        """(1 + ln(2 pi)) / 2 + ln(scale)."""
        return 0.5 + 0.5 * math.log(2 * math.pi) + self.scale.log()

    def expand(self, batch_shape: Sequence[int]) -> Normal:
        """The same, with the batch broadcast."""
        return Normal(self.loc.expand(tuple(batch_shape)), self.scale.expand(tuple(batch_shape)), False)
