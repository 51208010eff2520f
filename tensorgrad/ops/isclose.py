"""isclose: where two tensors nearly agree."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op
from ..pointwise import operands
from ..tensor import Tensor, wrap


class Isclose(Op):
    """|input - other| <= atol + rtol |other|, element by element; equal infinities agree, NaN agree where `equal_nan`."""

    name = "isclose"
    differentiable = False

    def forward(self, ctx: Node, input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
        if input.dtype is not other.dtype:
            raise RuntimeError(f"isclose: both tensors must have one dtype, got {input.dtype.name} and {other.dtype.name}")
        if rtol < 0 or atol < 0:
            raise RuntimeError(f"isclose: tolerances must not be negative, got rtol={rtol} and atol={atol}")
        x, y, device = operands(self, input, other)
        xp = device.backend.xp
        wide = xp.float64 if input.dtype.is_floating_point else x.dtype
        x, y = x.astype(wide, copy=False), y.astype(wide, copy=False)
        with np.errstate(all="ignore"):
            near = xp.isfinite(y) & (xp.abs(x - y) <= atol + rtol * xp.abs(y)) if input.dtype.category else x == y
            close = (x == y) | near
            return wrap(close | ((x != x) & (y != y)) if equal_nan else close, device)

    def reference(self, x: Any, y: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
        return np.isclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(5)), Case(T(3, 5), T(3, 5), atol=1.0))
        yield Case(T(values=[1, 2], dtype="int64"), T(values=[1, 3], dtype="int64"))
        yield Case(T(values=[np.nan, np.inf, 1.0, np.inf], grad=False), T(values=[np.nan, np.inf, 1.0 + 1e-7, 0.0], grad=False))
        yield Case(T(values=[np.nan, np.inf], grad=False), T(values=[np.nan, -np.inf], grad=False), equal_nan=True)
