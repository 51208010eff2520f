"""slice_scatter: a copy with a part replaced."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim


class SliceScatter(Op):
    """A copy of input whose entries `start` to `end` in steps of `step` along `dim` are `src`."""

    name = "slice_scatter"
    composite = True

    def forward(self, input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
        out = fn.clone(input)
        place = fn.getitem(out, (slice(None),) * check_dim("slice_scatter", dim, input.ndim) + (slice(start, end, step),))
        if tuple(place.shape) != tuple(src.shape):
            raise RuntimeError(f"slice_scatter: src has shape {tuple(src.shape)} but the place for it {tuple(place.shape)}")
        place.copy_(src)
        return out

    def reference(self, x: Any, src: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
        y = np.moveaxis(x.copy(), dim, 0)
        y[start:end:step] = np.moveaxis(src, dim, 0)
        return np.moveaxis(y, 0, dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5, 4), T(2, 4), 0, 1, 3), Case(T(3, 5), T(3, 3), 1, step=2), Case(T(3, 5), T(3, 2), dim=-1, start=-2))
        yield Case(T(5), T(3), 0, 1, 3, error=(RuntimeError, "slice_scatter: src has shape (3,) but the place for it (2,)"))
