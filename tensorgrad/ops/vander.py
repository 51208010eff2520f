"""vander: powers of a vector."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


def powers(op: str, x: Tensor, n: int) -> Tensor:
    """1, x, ..., x^(n-1) along a new last dimension."""
    if n < 0:
        raise RuntimeError(f"{op}: N must not be negative, got {n}")
    columns = [x * 0 + 1]
    for _ in range(n - 1):
        columns.append(columns[-1] * x)
    return fn.stack(columns[:n], -1) if n else x.new_empty((*x.shape, 0))



class Vander(Op):
    """The columns x^(N-1), ..., x, 1 (the other way round for `increasing`) of a vector; N is its length by default."""

    name = "vander"
    method = False
    composite = True

    def forward(self, x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
        if x.ndim != 1:
            raise RuntimeError(f"vander: expected a vector, got the shape {tuple(x.shape)}")
        y = powers("vander", x, x.shape[0] if N is None else N)
        return y if increasing else y.flip(-1)

    def reference(self, x: Any, N: Any = None, increasing: bool = False) -> Any:
        return np.vander(x, N, increasing)

    def cases(self) -> Iterable[Case]:
        for n, rising in ((None, False), (2, False), (5, True), (1, False)):  # PyTorch overwrites what its own gradient needs
            yield Case(T(3), n, rising, torch=False)
            yield Case(T(3, grad=False), n, rising)
        yield Case(T(2, 2), error=(RuntimeError, "vander: expected a vector, got the shape (2, 2)"))


class LinalgVander(Op):
    """1, x, ..., x^(N-1) along a new last dimension; N is the last size by default."""

    name = "linalg_vander"
    places = ("linalg.vander",)
    function = method = False
    composite = True

    def forward(self, x: Tensor, *, N: int | None = None) -> Tensor:
        x = x if x.ndim else x.reshape(1)
        return powers("vander", x, x.shape[-1] if N is None else N)

    def reference(self, x: Any, N: Any = None) -> Any:
        return x[..., None] ** np.arange(x.shape[-1] if N is None else N)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3)), Case(T(4), N=2))
