"""The Kullback-Leibler divergence of two distributions."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..op import fn
from ..tensor import Tensor
from .bernoulli import Bernoulli
from .categorical import Categorical
from .distribution import Distribution
from .exponential import Exponential
from .independent import Independent
from .normal import Normal
from .uniform import Uniform

_FORMULAS: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}


def register_kl(type_p: type, type_q: type) -> Callable:
    """Mark a function as the divergence for two classes of distributions."""

    def mark(formula: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
        _FORMULAS[type_p, type_q] = formula
        return formula

    return mark


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p || q), the expectation under p of ln p(x) - ln q(x); NotImplementedError for a pair without a formula."""
    for (a, b), formula in _FORMULAS.items():
        if isinstance(p, a) and isinstance(q, b):
            return formula(p, q)
    raise NotImplementedError(f"kl_divergence: no formula for {type(p).__name__} and {type(q).__name__}; there are "
                              + ", ".join(f"{a.__name__} and {b.__name__}" for a, b in _FORMULAS))


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale).square()
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).square() - 1 - ratio.log())


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    a, b = p.probs, q.probs
    first = fn.where(a == 0, 0.0, a * (fn.where(a == 0, 1.0, a).log() - b.log()))
    other = fn.where(a == 1, 0.0, (1 - a) * ((1 - fn.where(a == 1, 0.0, a)).log() - (1 - b).log()))
    return first + other


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    return fn.where(p.probs == 0, 0.0, fn.where(q.probs == 0, math.inf, terms)).sum(-1)


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    inside = fn.logical_and(q.low <= p.low, q.high >= p.high)
    return fn.where(inside, ((q.high - q.low) / (p.high - p.low)).log(), math.inf)


@register_kl(Exponential, Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("kl_divergence: the two reinterpret different numbers of dimensions")
    return p._summed(kl_divergence(p.base_dist, q.base_dist))
