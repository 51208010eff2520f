"""split: consecutive parts of one dimension."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, check_dim, wrap


class Split(Op):
    """A tuple of views of dim `dim`: parts of `split_size_or_sections` entries (the last may be shorter), or of the sizes in that list."""

    name = "split"
    aliases = ("split_with_sizes", "unsafe_split", "unsafe_split_with_sizes")
    may_view = True

    def forward(self, ctx: Node, input: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
        x = input.array
        if not x.ndim:
            raise RuntimeError("split: the tensor has no dimensions")
        d = check_dim("split", dim, x.ndim)
        n, given = x.shape[d], split_size_or_sections
        if isinstance(given, int):
            if given < 0 or (given == 0 and n):
                raise RuntimeError(f"split: the size of the parts must be positive, got {given}")
            sizes = [min(given, n - i) for i in range(0, n, given)] if n else [0]
        else:
            sizes = [int(s) for s in given]
            if sum(sizes) != n or min(sizes, default=0) < 0:
                raise RuntimeError(f"split: the sizes {tuple(sizes)} must add up to {n}, the size of dim {d} of {tuple(x.shape)}")
        ctx.dim, ctx.view = d, True
        parts, start = [], 0
        for s in sizes:
            parts.append(wrap(x[(slice(None),) * d + (slice(start, start + s),)], input.device))
            start += s
        return tuple(parts)

    def backward(self, ctx: Node, *grads: Tensor) -> Tensor:
        return fn.cat(grads, ctx.dim)

    def reference(self, x: Any, split_size_or_sections: Any, dim: int = 0) -> Any:
        s, n = split_size_or_sections, x.shape[dim]
        bounds = list(range(s, n, s)) if isinstance(s, int) else np.cumsum(s)[:-1]
        return np.split(x, bounds, dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5, 3), 2), Case(T(6, 3), 3), Case(T(2, 7), [3, 0, 4], -1), Case(T(2, 7), 9, dim=1), Case(T(4), [4]))
        yield Case(T(0, 2), 3)
        yield Case(T(5, 3), [2, 2], error=(RuntimeError, "split: the sizes (2, 2) must add up to 5, the size of dim 0 of (5, 3)"))
        yield Case(T(5, 3), 0, error=(RuntimeError, "split: the size of the parts must be positive, got 0"))
