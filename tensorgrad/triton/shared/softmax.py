"""The formulas along a row: y = result(a, b, top, s) with s = prepared(sum of part(a, b, top)).

Forward `a` is x, and `top` the row's maximum; backward `a` is the gradient and `b` the output.
"""
from __future__ import annotations

import triton.language as tl

from ..runtime import device_function


@device_function
def part(a, b, top, FORMULA: tl.constexpr):
    if FORMULA == "softmax_backward":
        return a * b
    elif FORMULA == "log_softmax_backward":
        return a
    else:
        return tl.where(a == -float("inf"), 0.0, tl.exp(a - top))


@device_function
def prepared(total, FORMULA: tl.constexpr):
    if FORMULA == "softmax":
        return 1.0 / total
    elif FORMULA == "log_softmax":
        return tl.log(total)
    else:
        return total


@device_function
def result(a, b, top, s, FORMULA: tl.constexpr):
    if FORMULA == "softmax":
        return tl.exp(a - top) * s
    elif FORMULA == "log_softmax":
        return (a - top) - s
    elif FORMULA == "softmax_backward":
        return b * (a - s)
    else:
        return a - tl.exp(b) * s
