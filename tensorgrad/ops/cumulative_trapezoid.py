"""cumulative_trapezoid: the running trapezoidal rule."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor
from .trapezoid import areas


class CumulativeTrapezoid(Op):
    """The integrals along `dim` up to each point but the first, by the trapezoidal rule."""

    name = "cumulative_trapezoid"
    method = False
    composite = True

    def forward(self, y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
        return areas("cumulative_trapezoid", y, x, dx, dim).cumsum(dim)

    def reference(self, y: Any, x: Any = None, dx: Any = None, dim: int = -1) -> Any:
        y = np.moveaxis(y, dim, -1)
        steps = (1.0 if dx is None else dx) if x is None else np.diff(x if x.ndim == 1 else np.moveaxis(x, dim, -1), axis=-1)
        return np.moveaxis(np.cumsum((y[..., 1:] + y[..., :-1]) / 2 * steps, -1), -1, dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5)), Case(T(3, 4), dx=0.5), Case(T(3, 4), T(4), dim=1), Case(T(3, 4), T(3, 4), dim=0))
