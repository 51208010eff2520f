"""tensor_split: parts as equal as can be, or cut at given places."""
from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim


class TensorSplit(Op):
    """A tuple of views of dim `dim`: that many parts, the first ones longer by one where it does not divide; or cut before the given
    indices."""

    name = "tensor_split"
    composite = True

    def forward(self, input: Tensor, indices_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
        if not input.array.ndim:
            raise RuntimeError("tensor_split: the tensor has no dimensions")
        n = input.array.shape[check_dim("tensor_split", dim, input.array.ndim)]
        given: Any = indices_or_sections.tolist() if isinstance(indices_or_sections, Tensor) else indices_or_sections
        if isinstance(given, int):
            if given <= 0:
                raise RuntimeError(f"tensor_split: the number of parts must be positive, got {given}")
            least, more = divmod(n, given)
            return fn.split(input, [least + (i < more) for i in range(given)], dim)
        cuts = [0, *[slice(i).indices(n)[1] for i in given], n]
        return tuple(fn.narrow(input, dim, a, max(b - a, 0)) for a, b in itertools.pairwise(cuts))

    def reference(self, x: Any, indices_or_sections: Any, dim: int = 0) -> Any:
        return np.array_split(x, indices_or_sections, dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(7, 3), 3), Case(T(2, 7), (1, 4), -1), Case(T(2, 3), 5, dim=1), Case(T(4), (1, 9)), Case(T(4), (3, 1)))
        yield Case(T(6), 0, error=(RuntimeError, "tensor_split: the number of parts must be positive, got 0"))
