"""repeat_interleave: each entry several times in a row."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim, wrap
from .shared.indexing import check_index_tensor


class RepeatInterleave(Op):
    """Each entry of dim `dim` (of the flattened tensor without it) `repeats` times in a row; `repeats` an int or a tensor of counts.

    `output_size`, the total count, may be given with a tensor of counts and is checked.
    """

    name = "repeat_interleave"
    composite = True

    def forward(self, input: Tensor, repeats: Any, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
        if dim is None:
            input, dim = input.reshape(-1), 0
        d = check_dim("repeat_interleave", dim, input.array.ndim)
        shape = input.array.shape or (1,)
        given = check_index_tensor("repeat_interleave", repeats, "repeats") if isinstance(repeats, Tensor) else repeats
        counts = repeats.device.backend.to_numpy(given) if isinstance(repeats, Tensor) else np.asarray(given)
        if counts.size and int(counts.min()) < 0:
            raise RuntimeError("repeat_interleave: the repeats must not be negative")
        if counts.size != 1 and counts.shape != (shape[d],):
            raise RuntimeError(f"repeat_interleave: repeats of shape {tuple(counts.shape)} must have {shape[d]} counts, the size of "
                               f"dim {d} of {tuple(shape)}")
        if counts.size == 1:
            k = int(counts.reshape(-1)[0])
            total = k * shape[d]
            apart = fn.unsqueeze(input.reshape(shape), d + 1).expand((*shape[:d + 1], k, *shape[d + 1:]))
            out = apart.reshape((*shape[:d], total, *shape[d + 1:]))
        else:
            index = np.repeat(np.arange(shape[d]), counts)
            total = len(index)
            out = fn.index_select(input, d, wrap(input.device.backend.asarray(index), input.device))
        if output_size is not None and output_size != total:
            raise RuntimeError(f"repeat_interleave: output_size is {output_size} but the repeats add up to {total}")
        return out

    def reference(self, x: Any, repeats: Any, dim: int | None = None) -> Any:
        return np.repeat(x, repeats, dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3), 2), Case(T(2, 3), 2), Case(T(2, 3), 3, dim=1), Case(T(2, 3), 0, 0))
        yield Case(T(3, 2), T(values=[2, 0, 3], dtype="int64"), 0)
        yield Case(T(3), T(values=[1, 2], dtype="int64"),
                   error=(RuntimeError, "repeats of shape (2,) must have 3 counts, the size of dim 0 of (3,)"))
        yield Case(T(3), -1, error=(RuntimeError, "repeat_interleave: the repeats must not be negative"))
