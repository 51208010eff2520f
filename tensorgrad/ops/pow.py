"""pow: z = x ^ y."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..cuda.streams import capturing
from ..graph import Node
from ..op import Operand, fn
from ..pointwise import Binary, keep_shapes, summed
from ..tensor import Tensor


class Pow(Binary):
    """z = input ^ exponent, with broadcasting and promotion. Integers to a negative integer power are a RuntimeError.

    dz/dx = y x^(y-1), which is 0 where y = 0; dz/dy = z ln x, which is 0 where x = 0 and y >= 0.
    """

    name = "pow"
    autocast = ("", "float32")
    operators = ("__pow__", "__rpow__", "__ipow__")
    domain = ({"low": 0.3, "high": 2.0}, {})

    def forward(self, ctx: Node, input: Operand, exponent: Operand) -> Tensor:
        return super().forward(ctx, input, exponent)

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        if x.dtype.kind != "f" and (isinstance(y, np.ndarray) or not capturing()) and (y < 0).any():  # a graph has no values yet
            raise RuntimeError("pow: integers cannot be raised to negative integer powers; convert the base with .double() or .float()")
        if y.ndim == 0 and x.ndim:  # the powers that are met most
            if y == 2:
                return x * x
            if y == 3:
                return x * x * x
            if y == 0.5:
                return xp.sqrt(x)
        return xp.power(x, y)

    def keep(self, ctx: Node, input: Operand, other: Operand, out: Tensor) -> None:
        keep_shapes(ctx, input, other)
        a, b = isinstance(input, Tensor), isinstance(other, Tensor)
        ctx.save(input if a else None, other if b else None, out if ctx.edges[1] else None)
        if not (a and b):
            ctx.number = other if a else input

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, y, z = ctx.saved
        a, b = ctx.shapes
        gx = gy = None
        if ctx.edges[0] is not None:
            if y is not None:
                gx = fn.where(y == 0, 0.0, g * (y * x ** (y - 1)))
            elif ctx.number == 2:
                gx = g * (x * 2.0)
            else:
                gx = g * (ctx.number * x ** (ctx.number - 1)) if ctx.number else g * 0.0
            gx = summed(gx, a)
        if ctx.edges[1] is not None:
            base = ctx.number if x is None else x
            if x is None:
                gy = g * z * math.log(base) if base > 0 else fn.where(y >= 0, 0.0, g * z * math.nan) if base == 0 else g * z * math.nan
            else:
                gy = fn.where(fn.logical_and(x == 0, y >= 0), 0.0, g * (z * x.log()))
            gy = summed(gy, b)
        return gx, gy

    def reference(self, x: Any, y: Any) -> Any:
        return np.power(x, y)

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        for p in (0, 1, 2, 3, -1, 0.5, -2.5, 2.0):
            yield Case(T(3, 5, low=0.3, high=2.0), p)
        yield Case(T(4), 3)
        yield Case(T(values=[0.0, 2.0, 0.0, 3.0]), T(values=[0.0, 0.0, 2.0, 1.0], grad=False), smooth=False)
        yield Case(T(values=[0.0, 2.0, 0.0, 3.0], grad=False), T(values=[1.0, 2.0, 2.0, 1.0]), smooth=False)
        yield Case(T(6, dtype="int64", low=-4, high=4), 3)
        yield Case(2, T(4, dtype="int64", low=0, high=6))
        yield Case(T(2, dtype="int64", low=1, high=3), -1, error=(RuntimeError, "pow: integers cannot be raised to negative"))
