"""scatter_reduce: combine along one dimension at an index of the source's shape."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..tensor import Tensor, wrap
from .shared.indexing import along_dim, flat_places, runs_of, scatter_source
from .shared.overwrite import Overwriting

REDUCTIONS = {"sum": "add", "prod": "multiply", "mean": "add", "amax": "maximum", "amin": "minimum"}


class ScatterReduce(Overwriting):
    """input, with the elements of `src` that `index` sends to one place combined there by `reduce`: sum, prod, mean, amax, amin.

    With `include_self` the input's element is combined too, else it is replaced where anything arrives. Shapes as for `scatter`. The
    gradient of amax and amin is shared equally among equal elements. Integer means are rounded down.
    """

    name = "scatter_reduce"

    def forward(self, ctx: Node, input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True) -> Tensor:
        if reduce not in REDUCTIONS:
            raise ValueError(f"{self.name}: reduce must be one of {', '.join(REDUCTIONS)}, not {reduce!r}")
        key, d = along_dim(self.name, input, dim, index)
        s = scatter_source(self.name, input, index, src)
        s = s if s.ndim else s.reshape(1)
        if ctx.edges is not None:  # the copy keeps what an in-place change overwrites
            before = wrap(input.array.copy(), input.device) if self.mutates else input
            if self.mutates:
                before.edge, before.tracked = input.edge, input.tracked
            ctx.save(before, index, src)
        ctx.args = (d, reduce, include_self)
        x = self.target(input)
        into = x if x.ndim else x.reshape(1)
        wide = into.astype(np.float32) if into.dtype.itemsize == 2 and into.dtype.kind not in "iu" else into.copy()
        if not include_self:
            wide[key] = {"sum": 0, "mean": 0, "prod": 1}.get(reduce, extreme(wide.dtype, reduce))
        xp = input.device.backend.xp
        combine_at(input.device, REDUCTIONS[reduce], wide, key, d, s)
        if reduce == "mean":
            count = xp.full(wide.shape, int(include_self), np.int64)
            combine_at(input.device, "add", count, key, d, xp.ones(key[d].shape, np.int64))
            count = xp.maximum(count, 1).astype(wide.dtype)
            wide = wide // count if wide.dtype.kind in "iu" else wide / count
        into[...] = wide
        return wrap(x, input.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, index, src = ctx.saved
        d, reduce, include = ctx.args
        shape = src.array.shape
        part = fn.getitem(src, tuple([slice(n) for n in index.array.shape]))
        hit = fn.scatter_values(g.new_zeros(x.shape), d, index, 1)  # 1 where anything arrives
        keep = g.new_ones(x.shape) if include else 1 - hit
        weight = fn.scatter_add(keep, d, index, part.new_ones(part.shape))  # how many were combined
        if reduce in ("sum", "mean"):
            g = g / fn.masked_fill(weight, fn.eq(weight, 0), 1) if reduce == "mean" else g
            return g * keep, None, fn.from_corner(fn.gather(g, d, index), shape)
        result = fn.scatter_reduce(x.detach(), d, index, part.detach(), reduce, include_self=include)
        if reduce == "prod":
            return self._prod_backward(g, x, index, part, shape, d, include, hit)
        mine = fn.eq(x, result).to(x.dtype) * keep if include else keep
        theirs = fn.eq(part, fn.gather(result, d, index)).to(x.dtype)
        share = g / fn.scatter_add(mine, d, index, theirs)
        return share * mine, None, fn.from_corner(fn.gather(share, d, index) * theirs, shape)

    def _prod_backward(self, g: Tensor, x: Tensor, index: Tensor, part: Tensor, shape: Any, d: int, include: bool, hit: Tensor) -> tuple:
        """Products with the own factor left out, by division; where it is zero, of the others' products (zeros set to 1)."""
        zero_x, zero = fn.eq(x, 0), fn.eq(part, 0)
        safe_x, safe = fn.masked_fill(x, zero_x, 1), fn.masked_fill(part, zero, 1)
        product = fn.scatter_reduce(safe_x, d, index, safe, "prod", include_self=include)
        own = zero_x.to(x.dtype) if include else x.new_zeros(x.shape)
        zeros = fn.scatter_add(own, d, index, zero.to(x.dtype))  # zero factors at each place
        rest = product * fn.eq(zeros, 0).to(x.dtype)
        lone = product * fn.eq(zeros, 1).to(x.dtype)
        keep = 1 if include else 1 - hit
        to_x = g * keep * (rest / safe_x * (1 - own) + lone * own) if include else g * keep
        to_part = rest_at(g, rest, d, index) / safe * (1 - zero.to(x.dtype)) + rest_at(g, lone, d, index) * zero.to(x.dtype)
        return to_x, None, fn.from_corner(to_part, shape)

    def reference(self, x: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool = True) -> Any:
        combine: Any = {"sum": np.sum, "prod": np.prod, "mean": np.mean, "amax": np.max, "amin": np.min}[reduce]
        y = x.copy()
        for place in np.ndindex(*x.shape):
            arrived = [src[p] for p in np.ndindex(*index.shape) if (*p[:dim], index[p], *p[dim + 1:]) == place]
            if arrived:
                y[place] = combine(([x[place]] if include_self else []) + arrived)
        return y

    def cases(self) -> Iterable[Case]:
        i = T(values=[[0, 2, 1], [2, 0, 1]], dtype="int64")
        for reduce in REDUCTIONS:
            for include in (True, False):
                yield Case(T(3, 4, distinct=True), 0, i, T(2, 3, distinct=True), reduce, include_self=include)
        yield Case(T(4), 0, T(6, dtype="int64", low=0, high=4), T(6, distinct=True), "amax")
        zeros = T(values=[0, 0, 1, 1, 2, 2], dtype="int64"), T(values=[2.0, 3.0, 0.0, 4.0, 0.0, 0.0])
        for include in (True, False):
            yield Case(T(values=[0.0, 2.0, 3.0]), 0, *zeros, "prod", include_self=include, smooth=False)
        yield Case(T(3), 0, i, T(3), "sum", error=(RuntimeError, "must have as many dimensions"))
        yield Case(T(3), 0, T(values=[0], dtype="int64"), T(1), "max", error=(ValueError, "reduce must be one of sum"), torch=False)


