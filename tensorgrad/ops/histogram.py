"""histogram: how many numbers fall between edges."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor, wrap


class Histogram(NamedTuple):
    """What `histogram` returns."""

    hist: Tensor
    bin_edges: Tensor


class HistogramOp(Op):
    """(counts, edges) of all elements in `bins` bins of equal width over `range`, the smallest to the largest by default; or between edges.

    `weight` counts each element so often; `density` divides by the sum and the widths. The last bin has both of its edges.
    """

    name = "histogram"
    composite = True
    differentiable = False

    def forward(self, input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None, density: bool = False) -> Any:
        if not input.dtype.is_floating_point:
            raise RuntimeError(f"histogram: needs a floating tensor, got {input.dtype.name}")
        if isinstance(bins, int) and bins < 1:
            raise RuntimeError(f"histogram: bins must be positive, got {bins}")
        host = input.device.backend.to_numpy
        values = host(input.detach().array).astype(np.float64).reshape(-1)
        edges = host(bins.array).astype(np.float64) if isinstance(bins, Tensor) else bins
        if isinstance(edges, int) and range is None and not values.size:
            range = (0.0, 1.0)
        weights = None if weight is None else host(weight.detach().array).astype(np.float64).reshape(-1)
        counts, edges = np.histogram(values, edges, tuple(range) if range is not None else None, density, weights)
        made = [wrap(input.device.backend.asarray(a.astype(input.array.dtype)), input.device) for a in (counts, edges)]
        return Histogram(*made)

    def reference(self, x: Any, bins: Any, range: Any = None, weight: Any = None, density: bool = False) -> Any:
        return np.histogram(x, bins, range, density, weight)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(20, grad=False), 4, range=(-2.0, 2.0)), Case(T(20, grad=False), 4, range=(-2.0, 2.0), density=True))
        yield Case(T(6, grad=False), T(values=[-2.0, 0.0, 0.5, 2.0], grad=False))
        yield Case(T(3), 0, error=(RuntimeError, "histogram: bins must be positive, got 0"))
