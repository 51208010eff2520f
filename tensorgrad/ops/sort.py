"""sort: values in order, and where they were."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, check_dim, wrap


class Sorted(NamedTuple):
    """Values and their indices along the dim."""

    values: Tensor
    indices: Tensor


def order(x: Any, d: int, descending: bool) -> Any:
    """The indices that sort storage `x` along `d`, equal elements in their order; NaN counts as the largest.

    The storage's own sort does the work: NumPy's on cpu and emu, CuPy's on cuda. There is no kernel of ours.
    """
    if x.dtype.itemsize == 2 and x.dtype.kind not in "iu":
        x = x.astype(np.float32)  # exact, and compared faster
    if not descending:
        return x.argsort(axis=d, kind="stable")
    back = (slice(None),) * d + (slice(None, None, -1),)
    return x.shape[d] - 1 - x[back].argsort(axis=d, kind="stable")[back]


class Sort(Op):
    """(values, indices) along `dim`, ascending or descending. Equal elements keep their order (always, `stable` or not); NaN is the
    largest."""

    name = "sort"
    composite = True

    def forward(self, input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Sorted:
        return Sorted(*fn.sort_pair(input, dim, descending))

    def reference(self, x: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
        if not x.ndim:
            return x, np.zeros((), np.int64)
        indices = np.argsort(-x if descending else x, dim, kind="stable")
        return np.take_along_axis(x, indices, dim), indices

    def cases(self) -> Iterable[Case]:
        d: dict[str, Any] = {"distinct": True}
        yield from (Case(T(7, **d)), Case(T(3, 5, **d), 0), Case(T(3, 5, **d), dim=-1, descending=True), Case(T(2, 3, 2, **d), 1))
        yield from (Case(T(0, 3)), Case(T()))
        yield from (Case(T(9, dtype="int64", low=0, high=4), descending=True), Case(T(9, dtype="int32", low=0, high=4)))
        yield Case(T(values=[1.0, float("nan"), -float("inf"), 0.0], grad=False))
        yield Case(T(3), 1, error=(IndexError, "sort: dim 1 is out of range"))


class SortPair(Op):
    """`sort` as an op with two results."""

    name = "sort_pair"
    function = method = False

    def forward(self, ctx: Node, input: Tensor, dim: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
        x = input.array
        d = check_dim("sort", dim, x.ndim)
        if not x.ndim:
            i, y = input.device.backend.xp.zeros((), np.int64), x.copy()
        else:
            i = order(x, d, descending)
            y = input.device.backend.xp.take_along_axis(x, i, d)
        indices = wrap(i, input.device)
        ctx.dim, ctx.indices = d, i
        return wrap(y, input.device), indices

    def backward(self, ctx: Node, g: Tensor, _: Tensor) -> Tensor:
        return fn.scatter_values(g.new_zeros(g.shape), ctx.dim, wrap(ctx.indices, g.device), g)

    def reference(self, x: Any, dim: int = -1, descending: bool = False) -> Any:
        return Sort.reference(self, x, dim, descending)  # type: ignore[arg-type]

    def cases(self) -> Iterable[Case]:
        yield Case(T(4, 3, distinct=True), 0, True)
