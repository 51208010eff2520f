"""quantile: the q-th quantiles."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim, wrap


class Quantile(Op):
    """The q-th quantiles (q in [0, 1], a number or a tensor of them, which becomes the first dimension) along `dim`, or of all elements.

    Between two elements `interpolation` is "linear", "lower", "higher", "midpoint" or "nearest". NaN wins.
    """

    name = "quantile"
    autocast = ("float32", "float32")
    composite = True

    def forward(self, input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
        if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
            raise RuntimeError(f"quantile: interpolation {interpolation!r} is none of linear, lower, higher, midpoint, nearest")
        wanted = q.device.backend.to_numpy(q.array) if isinstance(q, Tensor) else np.asarray(q, np.float64)
        if wanted.ndim > 1 or ((wanted < 0) | (wanted > 1)).any():
            raise RuntimeError("quantile: q must be a number or a vector with values in [0, 1]")
        if not input.array.size:
            raise RuntimeError(f"quantile: an empty tensor of shape {tuple(input.shape)} has no quantiles")
        dim = dim if input.array.ndim else None
        x = input.reshape(-1) if dim is None else input
        d = check_dim("quantile", 0 if dim is None else dim, x.array.ndim)
        x = x.sort(d)[0].movedim(d, -1)
        n = x.array.shape[-1]
        at = wanted.astype(np.float64).reshape(-1) * (n - 1)
        low, high = np.floor(at).astype(np.int64), np.ceil(at).astype(np.int64)
        share = at - low
        if interpolation != "linear":
            share = {"lower": 0 * at, "higher": np.ceil(share), "midpoint": 0.5 * (share > 0), "nearest": np.rint(at) - low}[interpolation]
        low, high, share = (wrap(x.device.backend.constant(v), x.device) for v in (low, high, share.astype(x.array.dtype)))
        a, b = x[..., low], x[..., high]  # (..., q)
        if isinstance(q, Tensor) and q.requires_grad and interpolation == "linear":
            share = q.reshape(-1) * (n - 1) - low
        y = a + (b - a) * share
        y = fn.where(input.isnan().any() if dim is None else input.isnan().any(d).unsqueeze(-1), math.nan, y).movedim(-1, 0)
        if keepdim:
            y = y.reshape(len(at), *[1] * input.array.ndim) if dim is None else y.unsqueeze(d + 1)
        return y if wanted.ndim else y[0]

    def reference(self, x: Any, q: Any, dim: Any = None, keepdim: bool = False, interpolation: Any = "linear") -> Any:
        return np.quantile(x, q, axis=dim, keepdims=keepdim, method=interpolation)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(7, distinct=True), 0.3), Case(T(3, 5, distinct=True), 0.5, dim=1), Case(T(3, 5, distinct=True), 0.25, 0, True))
        yield Case(T(3, 5, distinct=True), T(values=[0.1, 0.5, 1.0], grad=False), 1, torch=False)
        for how in ("lower", "higher", "midpoint", "nearest"):
            yield Case(T(6, distinct=True), 0.3, interpolation=how)
        yield Case(T(3), 1.5, error=(RuntimeError, "quantile: q must be"))
