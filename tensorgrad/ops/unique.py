"""unique: the distinct values."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op
from ..tensor import Tensor, check_dim, wrap


class Unique(Op):
    """The distinct elements in ascending order (with `dim`: the distinct slices of that dim, in lexicographic order).

    With `return_inverse` also the index of each input element among them, with `return_counts` how often each occurs. The result is
    sorted whether `sorted` or not.
    """

    name = "unique"
    differentiable = False

    def forward(self, ctx: Node, input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
                dim: int | None = None) -> Any:
        x = input.array
        half = x.dtype.itemsize == 2 and x.dtype.kind not in "iu"
        d = None if dim is None else check_dim("unique", dim, x.ndim)
        values, inverse, counts = np.unique(x.astype(np.float32) if half else x, return_inverse=True, return_counts=True, axis=d)
        out = [values.astype(x.dtype, copy=False)]
        if return_inverse:
            out.append(inverse.reshape(x.shape if d is None else -1).astype(np.int64, copy=False))
        if return_counts:
            out.append(counts.astype(np.int64, copy=False))
        results = tuple([wrap(o, input.device) for o in out])
        return results if len(results) > 1 else results[0]

    def reference(self, x: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
                  dim: int | None = None) -> Any:
        rows = [tuple(r.ravel()) for r in (np.moveaxis(x, dim, 0) if dim is not None else x.ravel())]
        kept = sorted_set(rows)
        shape = (len(kept), *(np.moveaxis(x, dim, 0).shape[1:] if dim is not None else ()))
        values = np.array(kept).reshape(shape)
        out = [values if dim is None else np.moveaxis(values, 0, dim)]
        if return_inverse:
            out.append(np.array([kept.index(r) for r in rows], np.int64).reshape(x.shape if dim is None else -1))
        if return_counts:
            out.append(np.array([rows.count(k) for k in kept], np.int64))
        return out

    def cases(self) -> Iterable[Case]:
        i: dict[str, Any] = {"dtype": "int64", "low": 0, "high": 3}
        yield from (Case(T(9, **i)), Case(T(3, 4, **i), True, True, True), Case(T(6, 2, **i), dim=0, return_counts=True))
        yield Case(T(5, grad=False))
        yield from (Case(T(2, 5, **i), dim=1, return_inverse=True), Case(T(0, grad=False)), Case(T(6, dtype="bool"), return_counts=True))
        yield Case(T(3), dim=1, error=(IndexError, "unique: dim 1 is out of range"))


def sorted_set(rows: list) -> list:
    """The distinct rows in order."""
    return sorted(set(rows))
