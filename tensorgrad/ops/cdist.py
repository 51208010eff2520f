"""cdist: distances between all pairs of rows."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..pointwise import check_broadcast
from ..tensor import Tensor


class CDist(Op):
    """out[..., i, j] = (sum over k of |x1[..., i, k] - x2[..., j, k]|^p)^(1/p), for x1 (..., P, M) and x2 (..., R, M); p may be 0 or inf.

    The gradient is 0 where two rows are equal. Differences are formed, never |x|^2 + |y|^2 - 2xy: close rows keep their digits.
    `compute_mode` is PyTorch's choice between the two and must be one of its names; the result does not depend on it.
    """

    name = "cdist"
    autocast = ("float32", "float32")
    method = False
    composite = True

    def forward(self, x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
        modes = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")
        if compute_mode not in modes:
            raise ValueError(f"cdist: compute_mode must be one of {', '.join(modes)}, not {compute_mode!r}")
        a, b = x1.array.shape, x2.array.shape
        if len(a) < 2 or len(b) < 2 or a[-1] != b[-1]:
            raise RuntimeError(f"cdist: expected (..., P, M) and (..., R, M), got the shapes {tuple(a)} and {tuple(b)}")
        if p < 0:
            raise RuntimeError(f"cdist: p must not be negative, got {p}")
        check_broadcast("cdist", a[:-2], b[:-2])
        return fn.length_last(fn.unsqueeze(x1, -2) + fn.unsqueeze(x2, -3) * -1, float(p))

    def reference(self, x1: Any, x2: Any, p: float = 2.0, compute_mode: str = "") -> Any:
        d = np.abs(x1[..., :, None, :] - x2[..., None, :, :])
        if p == 0:
            return (d != 0).sum(-1)
        return d.max(-1, initial=0) if np.isinf(p) else (d**p).sum(-1) ** (1 / p)

    def cases(self) -> Iterable[Case]:
        for p in (2.0, 1.0, 3.0, 0.5):
            yield Case(T(3, 4, low=0, high=1), T(2, 4, low=1.5, high=3), p)
        yield from (Case(T(3, 4), T(2, 4), float("inf"), smooth=False), Case(T(2, 3, 4), T(1, 5, 4)), Case(T(0, 3), T(2, 3)))
        yield Case(T(3, 4, grad=False), T(2, 4, grad=False), 0.0)
        yield Case(T(3, 4), T(2, 5), error=(RuntimeError, "cdist: expected (..., P, M) and (..., R, M), got the shapes (3, 4) and (2, 5)"))
