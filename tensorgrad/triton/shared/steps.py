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
def rmsprop(p, g, s, n, HAS: tl.constexpr):
    g = n[0] * g + n[1] * p
    lr, alpha, rest, eps, momentum = n[2], n[3], n[4], n[5], n[6]
    square = alpha * s[0] + rest * g * g
    mean = s[1] + rest * (g - s[1])
    update = tl.div_rn(g, tl.sqrt_rn(square - mean * mean if HAS & 2 else square) + eps)
    buf = momentum * s[2] + update
    return p - lr * (buf if HAS & 4 else update), (square, mean, buf)


@device_function
def adagrad(p, g, s, n):
    g = n[0] * g + n[1] * p
    rate, eps = n[2], n[3]
    square = s[0] + g * g
    return p - tl.div_rn(rate * g, tl.sqrt_rn(square) + eps), (square, s[1], s[2])


@device_function
def adadelta(p, g, s, n):
    g = n[0] * g + n[1] * p
    lr, rho, rest, eps = n[2], n[3], n[4], n[5]
    square = rho * s[0] + rest * g * g
    update = tl.div_rn(tl.sqrt_rn(s[1] + eps), tl.sqrt_rn(square + eps)) * g
    return p - lr * update, (square, rho * s[1] + rest * update * update, s[2])


@device_function
def adamax(p, g, s, n):
    g = n[0] * g + n[1] * p
    step_size, first, keep, eps = n[2], n[3], n[4], n[5]
    mean = s[0] + first * (g - s[0])
    old, now = keep * s[1], tl.abs(g) + eps
    top = tl.where((old > now) | (old != old), old, now)
    return p - tl.div_rn(step_size * mean, top), (mean, top, s[2])


@device_function
def nadam(p, g, s, n):
    g = n[0] * g + n[1] * p
    by_gradient, by_mean, correction, first, keep, second, eps, shrink = n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9]
    mean = s[0] + first * (g - s[0])
    square = keep * s[1] + second * g * g
    return shrink * p - tl.div_rn(by_gradient * g + by_mean * mean, tl.sqrt_rn(square) * correction + eps), (mean, square, s[2])


@device_function
def radam(p, g, s, n):
    g = n[0] * g + n[1] * p
    step_size, first, keep, second, eps, shrink, adaptive = n[2], n[3], n[4], n[5], n[6], n[7], n[8]
    mean = s[0] + first * (g - s[0])
    square = keep * s[1] + second * g * g
    return shrink * p - tl.div_rn(step_size * mean, tl.where(adaptive != 0, tl.sqrt_rn(square) + eps, 1.0)), (mean, square, s[2])


@device_function
def rprop(p, g, s, n):
    g = n[0] * g
    shorter, longer, least, most = n[2], n[3], n[4], n[5]
    agrees = g * s[0]
    step = s[1] * tl.where(agrees > 0, longer, tl.where(agrees < 0, shorter, 1.0))
    step = tl.where(step < least, least, tl.where(step > most, most, step))
    g = tl.where(agrees < 0, 0.0, g)
    way = (g > 0).to(tl.float32) - (g < 0).to(tl.float32)
    return p - way * step, (g, step, s[2])


@device_function
def asgd(p, g, s, n):
    g = n[0] * g + n[1] * p
    eta, shrink, mu = n[2], n[3], n[4]
    p = shrink * p - eta * g
    return p, (tl.where(mu == 1, p, s[0] + mu * (p - s[0])), s[1], s[2])


@device_function
def stepped(FORMULA: tl.constexpr, p, g, s, n, HAS: tl.constexpr):
    # By the formula of that name.
    if FORMULA == "sgd":
        return sgd(p, g, s, n, HAS)
    elif FORMULA == "adam":
        return adam(p, g, s, n, HAS)
    elif FORMULA == "rmsprop":
        return rmsprop(p, g, s, n, HAS)
    elif FORMULA == "adagrad":
        return adagrad(p, g, s, n)
    elif FORMULA == "adadelta":
        return adadelta(p, g, s, n)
    elif FORMULA == "adamax":
        return adamax(p, g, s, n)
    elif FORMULA == "nadam":
        return nadam(p, g, s, n)
    elif FORMULA == "radam":
        return radam(p, g, s, n)
    elif FORMULA == "rprop":
        return rprop(p, g, s, n)
    else:
        return asgd(p, g, s, n)


def of_gradient(weight_decay: float, maximize: int) -> tuple[float, float]:
    """The numbers of a gradient."""
    return -1.0 if maximize else 1.0, weight_decay


def sgd_numbers(lr: float, momentum: float, dampening: float, weight_decay: float, nesterov: int, maximize: int,
                first: int) -> tuple[float, ...]:
    return (*of_gradient(weight_decay, maximize), lr, momentum, 1.0 if first else 1 - dampening, float(nesterov), float(first))


def adam_numbers(step_size: float, root_correction: float, beta1: float, beta2: float, eps: float, weight_decay: float, shrink: float,
                 maximize: int) -> tuple[float, ...]:
    return (*of_gradient(weight_decay, maximize), step_size, 1 / root_correction, 1 - beta1, beta2, 1 - beta2, eps, shrink)


def rmsprop_numbers(lr: float, alpha: float, eps: float, weight_decay: float, momentum: float, maximize: int) -> tuple[float, ...]:
    return (*of_gradient(weight_decay, maximize), lr, alpha, 1 - alpha, eps, momentum)


def adagrad_numbers(rate: float, eps: float, weight_decay: float, maximize: int) -> tuple[float, ...]:
    return (*of_gradient(weight_decay, maximize), rate, eps)


def adadelta_numbers(lr: float, rho: float, eps: float, weight_decay: float, maximize: int) -> tuple[float, ...]:
    return (*of_gradient(weight_decay, maximize), lr, rho, 1 - rho, eps)


def adamax_numbers(step_size: float, beta1: float, beta2: float, eps: float, weight_decay: float, maximize: int) -> tuple[float, ...]:
    return (*of_gradient(weight_decay, maximize), step_size, 1 - beta1, beta2, eps)


def nadam_numbers(by_gradient: float, by_mean: float, root_correction: float, beta1: float, beta2: float, eps: float, weight_decay: float,
                  shrink: float, maximize: int) -> tuple[float, ...]:
    return (*of_gradient(weight_decay, maximize), by_gradient, by_mean, 1 / root_correction, 1 - beta1, beta2, 1 - beta2, eps, shrink)


def radam_numbers(step_size: float, beta1: float, beta2: float, eps: float, weight_decay: float, shrink: float, adaptive: int,
                  maximize: int) -> tuple[float, ...]:
    return (*of_gradient(weight_decay, maximize), step_size, 1 - beta1, beta2, 1 - beta2, eps, shrink, float(adaptive))


def rprop_numbers(shorter: float, longer: float, least: float, most: float, maximize: int) -> tuple[float, ...]:
    return (*of_gradient(0.0, maximize), shorter, longer, least, most)


def asgd_numbers(eta: float, shrink: float, mu: float, weight_decay: float, maximize: int) -> tuple[float, ...]:
    return (*of_gradient(weight_decay, maximize), eta, shrink, mu)
