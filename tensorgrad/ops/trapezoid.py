"""trapezoid: the trapezoidal rule."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim


def areas(op: str, y: Tensor, x: Tensor | None, dx: float | None, dim: int) -> Tensor:
    """The area of each trapezoid."""
    if x is not None and dx is not None:
        raise RuntimeError(f"{op}: give x or dx, not both")
    d = check_dim(op, dim, y.ndim)
    n = y.shape[d]
    pairs = fn.narrow(y, d, min(1, n), max(n - 1, 0)) + fn.narrow(y, d, 0, max(n - 1, 0))
    if x is None:
        return pairs * (0.5 * (1.0 if dx is None else dx))
    if x.ndim == 1 and y.ndim > 1:
        if x.shape[0] != n:
            raise RuntimeError(f"{op}: {x.shape[0]} points for {n} values along dim {dim} of {tuple(y.shape)}")
        x = x.reshape(*[n if i == d else 1 for i in range(y.ndim)])
    return pairs * fn.diff(x, 1, d - y.ndim) * 0.5



class Trapezoid(Op):
    """The integral along `dim` by the trapezoidal rule, at points `x` or at distances `dx`."""

    name = "trapezoid"
    method = False
    composite = True

    aliases = ("trapz",)

    def forward(self, y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
        return areas("trapezoid", y, x, dx, dim).sum(dim)

    def reference(self, y: Any, x: Any = None, dx: Any = None, dim: int = -1) -> Any:
        return np.trapezoid(y, x, 1.0 if dx is None else dx, dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5)), Case(T(3, 4), dx=0.5), Case(T(3, 4), T(4), dim=1), Case(T(3, 4), T(3, 4), dim=0), Case(T(1)))
        yield Case(T(3), T(3), dx=1.0, error=(RuntimeError, "trapezoid: give x or dx, not both"))
