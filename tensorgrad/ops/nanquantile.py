"""nanquantile: quantiles of what is not NaN."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..creation import tensor
from ..op import Op, fn
from ..tensor import Tensor, check_dim

ROUNDING: dict[str, Any] = {  # how far between two elements to go
    "linear": lambda s: s, "lower": lambda s: s * 0, "higher": lambda s: s.ceil(), "midpoint": lambda s: (s > 0) * 0.5,
    "nearest": lambda s: s.round()}


class Nanquantile(Op):
    """`quantile`, with NaN left out; NaN where all are."""

    name = "nanquantile"
    autocast = ("float32", "float32")
    composite = True

    def forward(self, input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
        dim = dim if input.ndim else None
        x = input.reshape(-1) if dim is None else input
        d = check_dim("nanquantile", 0 if dim is None else dim, x.ndim)
        if not input.array.size:
            raise RuntimeError(f"nanquantile: an empty tensor of shape {tuple(input.shape)} has no quantiles")
        if interpolation not in ROUNDING:
            raise RuntimeError(f"nanquantile: interpolation {interpolation!r} is none of {', '.join(ROUNDING)}")
        wanted = q.to(x.dtype) if isinstance(q, Tensor) else tensor(q, dtype=x.dtype, device=x.device)
        if wanted.ndim > 1 or bool(((wanted < 0) | (wanted > 1)).any()):
            raise RuntimeError("nanquantile: q must be a number or a vector with values in [0, 1]")
        x = x.movedim(d, -1)
        x = x.sort(-1)[0]  # NaN comes last
        last = (~x.isnan()).sum(-1, True) - 1
        at = wanted.reshape(-1) * last.clamp(min=0).to(x.dtype)  # (..., q)
        low, high = at.floor().long(), at.ceil().long()
        share = ROUNDING[interpolation](at - low)
        a, b = fn.gather(x, -1, low), fn.gather(x, -1, high)
        y = (a + (b - a) * share).movedim(-1, 0)
        if keepdim:
            y = y.reshape(len(y), *[1] * input.ndim) if dim is None else y.unsqueeze(d + 1)
        return y if wanted.ndim else y[0]

    def reference(self, x: Any, q: Any, dim: Any = None, keepdim: bool = False, interpolation: Any = "linear") -> Any:
        return np.nanquantile(x, q, dim, keepdims=keepdim, method=interpolation)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(7, distinct=True), 0.3), Case(T(3, 5, distinct=True), 0.5, dim=1), Case(T(3, 5, distinct=True), 0.25, 0, True))
        yield Case(T(values=[[1.0, np.nan, 3.0], [np.nan, np.nan, 2.0]], grad=False), 0.5, 1)
