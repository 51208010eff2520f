"""gradient: finite differences."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim


def along(x: Tensor, d: int, spacing: Any, order: int) -> Tensor:
    """The derivative along one dim."""
    n = x.shape[d]
    if n <= order:
        raise RuntimeError(f"gradient: dim {d} of {tuple(x.shape)} needs at least {order + 1} elements")
    y = x.movedim(d, -1)
    steps = fn.diff(spacing).to(x.dtype) if isinstance(spacing, Tensor) and spacing.ndim else None
    h: Any = spacing if steps is None else steps
    left, right = (h, h) if steps is None else (h[:-1], h[1:])
    first, last = (h, h) if steps is None else (h[0], h[-1])
    a, b, c = y[..., :-2], y[..., 1:-1], y[..., 2:]
    inner = (c - a) / (2 * h) if steps is None else (
        c * (left / (right * (left + right))) + b * ((right - left) / (left * right)) - a * (right / (left * (left + right))))
    if order == 1:
        ends = (y[..., 1:2] - y[..., :1]) / first, (y[..., -1:] - y[..., -2:-1]) / last
    else:
        second, before = (h, h) if steps is None else (h[1], h[-2])
        ends = (edge(y[..., 0:1], y[..., 1:2], y[..., 2:3], first, second), -edge(y[..., -1:], y[..., -2:-1], y[..., -3:-2], last, before))
    return fn.cat([ends[0], inner, ends[1]], -1).movedim(-1, d)


def edge(a: Tensor, b: Tensor, c: Tensor, h: Any, k: Any) -> Tensor:
    """The derivative at `a` of the parabola through three points at distances h and k."""
    return a * (-(2 * h + k) / (h * (h + k))) + b * ((h + k) / (h * k)) - c * (h / (k * (h + k)))



class Gradient(Op):
    """A list of the derivatives along `dim` (all by default) by central differences, one-sided of order `edge_order` at the ends.

    `spacing` is a distance for all dims, one for each, or a list of the coordinates along each.
    """

    name = "gradient"
    method = False
    composite = True

    def forward(self, input: Tensor, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> list[Tensor]:
        dims = list(range(input.ndim)) if dim is None else [dim] if isinstance(dim, int) else list(dim)
        given = spacing if isinstance(spacing, (list, tuple)) else [1.0 if spacing is None else spacing] * len(dims)
        if len(given) != len(dims):
            raise RuntimeError(f"gradient: {len(given)} spacings for {len(dims)} dims")
        if edge_order not in (1, 2):
            raise RuntimeError(f"gradient: edge_order must be 1 or 2, got {edge_order}")
        return [along(input, check_dim("gradient", d, input.ndim), s, edge_order) for d, s in zip(dims, given, strict=True)]

    def reference(self, x: Any, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> Any:
        given = [1.0 if spacing is None else spacing] if not isinstance(spacing, (list, tuple)) else spacing
        differences: Any = np.gradient
        found = differences(x, *given, axis=dim, edge_order=edge_order)
        return list(found) if isinstance(found, (list, tuple)) else [found]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5)), Case(T(4, 5), spacing=0.5), Case(T(4, 5), dim=1, edge_order=2), Case(T(3, 4), spacing=(2.0, 0.5)))
        yield Case(T(5), spacing=[T(values=[0.0, 1.0, 1.5, 4.0, 4.25], grad=False)])
        yield Case(T(1), error=(RuntimeError, "gradient: dim 0 of (1,) needs at least 2 elements"))
