"""masked_select: the elements where a mask is true."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class MaskedSelect(Op):
    """A vector of the elements, in row-major order, where `mask` (bool) is true; input and mask are broadcast to one shape first."""

    name = "masked_select"
    composite = True

    def forward(self, input: Tensor, mask: Tensor) -> Tensor:
        if mask.array.dtype != bool:
            raise RuntimeError(f"masked_select: mask must be bool, not {mask.dtype.name}")
        if input.array.shape != mask.array.shape:
            input, mask = fn.broadcast_tensors(input, mask)
        return fn.getitem(input, mask).reshape(-1)

    def reference(self, x: Any, mask: Any) -> Any:
        shape = np.broadcast_shapes(x.shape, mask.shape)
        return np.broadcast_to(x, shape)[np.broadcast_to(mask, shape)].reshape(-1)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(3, 5, dtype="bool")), Case(T(3, 5), T(5, dtype="bool")), Case(T(3, 1), T(1, 4, dtype="bool")))
        yield Case(T(), T(dtype="bool"))
        yield Case(T(3), T(3), error=(RuntimeError, "masked_select: mask must be bool, not float32"))
