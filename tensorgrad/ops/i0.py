"""i0, i1 and their scaled forms: modified Bessel functions of the first kind."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..pointwise import Unary
from ..tensor import Tensor

NODES = 96
FAR = 40.0


def scaled(xp: Any, order: int, x: Any) -> Any:
    """exp(-|x|) I_order(|x|): the mean of exp(|x| (cos t - 1)) cos(order t) over the circle; far out its asymptotic series.

    The trapezoidal rule converges faster than any power for a periodic function. Abramowitz and Stegun, 9.6.19 and 9.7.1.
    """
    a = xp.abs(x.astype(np.float64))
    near, far = xp.minimum(a, FAR), xp.maximum(a, FAR)
    y = xp.zeros_like(a)
    for t in 2 * np.pi * np.arange(NODES) / NODES:
        y = y + xp.exp(near * (float(np.cos(t)) - 1)) * float(np.cos(order * t)) / NODES
    term, series = xp.ones_like(a), xp.ones_like(a)
    for k in range(1, 20):
        term = term * ((2 * k - 1) ** 2 - 4 * order**2) / (8 * k * far)
        series = series + term
    y = xp.where(a > FAR, series / xp.sqrt(2 * np.pi * far), y)
    return xp.where(xp.isnan(a), a, y)


class I0(Unary):
    """y = I_0(x), the modified Bessel function of the first kind of order 0."""

    name = "i0"
    places = ("special.i0",)

    def compute(self, xp: Any, x: Any) -> Any:
        return (scaled(xp, 0, x) * xp.exp(xp.abs(x.astype(np.float64)))).astype(x.dtype)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g * fn.i1(x)

    def reference(self, x: Any) -> Any:
        return np.i0(x)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(*shape)) for shape in ((0,), (), (7,), (3, 5)))
        yield from (Case(T(11, low=-60, high=60, grad=False)), Case(T(values=[0.0, -0.0, np.nan], grad=False)))


class I1(I0):
    """y = I_1(x), the modified Bessel function of the first kind of order 1."""

    name = "i1"
    places = ("special.i1",)
    function = method = inplace = False

    def compute(self, xp: Any, x: Any) -> Any:
        wide = x.astype(np.float64)
        return (xp.sign(wide) * scaled(xp, 1, x) * xp.exp(xp.abs(wide))).astype(x.dtype)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        safe = fn.where(x == 0, 1.0, x)
        return g * (fn.i0(x) - fn.where(x == 0, 0.5, fn.i1(safe) / safe))

    def reference(self, x: Any) -> Any:
        t = 2 * np.pi * np.arange(400) / 400
        return (np.exp(x[..., None] * np.cos(t)) * np.cos(t)).mean(-1)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(*shape, low=0.2)) for shape in ((0,), (), (7,), (3, 5)))
        yield Case(T(11, low=-60, high=60, grad=False))


class I0e(I0):
    """y = exp(-|x|) I_0(x), which does not overflow."""

    name = "i0e"
    places = ("special.i0e",)
    function = method = inplace = False

    def compute(self, xp: Any, x: Any) -> Any:
        return scaled(xp, 0, x).astype(x.dtype)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g * (fn.i1e(x) - x.sign() * fn.i0e(x))

    def reference(self, x: Any) -> Any:
        return np.i0(x) * np.exp(-np.abs(x))

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(*shape, low=0.2)) for shape in ((0,), (), (7,), (3, 5)))
        yield Case(T(11, low=-60, high=60, grad=False))


class I1e(I1):
    """y = exp(-|x|) I_1(x), which does not overflow."""

    name = "i1e"
    places = ("special.i1e",)

    def compute(self, xp: Any, x: Any) -> Any:
        return (xp.sign(x.astype(np.float64)) * scaled(xp, 1, x)).astype(x.dtype)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        safe = fn.where(x == 0, 1.0, x)
        return g * (fn.i0e(x) - fn.i1e(x) * x.sign() - fn.where(x == 0, 0.5, fn.i1e(safe) / safe))

    def reference(self, x: Any) -> Any:
        return super().reference(x) * np.exp(-np.abs(x))
