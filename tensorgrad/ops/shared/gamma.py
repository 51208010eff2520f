"""The gamma function's logarithm and its derivatives, element by element over any array module.

Arguments are moved up to 15 and more by the recurrence, where the asymptotic series is exact to the last digits of float64
(Abramowitz and Stegun, 6.1.41, 6.3.18, 6.4.11); negative ones are reflected.
"""
from __future__ import annotations

import math
from typing import Any

import numpy as np

BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)  # B_2, B_4, ...
STEPS = 15


def lgamma(xp: Any, x: Any) -> Any:
    """ln |Gamma(x)|; infinite at 0, -1, -2, ..."""
    wide = x.astype(np.float64)
    below = wide < 0.5
    z = xp.where(below, 1 - wide, wide)
    product, up = xp.ones_like(z), z
    for _ in range(STEPS):
        small = up < STEPS
        product = xp.where(small, product * up, product)
        up = xp.where(small, up + 1, up)
    inverse = 1 / up
    series, power = xp.zeros_like(up), inverse
    for k, b in enumerate(BERNOULLI, 1):
        series = series + b / (2 * k * (2 * k - 1)) * power
        power = power * inverse * inverse
    y = (up - 0.5) * xp.log(up) - up + 0.5 * math.log(2 * math.pi) + series - xp.log(product)
    y = xp.where(xp.isposinf(z), z, y)
    turn = xp.abs(xp.sin(math.pi * (wide - xp.floor(wide))))
    y = xp.where(below, math.log(math.pi) - xp.log(turn) - y, y)
    y = xp.where(below & (wide == xp.floor(wide)), math.inf, y)
    return y.astype(x.dtype)


def polygamma(xp: Any, n: int, x: Any) -> Any:
    """The n-th derivative of digamma for n > 0: (-1)^(n+1) n! times the sum over k >= 0 of 1 / (x + k)^(n+1)."""
    wide = x.astype(np.float64)
    below = wide < 0.5
    up, total = xp.where(below, wide - xp.floor(wide) + 1, wide), xp.zeros_like(wide)
    first = xp.floor(wide) - 1  # of a negative argument: the terms up to there are added one by one
    for k in range(max(0, int(-xp.where(below & xp.isfinite(wide), first, 0).min())) if wide.size else 0):
        total = total + xp.where(below & (wide + k < up), 1 / (wide + k) ** (n + 1), 0.0)
    for _ in range(STEPS + n):
        small = up < STEPS + n
        total = xp.where(small, total + 1 / up ** (n + 1), total)
        up = xp.where(small, up + 1, up)
    tail = up ** (-n) / n + 0.5 * up ** (-n - 1)
    for k, b in enumerate(BERNOULLI, 1):
        tail = tail + b * math.prod(range(n + 1, n + 2 * k)) / math.factorial(2 * k) * up ** (-n - 2 * k)
    return ((-1) ** (n + 1) * math.factorial(n) * (total + tail)).astype(x.dtype)


def digamma(xp: Any, x: Any) -> Any:
    """The derivative of ln Gamma(x); NaN at -1, -2, ..., infinite at 0 with the sign of that zero's opposite."""
    wide = x.astype(np.float64)
    below = wide < 0.5
    up = xp.where(below, 1 - wide, wide)
    total = xp.zeros_like(up)
    for _ in range(STEPS):
        small = up < STEPS
        total = xp.where(small, total - 1 / up, total)
        up = xp.where(small, up + 1, up)
    inverse = 1 / up
    series, power = xp.log(up) - 0.5 * inverse, inverse * inverse
    for k, b in enumerate(BERNOULLI, 1):
        series = series - b / (2 * k) * power
        power = power * inverse * inverse
    fraction = wide - xp.trunc(wide)
    y = total + series - xp.where(below, math.pi / xp.tan(math.pi * fraction), 0.0)
    y = xp.where(below & (fraction == 0), math.nan, y)
    y = xp.where(wide == 0, -xp.copysign(math.inf, wide), y)
    return y.astype(x.dtype)
