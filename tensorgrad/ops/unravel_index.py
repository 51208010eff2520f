"""unravel_index: positions in a shape from positions in a row."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class UnravelIndex(Op):
    """The coordinates, a tensor for each dimension, of the elements at `indices` of a tensor of `shape` read row by row."""

    name = "unravel_index"
    method = False
    differentiable = False
    composite = True

    def forward(self, indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
        if indices.dtype.is_floating_point or indices.dtype.name == "bool":
            raise TypeError(f"unravel_index: indices must be integers, got {indices.dtype.name}")
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        count = math.prod(sizes)
        flat = indices.device.backend.to_numpy(indices.array)
        if any(s < 0 for s in sizes) or (flat.size and (flat.max() >= count or flat.min() < -count)):
            raise ValueError(f"unravel_index: an index is out of range for the shape {sizes}")
        rest, out = fn.remainder(indices, max(count, 1)), []
        for s in reversed(sizes):
            out.append(fn.remainder(rest, max(s, 1)))
            rest = fn.floor_divide(rest, max(s, 1))
        return tuple(reversed(out))

    def reference(self, indices: Any, shape: Any) -> Any:
        return np.unravel_index(indices, shape)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5, dtype="int64", low=0, high=24), (2, 3, 4)), Case(T(2, 3, dtype="int64", low=0, high=6), (6,)))
        yield Case(T(values=[9], dtype="int64"), (2, 3), torch=False,  # PyTorch looks at negative ones only
                   error=(ValueError, "unravel_index: an index is out of range for the shape (2, 3)"))
        yield Case(T(3), (2, 3), error=(TypeError, "unravel_index: indices must be integers, got float32"))
