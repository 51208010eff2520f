"""The categorical distribution."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..creation import arange
from ..grad_mode import no_grad
from ..op import fn
from ..random import multinomial
from ..tensor import Tensor
from .distribution import Distribution


class Categorical(Distribution):
    """Class k of K with a probability in proportion to `probs[..., k]`, or to e^logits[..., k]; the values are int64."""

    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        if (probs is None) == (logits is None):
            raise ValueError("Categorical: give probs or logits, not both")
        given = logits if probs is None else probs
        if not isinstance(given, Tensor) or given.ndim < 1:
            raise ValueError("Categorical: probs and logits must be tensors of at least one dimension")
        super().__init__(given.shape[:-1], (), validate_args)
        self._num_events = given.shape[-1]
        self._probs: Tensor | None = None
        self._logits: Tensor | None = None
        if probs is not None:
            self.check("probs", probs >= 0, "non-negative")
            self._probs = probs / probs.sum(-1, True)
        else:
            self._logits = given - given.logsumexp(-1, True)

    @property
    def probs(self) -> Tensor:
        """The probabilities, of sum 1."""
        return self._probs if self._probs is not None else self.logits.softmax(-1)

    @property
    def logits(self) -> Tensor:
        """The logarithms of the probabilities."""
        if self._logits is not None:
            return self._logits
        eps = 2.0**-52 if self.probs.dtype.itemsize == 8 else 2.0**-23
        return self.probs.clamp(eps, 1 - eps).log()

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter."""
        return (self._probs if self._probs is not None else self.logits).shape

    @property
    def mean(self) -> Tensor:
        """NaN: classes have no order."""
        return self.probs.new_full(tuple(self.batch_shape), float("nan"))

    @property
    def variance(self) -> Tensor:
        """NaN: classes have no distance."""
        return self.probs.new_full(tuple(self.batch_shape), float("nan"))

    @property
    def mode(self) -> Tensor:
        """The likeliest class."""
        return self.probs.argmax(-1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Classes as int64."""
        with no_grad():
            count = 1
            for n in sample_shape:
                count *= n
            rows = self.probs.reshape(-1, self._num_events)  # (batch, K)
            drawn: Tensor = multinomial(rows, count, True) if count else rows.new_zeros((rows.shape[0], 0)).long()
            return drawn.t().reshape(self._shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """ln p of the class."""
        index = value.long()
        self.check("value", fn.logical_and(fn.logical_and(index >= 0, index < self._num_events), index == value),
                   f"a class, 0 to {self._num_events - 1}")
        index, logits = fn.broadcast_tensors(index.unsqueeze(-1), self.logits)
        return logits.gather(-1, index[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        """-sum of p ln(p)."""
        logits = self.logits.clamp(min=-3.4e38)
        return -(logits * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0, 1, ..., K - 1."""
        values = arange(self._num_events, device=self.probs.device).reshape(-1, *[1] * len(self.batch_shape))
        return values.expand((self._num_events, *self.batch_shape)) if expand else values

    def expand(self, batch_shape: Sequence[int]) -> Categorical:
        """The same, with the batch broadcast."""
        return Categorical(logits=self.logits.expand((*batch_shape, self._num_events)), validate_args=False)