def combine_at(device: Any, ufunc: str, x: Any, key: tuple, d: int, values: Any) -> None:
    """x[key] = ufunc(x[key], values), one after the other where places come again: those that come for the k-th time together."""
    xp = device.backend.xp
    if isinstance(x, np.ndarray):
        return getattr(np, ufunc).at(x, key, values)
    if ufunc == "add":
        return fn.scatter_add.op.add_columns(device, x, d, key[d], values.astype(x.dtype, copy=False))  # type: ignore[no-any-return]
    if device.backend.capturing():
        raise RuntimeError("scatter_reduce: products, largest and smallest elements cannot be captured in a graph, as how often a place "
                           "comes again decides what is launched; sums and means can")
    places = flat_places([xp.broadcast_to(k, values.shape).reshape(-1) for k in key], x.shape)
    order, bounds = runs_of(places, xp)
    place, flat, v = places[order], x.reshape(-1), values.reshape(-1)[order]
    first = bounds[xp.searchsorted(bounds, xp.arange(len(place)), side="right") - 1]
    turn = xp.arange(len(place)) - first
    for k in range(int(turn.max()) + 1 if len(place) else 0):
        now = xp.flatnonzero(turn == k)
        flat[place[now]] = getattr(xp, ufunc)(flat[place[now]], v[now].astype(x.dtype))


def extreme(kind: np.dtype, reduce: str) -> Any:
    """What every element beats: the neutral element of amax and amin."""
    if kind.kind in "iu":
        return np.iinfo(kind).min if reduce == "amax" else np.iinfo(kind).max
    return -np.inf if reduce == "amax" else np.inf


def rest_at(g: Tensor, values: Tensor, d: int, index: Tensor) -> Tensor:
    """g * values, gathered."""
    return fn.gather(g * values, d, index)
