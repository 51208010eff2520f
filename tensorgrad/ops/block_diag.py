"""block_diag: matrices along a diagonal."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class BlockDiag(Op):
    """One matrix with the given ones along its diagonal and zeros elsewhere; vectors count as rows, scalars as 1 x 1."""

    name = "block_diag"
    method = False
    composite = True

    def forward(self, *tensors: Tensor) -> Tensor:
        if not tensors:
            raise ValueError("block_diag: expected at least one tensor")
        blocks = [fn.atleast_2d(t) for t in tensors]
        for k, b in enumerate(blocks):
            if b.array.ndim != 2:
                raise RuntimeError(f"block_diag: tensor {k} of shape {tuple(b.shape)} has more than two dimensions")
        total, before, rows = sum(b.array.shape[1] for b in blocks), 0, []
        for b in blocks:
            width = b.array.shape[1]
            rows.append(fn.pad_constant(b, (before, total - before - width), 0.0))
            before += width
        return fn.cat(rows, 0)

    def reference(self, *arrays: Any) -> Any:
        blocks = [np.atleast_2d(a) for a in arrays]
        out = np.zeros(np.sum([b.shape for b in blocks], axis=0))
        i = j = 0
        for b in blocks:
            out[i:i + b.shape[0], j:j + b.shape[1]] = b
            i, j = i + b.shape[0], j + b.shape[1]
        return out

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3), T(1, 2)), Case(T(2), T(), T(3, 1)), Case(T(2, 2)))
        yield Case(T(2, 2, 2), error=(RuntimeError, "block_diag: tensor 0 of shape (2, 2, 2) has more than two dimensions"))
