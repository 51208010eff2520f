"""unique_consecutive: runs of equal values as one."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op
from ..tensor import Tensor, check_dim, wrap


class UniqueConsecutive(Op):
    """The first of each run of equal elements (of the flattened input, or of equal slices of `dim`); also the run of each element and the
    runs' lengths."""

    name = "unique_consecutive"
    differentiable = False

    def forward(self, ctx: Node, input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
        x, xp = input.array, input.device.backend.xp
        d = 0 if dim is None else check_dim("unique_consecutive", dim, x.ndim)
        rows = x.reshape(-1, 1) if dim is None else xp.moveaxis(x, d, 0).reshape(x.shape[d], math.prod(x.shape) // max(x.shape[d], 1))
        n = len(rows)
        first = xp.ones(n, bool)
        first[1:] = (rows[1:] != rows[:-1]).any(axis=1)
        starts = xp.flatnonzero(first)
        out = [x.reshape(-1)[starts] if dim is None else x.take(starts, axis=d)]
        if return_inverse:
            out.append((xp.cumsum(first) - 1).reshape(x.shape if dim is None else -1))
        if return_counts:
            out.append(xp.diff(xp.append(starts, n)))
        results = tuple([wrap(o, input.device) for o in out])
        return results if len(results) > 1 else results[0]

    def reference(self, x: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
        rows = list(np.moveaxis(x, dim, 0) if dim is not None else x.ravel())
        runs: list[list[int]] = []
        for i, row in enumerate(rows):
            if i and np.array_equal(row, rows[i - 1]):
                runs[-1].append(i)
            else:
                runs.append([i])
        out = [x.ravel()[[r[0] for r in runs]] if dim is None else x.take([r[0] for r in runs], dim)]
        if return_inverse:
            where = np.array([k for k, r in enumerate(runs) for _ in r], np.int64)
            out.append(where.reshape(x.shape) if dim is None else where)
        return [*out, np.array([len(r) for r in runs], np.int64)] if return_counts else out

    def cases(self) -> Iterable[Case]:
        i: dict[str, Any] = {"dtype": "int64", "low": 0, "high": 2}
        yield Case(T(0, 3, grad=False), dim=0)
        yield from (Case(T(9, **i)), Case(T(3, 4, **i), True, True), Case(T(6, 1, **i), dim=0, return_counts=True), Case(T(1, grad=False)))
