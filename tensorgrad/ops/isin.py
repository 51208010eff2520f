"""isin: which elements are among given ones."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, Operand
from ..tensor import Tensor, wrap


class IsIn(Op):
    """For each of `elements` whether it is among `test_elements` (either may be a number); the contrary with `invert`."""

    name = "isin"
    method = differentiable = False

    def forward(self, ctx: Node, elements: Operand, test_elements: Operand, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
        if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
            raise TypeError("isin: one of elements and test_elements must be a tensor")
        device = next(v.device for v in (elements, test_elements) if isinstance(v, Tensor))
        a, b = (v.array if isinstance(v, Tensor) else device.backend.asarray(np.asarray(v)) for v in (elements, test_elements))
        a, b = (v.astype(np.float32) if v.dtype.itemsize == 2 and v.dtype.kind not in "iu" else v for v in (a, b))
        return wrap(device.backend.xp.isin(a, b, assume_unique=assume_unique, invert=invert), device)

    def reference(self, x: Any, test_elements: Any, invert: bool = False) -> Any:
        tests = np.ravel(test_elements)
        return np.array([bool((v == tests).any()) != invert for v in np.ravel(x)], bool).reshape(np.shape(x))

    def cases(self) -> Iterable[Case]:
        i: dict[str, Any] = {"dtype": "int64", "low": 0, "high": 5}
        yield from (Case(T(3, 4, **i), T(2, **i)), Case(T(7, **i), T(0, dtype="int64")), Case(T(5, **i), 2), Case(2, T(5, **i)))
        yield Case(T(5, **i), T(2, **i), invert=True)
        yield Case(1, 2, error=(TypeError, "isin: one of elements and test_elements must be a tensor"), torch=False)
