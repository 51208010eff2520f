"""dstack: tensors one behind the other: along dim 2."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Dstack(Op):
    """The tensors joined one behind the other: along dim 2."""

    name = "dstack"
    method = False
    composite = True

    def forward(self, tensors: Sequence[Tensor]) -> Tensor:
        if not tensors:
            raise ValueError("dstack: expected at least one tensor")
        given = [fn.atleast_3d(t) for t in tensors]
        return fn.cat(given, 2)

    def reference(self, arrays: Any) -> Any:
        return np.dstack(arrays)

    def cases(self) -> Iterable[Case]:
        yield from (Case([T(3), T(3)]), Case([T(2, 3), T(2, 3)]), Case([T(), T()]), Case([T(2, 3, 4), T(2, 3, 4)]))
        yield Case([T(2, 3), T(3, 4)], error=(RuntimeError, "cat: tensor 1 has size"))
