"""diff: differences of neighbours."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim


class Diff(Op):
    """y[i] = input[i + 1] - input[i] along `dim`, `n` times over; `prepend` and `append` are joined on first. Bools are compared (!=).

    With `n` = 0 it is a copy of the input alone."""

    name = "diff"
    composite = True

    def forward(self, input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
        if input.array.ndim == 0:
            raise RuntimeError("diff: a tensor without dimensions has no neighbours")
        if n < 0:
            raise RuntimeError(f"diff: n must not be negative, got {n}")
        d = check_dim("diff", dim, input.array.ndim)
        if n == 0:
            return input.clone()
        parts = [t for t in (prepend, input, append) if t is not None]
        y = fn.cat(parts, d) if len(parts) > 1 else input
        for _ in range(n):
            size = y.array.shape[d]
            late, early = y.narrow(d, min(1, size), max(size - 1, 0)), y.narrow(d, 0, max(size - 1, 0))
            y = late != early if y.array.dtype.kind == "b" else late - early
        return y

    def reference(self, x: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
        more = {name: a for name, a in (("prepend", prepend), ("append", append)) if a is not None}
        return np.diff(x, n, dim, **more)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5)), Case(T(3, 4)), Case(T(3, 4), dim=0), Case(T(3, 5), n=2), Case(T(3, 1)), Case(T(0)), Case(T(2, 3), n=5))
        yield Case(T(3, 4), dim=0, prepend=T(1, 4), append=T(2, 4))
        yield Case(T(4, dtype="int64", low=-5, high=5))
        yield Case(T(6, dtype="bool"))
        yield Case(T(), error=(RuntimeError, "diff: a tensor without dimensions"))
