"""Dimensions of the batch taken as part of the value."""
from __future__ import annotations

from collections.abc import Sequence

from ..tensor import Tensor
from .distribution import Distribution


class Independent(Distribution):
    """The last `reinterpreted_batch_ndims` dimensions of a distribution's batch as dimensions of its values: log_prob sums over them."""

    def __init__(self, base_distribution: Distribution, reinterpreted_batch_ndims: int, validate_args: bool | None = None):
        n, shape = reinterpreted_batch_ndims, base_distribution.batch_shape
        if not 0 <= n <= len(shape):
            raise ValueError(f"Independent: reinterpreted_batch_ndims is {n}, the batch of {base_distribution} has {len(shape)} dimensions")
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, n
        split = len(shape) - n
        super().__init__(shape[:split], (*shape[split:], *base_distribution.event_shape), validate_args)
        self.has_rsample = base_distribution.has_rsample

    @property
    def mean(self) -> Tensor:
        """Of each value."""
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        """Of each value."""
        return self.base_dist.mode

    @property
    def variance(self) -> Tensor:
        """Of each value."""
        return self.base_dist.variance

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Random values, without gradients."""
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Random values, with gradients."""
        return self.base_dist.rsample(sample_shape)

    def _summed(self, x: Tensor) -> Tensor:
        n = self.reinterpreted_batch_ndims
        return x.sum(list(range(-n, 0))) if n else x

    def log_prob(self, value: Tensor) -> Tensor:
        """The sum over the value's dimensions."""
        return self._summed(self.base_dist.log_prob(value))

    def entropy(self) -> Tensor:
        """The sum over the value's dimensions."""
        return self._summed(self.base_dist.entropy())
