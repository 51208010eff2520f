"""tensordot: dims of two tensors multiplied and summed."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim


class TensorDot(Op):
    """The sum of products over the last `dims` dims of `a` and the first ones of `b`, or over the pairs in ([dims of a], [dims of b]).

    Of such a pair one may have the size 1.
    """

    name = "tensordot"
    autocast = ("", "widest")
    method = False
    composite = True

    def forward(self, a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
        n, m = a.array.ndim, b.array.ndim
        if isinstance(dims, int):
            if not 0 <= dims <= min(n, m):
                raise RuntimeError(f"tensordot: dims is {dims} but the shapes are {tuple(a.shape)} and {tuple(b.shape)}")
            left, right = list(range(n - dims, n)), list(range(dims))
        else:
            given = dims.tolist() if isinstance(dims, Tensor) else dims
            left, right = ([check_dim("tensordot", d, k) for d in ds] for ds, k in zip(given, (n, m), strict=True))
        if len(left) != len(right):
            raise RuntimeError(f"tensordot: {len(left)} dims of the first tensor but {len(right)} of the second")
        for i, j in zip(left, right, strict=True):
            if a.array.shape[i] == 1 != b.array.shape[j]:  # a size of 1 stretches
                b = fn.sum(b, j, True)
            elif b.array.shape[j] == 1 != a.array.shape[i]:
                a = fn.sum(a, i, True)
            elif a.array.shape[i] != b.array.shape[j]:
                raise RuntimeError(f"tensordot: dim {i} of {tuple(a.shape)} is {a.array.shape[i]} but dim {j} of {tuple(b.shape)} is "
                                   f"{b.array.shape[j]}")
        rows, columns = [d for d in range(n) if d not in left], [d for d in range(m) if d not in right]
        inner = math.prod([a.array.shape[d] for d in left])
        out = [a.array.shape[d] for d in rows], [b.array.shape[d] for d in columns]
        x = fn.permute(a, tuple(rows + left)).reshape(math.prod(out[0]), inner)
        y = fn.permute(b, tuple(right + columns)).reshape(inner, math.prod(out[1]))
        return fn.matmul(x, y).reshape((*out[0], *out[1]))

    def reference(self, a: Any, b: Any, dims: Any = 2) -> Any:
        return np.tensordot(a, b, dims)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 4), T(3, 4, 5)), Case(T(2, 3), T(3, 4), 1), Case(T(2), T(3), 0))
        yield Case(T(2, 3, 4), T(4, 5, 2), dims=([2, 0], [0, 2]))
        yield from (Case(T(3, 4), T(3, 4), 2), Case(T(0, 3), T(3, 2), 1), Case(T(2, 3), T(4, 3), ([-1], [1])))
        yield Case(T(2, 3), T(4, 5), 1, error=(RuntimeError, "tensordot: dim 1 of (2, 3) is 3 but dim 0 of (4, 5) is 4"))
