"""nonzero: where the elements are not zero."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap


class NonZero(Op):
    """The indices of the elements that are not zero, in row-major order: (count, ndim) in int64; with `as_tuple` one vector for each
    dim."""

    name = "nonzero"
    differentiable = False

    def forward(self, ctx: Node, input: Tensor, *, as_tuple: bool = False) -> Any:
        x, xp = input.array, input.device.backend.xp
        if as_tuple:
            return tuple([wrap(i, input.device) for i in xp.atleast_1d(x).nonzero()])
        places = xp.stack(x.nonzero(), 1) if x.ndim else xp.zeros((int(x != 0), 0), np.int64)
        return wrap(places.astype(np.int64, copy=False), input.device)

    def reference(self, x: Any, as_tuple: bool = False) -> Any:
        found = [place for place in np.ndindex(*x.shape) if x[place] != 0]
        if not as_tuple:
            return np.array(found, np.int64).reshape(len(found), x.ndim)
        return [np.array([f[d] for f in found], np.int64) for d in range(x.ndim)] or [np.zeros(len(found), np.int64)]

    def cases(self) -> Iterable[Case]:
        i: dict[str, Any] = {"dtype": "int64", "low": 0, "high": 2}
        yield from (Case(T(5, **i)), Case(T(3, 4, **i)), Case(T(2, 0, **i)), Case(T(values=3.0)), Case(T(values=0.0)))
        yield Case(T(3, 4, dtype="bool"))
        yield from (Case(T(3, 4, **i), as_tuple=True), Case(T(values=[0.0, -0.0, 2.0])))


class ArgWhere(Op):
    """`nonzero(input)`: the indices of the elements that are not zero, one row each."""

    name = "argwhere"
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        return fn.nonzero(input)

    def reference(self, x: Any) -> Any:
        return np.argwhere(x)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5, dtype="int64", low=0, high=2)), Case(T(3, 4, dtype="bool")))
