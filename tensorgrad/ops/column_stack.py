"""column_stack: vectors as columns."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class ColumnStack(Op):
    """The tensors side by side along dim 1; vectors and scalars become columns."""

    name = "column_stack"
    method = False
    composite = True

    def forward(self, tensors: Sequence[Tensor]) -> Tensor:
        return fn.hstack([t.reshape(-1, 1) if t.array.ndim < 2 else t for t in tensors])

    def reference(self, arrays: Any) -> Any:
        return np.column_stack(arrays)

    def cases(self) -> Iterable[Case]:
        yield from (Case([T(3), T(3)]), Case([T(2), T(2, 3)]))
