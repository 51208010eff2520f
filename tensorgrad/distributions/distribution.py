"""What probability distributions have in common."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..creation import tensor
from ..grad_mode import no_grad
from ..tensor import Size, Tensor


class Distribution:
    """A batch (`batch_shape`) of distributions over values of shape `event_shape`; samples have the shape sample + batch + event.

    `validate_args` (on by default) checks parameters when it is made, and values in `log_prob`: ValueError.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = True

    def __init__(self, batch_shape: Sequence[int] = (), event_shape: Sequence[int] = (), validate_args: bool | None = None):
        self.batch_shape, self.event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions made from here on check their arguments where they are not told."""
        Distribution._validate_args = bool(value)

    def check(self, name: str, good: Tensor, what: str) -> None:
        """ValueError unless `good` everywhere."""
        if self._validate_args and not bool(good.all()):
            raise ValueError(f"{type(self).__name__}: {name} must be {what}")

    def _shape(self, sample_shape: Sequence[int]) -> tuple[int, ...]:
        return (*sample_shape, *self.batch_shape, *self.event_shape)

    @property
    def mean(self) -> Tensor:
        """The expected value."""
        raise NotImplementedError(f"{type(self).__name__} has no mean")

    @property
    def mode(self) -> Tensor:
        """The likeliest value."""
        raise NotImplementedError(f"{type(self).__name__} has no mode")

    @property
    def variance(self) -> Tensor:
        """The expected squared distance from the mean."""
        raise NotImplementedError(f"{type(self).__name__} has no variance")

    @property
    def stddev(self) -> Tensor:
        """The square root of the variance."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Random values, without gradients."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Random values as a function of the parameters, which gradients flow to."""
        raise NotImplementedError(f"{type(self).__name__} has no rsample: samples are no smooth function of the parameters; use sample()")

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability, at a value."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of values up to this one."""
        raise NotImplementedError(f"{type(self).__name__} has no cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The value up to which there is this probability."""
        raise NotImplementedError(f"{type(self).__name__} has no icdf")

    def entropy(self) -> Tensor:
        """The expected -log_prob, in nats."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy")

    def perplexity(self) -> Tensor:
        """e to the entropy."""
        return self.entropy().exp()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution."""
        raise NotImplementedError(f"{type(self).__name__} has no finite support")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_shape: {tuple(self.batch_shape)}, event_shape: {tuple(self.event_shape)})"


def broadcast(*values: Any) -> tuple[Tensor, ...]:
    """Numbers and tensors as tensors of one shape."""
    from ..op import fn

    like = next((v for v in values if isinstance(v, Tensor)), None)
    made = [v if isinstance(v, Tensor) else tensor(float(v), dtype=like.dtype, device=like.device) if like is not None else tensor(float(v))
            for v in values]
    return tuple(fn.broadcast_tensors(*made))
