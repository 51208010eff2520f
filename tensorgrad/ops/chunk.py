"""chunk: about equal parts of one dimension."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim


class Chunk(Op):
    """A tuple of at most `chunks` views of dim `dim`, each of ceil(size / chunks) entries; the last may be shorter."""

    name = "chunk"
    aliases = ("unsafe_chunk",)
    composite = True

    def forward(self, input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        if chunks <= 0:
            raise RuntimeError(f"chunk: chunks must be positive, got {chunks}")
        n = input.array.shape[check_dim("chunk", dim, input.array.ndim)] if input.array.ndim else 0
        return fn.split(input, -(-n // chunks), dim) if n else fn.split(input, [0] * chunks, dim)

    def reference(self, x: Any, chunks: int, dim: int = 0) -> Any:
        step = -(-x.shape[dim] // chunks)
        return np.split(x, range(step, x.shape[dim], step), dim) if step else [x] * chunks

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(6, 3), 3), Case(T(7, 3), 3), Case(T(2, 5), 4, -1), Case(T(2, 3), 5, dim=1), Case(T(0, 2), 3))
        yield Case(T(6), 0, error=(RuntimeError, "chunk: chunks must be positive, got 0"))
