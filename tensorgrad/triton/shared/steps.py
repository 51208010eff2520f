"""The steps of optimizers: what becomes of elements. Those of csrc/core/formulas/optimizer.h, in float32, as Triton writes them.

p is the parameter, g its gradient, s what is kept between steps (zeros where it is missing), n a step's numbers; the result is the new p
and s. The first two numbers are a gradient's: a sign, -1 to maximise, and weight decay. On the host `*_numbers` makes them of what the op
passes to its kernels.
"""
from __future__ import annotations

import triton.language as tl

from ..runtime import device_function

NUMBERS = 10  # room for those of a step


@device_function
def sgd(p, g, s, n, HAS: tl.constexpr):
    g = n[0] * g + n[1] * p
    lr, momentum, fresh, nesterov, first = n[2], n[3], n[4], n[5], n[6]
    buf = momentum * tl.where(first != 0, 0.0, s[0]) + fresh * g
    if HAS & 1:
        g = tl.where(nesterov != 0, g + momentum * buf, buf)
    return p - lr * g, (buf, s[1], s[2])


@device_function
def adam(p, g, s, n, HAS: tl.constexpr):
    g = n[0] * g + n[1] * p
    step_size, correction, first, keep, second, eps, shrink = n[2], n[3], n[4], n[5], n[6], n[7], n[8]
    mean = s[0] + first * (g - s[0])
    square = keep * s[1] + second * g * g
    top = tl.where((square > s[2]) | (square != square), square, s[2])
    root = tl.sqrt_rn(top if HAS & 4 else square)
    return shrink * p - tl.div_rn(step_size * mean, root * correction + eps), (mean, square, top)


@device_function
def stepped(FORMULA: tl.constexpr, p, g, s, n, HAS: tl.constexpr):
    # By the formula of that name.
    if FORMULA == "sgd":
        return sgd(p, g, s, n, HAS)
    else:
        return adam(p, g, s, n, HAS)


def of_gradient(weight_decay: float, maximize: int) -> tuple[float, float]:
    """The numbers of a gradient."""
    return -1.0 if maximize else 1.0, weight_decay


def sgd_numbers(lr: float, momentum: float, dampening: float, weight_decay: float, nesterov: int, maximize: int,
                first: int) -> tuple[float, ...]:
    return (*of_gradient(weight_decay, maximize), lr, momentum, 1.0 if first else 1 - dampening, float(nesterov), float(first))


def adam_numbers(step_size: float, root_correction: float, beta1: float, beta2: float, eps: float, weight_decay: float, shrink: float,
                 maximize: int) -> tuple[float, ...]:
    return (*of_gradient(weight_decay, maximize), step_size, 1 / root_correction, 1 - beta1, beta2, 1 - beta2, eps, shrink)
