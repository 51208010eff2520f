"""normalize: vectors scaled to length 1."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Normalize(Op):
    """y = x / max(||x||_p, eps), norms over `dim` (one or several); p = inf takes the largest magnitude.

    Vectors shorter than `eps` are divided by it, and so are their gradients.
    """

    name = "normalize"
    autocast = ("", "float32")
    function = method = False
    functional = True
    composite = True
    torch_name = "nn.functional.normalize"

    def forward(self, input: Tensor, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12) -> Tensor:
        dims = [dim] if isinstance(dim, int) else list(dim)
        if p == 2:  # the clamp comes before the root, whose slope at 0 is infinite
            length = fn.sqrt(fn.clamp_min(fn.sum(input * input, dims, True), eps * eps))
        elif p == 1:
            length = fn.sum(fn.abs(input), dims, True)
        elif p == float("inf"):
            length = fn.amax(fn.abs(input), dims, True)
        elif p > 0:
            smallest = dtypes.finfo(input.dtype).tiny
            length = fn.pow(fn.clamp_min(fn.sum(fn.pow(fn.abs(input), p), dims, True), smallest), 1 / p)
        else:
            length = fn.vector_norm(input, p, dims, True)
        return input / fn.clamp_min(length, eps)

    def reference(self, x: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
        dims = (dim,) if isinstance(dim, int) else tuple(dim)
        a = np.abs(x)
        length = a.max(dims, keepdims=True) if np.isinf(p) else (a**p).sum(dims, keepdims=True) ** (1 / p)
        return x / np.maximum(length, eps)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5)), Case(T(2, 3, 4), dim=-1), Case(T(2, 3, 4), 1.0, 0), Case(T(3, 5, distinct=True), float("inf")))
        yield from (Case(T(3, 5, low=0.1), 3.0), Case(T(2, 3, 4), 2.0, [0, 2]), Case(T(2, 3), eps=10.0), Case(T(0, 3)))
        yield Case(T(values=np.zeros((2, 3))), smooth=False, eps=0.5)
        yield Case(T(3, 5), 2.0, 2, error=(IndexError, "dim 2 is out of range"))
