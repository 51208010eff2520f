"""vstack: tensors one below the other: along dim 0, vectors as rows."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Vstack(Op):
    """The tensors joined one below the other: along dim 0, vectors as rows."""

    name = "vstack"
    method = False
    composite = True
    aliases = ("row_stack",)

    def forward(self, tensors: Sequence[Tensor]) -> Tensor:
        if not tensors:
            raise ValueError("vstack: expected at least one tensor")
        given = [fn.atleast_2d(t) for t in tensors]
        return fn.cat(given, 0)

    def reference(self, arrays: Any) -> Any:
        return np.vstack(arrays)

    def cases(self) -> Iterable[Case]:
        yield from (Case([T(3), T(3)]), Case([T(2, 3), T(2, 3)]), Case([T(), T()]), Case([T(2, 3, 4), T(2, 3, 4)]))
        yield Case([T(2, 3), T(3, 4)], error=(RuntimeError, "cat: tensor 1 has size"))
