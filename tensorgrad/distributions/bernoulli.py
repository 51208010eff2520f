"""The Bernoulli distribution."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..creation import arange
from ..grad_mode import no_grad
from ..op import fn
from ..random import bernoulli
from ..tensor import Tensor
from .distribution import Distribution, broadcast


class Bernoulli(Distribution):
    """1 with probability p, else 0: give `probs` = p, or `logits` = ln(p / (1 - p))."""

    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        if (probs is None) == (logits is None):
            raise ValueError("Bernoulli: give probs or logits, not both")
        self._by_logits = logits is not None
        (self._given,) = broadcast(logits if self._by_logits else probs)
        super().__init__(self._given.shape, (), validate_args)
        if not self._by_logits:
            self.check("probs", fn.logical_and(self._given >= 0, self._given <= 1), "from 0 to 1")

    @property
    def probs(self) -> Tensor:
        """The probability of 1."""
        return self._given.sigmoid() if self._by_logits else self._given

    @property
    def logits(self) -> Tensor:
        """ln(p / (1 - p))."""
        if self._by_logits:
            return self._given
        eps = 2.0**-52 if self._given.dtype.itemsize == 8 else 2.0**-23
        p = self._given.clamp(eps, 1 - eps)
        return p.log() - (-p).log1p()

    @property
    def mean(self) -> Tensor:
        """p."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """1 for p above a half, 0 below, NaN at it."""
        p = self.probs
        return fn.where(p == 0.5, float("nan"), (p >= 0.5).to(p.dtype))

    @property
    def variance(self) -> Tensor:
        """p (1 - p)."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Zeros and ones of the dtype of the parameter."""
        with no_grad():
            return bernoulli(self.probs.expand(self._shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """x ln(p) + (1 - x) ln(1 - p)."""
        self.check("value", fn.logical_or(value == 0, value == 1), "0 or 1")
        logits, value = fn.broadcast_tensors(self.logits, value)
        return -fn.binary_cross_entropy_with_logits(logits, value.to(logits.dtype), reduction="none")

    def entropy(self) -> Tensor:
        """-p ln(p) - (1 - p) ln(1 - p)."""
        return fn.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0 and 1."""
        values = arange(2, dtype=self._given.dtype, device=self._given.device).reshape(2, *[1] * len(self.batch_shape))
        return values.expand((2, *self.batch_shape)) if expand else values

    def expand(self, batch_shape: Sequence[int]) -> Bernoulli:
        """The same, with the batch broadcast."""
        given = self._given.expand(tuple(batch_shape))
        return Bernoulli(logits=given, validate_args=False) if self._by_logits else Bernoulli(given, validate_args=False)
