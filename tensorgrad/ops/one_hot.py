"""one_hot: rows with a one at the class."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op
from ..tensor import Tensor, wrap
from .shared.indexing import check_index_tensor


class OneHot(Op):
    """A new last dim of size `num_classes` (-1: the largest class + 1), zero but for a one at each int of the input; int64.

    RuntimeError for a class that is negative or too large, naming it and its place.
    """

    name = "one_hot"
    function = method = differentiable = False
    functional = True

    def forward(self, ctx: Node, input: Tensor, num_classes: int = -1) -> Tensor:
        x, xp = check_index_tensor("one_hot", input, "input"), input.device.backend.xp
        known = not input.device.backend.capturing()  # a graph has no values yet
        if num_classes == -1 and not known:
            raise RuntimeError("one_hot: num_classes cannot be found while a graph is captured; give it")
        low, high = (int(x.min()), int(x.max())) if x.size and known else (0, -1)
        n = high + 1 if num_classes == -1 else num_classes
        if n <= 0:
            raise RuntimeError(f"one_hot: num_classes must be positive, got {num_classes}" + ("" if x.size else " for an empty tensor"))
        if low < 0 or high >= n:
            bad = low if low < 0 else high
            where = tuple(int(i) for i in np.argwhere(x == bad)[0])
            raise RuntimeError(f"one_hot: class {bad} at {where} is out of range for {n} classes (0 to {n - 1})")
        out = xp.zeros((x.size, n), np.int64)
        out[xp.arange(x.size), x.reshape(-1)] = 1
        return wrap(out.reshape(*x.shape, n), input.device)

    def reference(self, x: Any, num_classes: int = -1) -> Any:
        return np.eye(num_classes if num_classes != -1 else int(x.max()) + 1, dtype=np.int64)[x]

    def cases(self) -> Iterable[Case]:
        i: dict[str, Any] = {"dtype": "int64", "low": 0, "high": 4}
        yield from (Case(T(5, **i), 4), Case(T(2, 3, **i), 7), Case(T(3, **i)), Case(T(**i), 4), Case(T(0, **i), 3))
        yield Case(T(values=[0, 4], dtype="int64"), 3,
                   error=(RuntimeError, "one_hot: class 4 at (1,) is out of range for 3 classes (0 to 2)"))
        yield Case(T(3), error=(TypeError, "one_hot: input must hold ints (int64), not float32"))
