"""The exponential and the Laplace distribution."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..creation import empty
from ..op import fn
from ..tensor import Tensor
from .distribution import Distribution, broadcast


class Exponential(Distribution):
    """rate exp(-rate x) for x >= 0."""

    has_rsample = True

    def __init__(self, rate: Any, validate_args: bool | None = None):
        (self.rate,) = broadcast(rate)
        super().__init__(self.rate.shape, (), validate_args)
        self.check("rate", self.rate > 0, "positive")

    @property
    def mean(self) -> Tensor:
        """1 / rate."""
        return self.rate.reciprocal()

    @property
    def mode(self) -> Tensor:
        """0."""
        return self.rate.detach() * 0

    @property
    def variance(self) -> Tensor:
        """1 / rate^2."""
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """An exponential number of rate 1, divided by the rate."""
        return empty(self._shape(sample_shape), dtype=self.rate.dtype, device=self.rate.device).exponential_() / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        """ln(rate) - rate x."""
        self.check("value", value >= 0, "non-negative")
        return self.rate.log() - self.rate * value

    def cdf(self, value: Tensor) -> Tensor:
        """1 - exp(-rate x)."""
        return 1 - (-self.rate * value).exp()

    def icdf(self, value: Tensor) -> Tensor:
        """-ln(1 - p) / rate."""
        return -(-value).log1p() / self.rate

    def entropy(self) -> Tensor:
        """1 - ln(rate)."""
        return 1 - self.rate.log()


class Laplace(Distribution):
    """exp(-|x - loc| / scale) / (2 scale)."""

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
        """2 scale^2."""
        return 2 * self.scale.square()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """The inverse of the cdf at a uniform number."""
        u = empty(self._shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device).uniform_(-0.5, 0.5)
        return self.loc - self.scale * u.sign() * (-2 * u.abs()).clamp(min=-1 + 1e-7).log1p()

    def log_prob(self, value: Tensor) -> Tensor:
        """-ln(2 scale) - |x - loc| / scale."""
        return -(2 * self.scale).log() - (value - self.loc).abs() / self.scale

    def cdf(self, value: Tensor) -> Tensor:
        """1/2 e^z below loc, 1 - 1/2 e^-z above, z = |x - loc| / scale."""
        z = (value - self.loc) / self.scale
        return fn.where(z < 0, 0.5 * (-z.abs()).exp(), 1 - 0.5 * (-z.abs()).exp())

    def icdf(self, value: Tensor) -> Tensor:
        """loc - scale sign(p - 1/2) ln(1 - 2 |p - 1/2|)."""
        term = value - 0.5
        return self.loc - self.scale * term.sign() * (-2 * term.abs()).log1p()

    def entropy(self) -> Tensor:
        """1 + ln(2 scale)."""
        return 1 + (2 * self.scale).log()
