"""hstack: tensors side by side: along dim 1, vectors along dim 0."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Hstack(Op):
    """The tensors joined side by side: along dim 1, vectors along dim 0."""

    name = "hstack"
    method = False
    composite = True

    def forward(self, tensors: Sequence[Tensor]) -> Tensor:
        if not tensors:
            raise ValueError("hstack: expected at least one tensor")
        given = [fn.atleast_1d(t) for t in tensors]
        return fn.cat(given, 0 if given[0].array.ndim == 1 else 1)

    def reference(self, arrays: Any) -> Any:
        return np.hstack(arrays)

    def cases(self) -> Iterable[Case]:
        yield from (Case([T(3), T(3)]), Case([T(2, 3), T(2, 3)]), Case([T(), T()]), Case([T(2, 3, 4), T(2, 3, 4)]))
        yield Case([T(2, 3), T(3, 4)], error=(RuntimeError, "cat: tensor 1 has size"))
