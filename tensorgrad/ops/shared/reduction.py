"""What the reductions share: reading `dim`, and sums that keep their precision."""
from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ... import dispatch, dtypes
from ...cases import Case, T
from ...dtypes import dtype as DType
from ...graph import Node
from ...op import Op, fn, rung
from ...pointwise import ALL_TYPES, QUIET
from ...tensor import Tensor, check_dim, wrap

_HALF = (dtypes.float16.np, dtypes.bfloat16.np)


def reduced_dims(op: str, dim: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """The dimensions meant by `dim` (None or an empty sequence: all), counted from the front, each once."""
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return tuple(range(ndim))
    given = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    dims = tuple(check_dim(op, d, ndim) for d in given)
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"{op}: a dim appears more than once in {given}")
    return dims if ndim else ()


def spread(g: Tensor, dims: Sequence[int], keepdim: bool) -> Tensor:
    """A reduced tensor with the dimensions of size 1 that `keepdim=True` would have kept."""
    if not keepdim:
        for d in sorted(dims):
            g = g.unsqueeze(d)
    return g


class ValuesIndices(NamedTuple):
    """What `max`, `min`, `median`, `cummax`, ... return: the values and where they were."""

    values: Tensor
    indices: Tensor


SHARED_FROM = 1 << 14  # elements: several blocks may take on one result, and need a workspace for their parts of it
WORKSPACE = 1 << 13  # its float64s


class Reduction(Op):
    """Ops whose kernels reduce over dims: `kernel(device, x)(x, dims, keepdim, dtype of the result, *numbers)` gives a new array.

    A compiled kernel is called with the arrays to write, which keep the dims as 1, x, a workspace or None, and the numbers.
    """

    def kernel(self, device: Any, array: Any) -> Callable[..., Any]:
        picked = self.picked.get((device, array.dtype))
        if picked is None:
            kernel = dispatch.choose(self, device, dtypes.BY_NUMPY[array.dtype].name)
            picked = functools.partial(self.compiled, device.backend.xp, kernel.call) if kernel.writes else kernel.call
            self.picked[device, array.dtype] = picked
        return picked

    def compiled(self, xp: Any, run: Callable[..., None], x: Any, dims: tuple[int, ...], keepdim: bool, kind: Any, *numbers: float) -> Any:
        """A compiled kernel's answer in a new array."""
        y = xp.empty(tuple([1 if d in dims else n for d, n in enumerate(x.shape)]), kind)
        run(y, x, workspace(xp, x), *numbers)
        return y if keepdim else y.reshape([n for d, n in enumerate(x.shape) if d not in dims])

    def result_bytes(self, kind: DType) -> int:
        """Of one result, of elements of a dtype."""
        return kind.itemsize

    def cost(self, input: Any, dim: Any = None, *args: Any, **kwargs: Any) -> tuple[float, float]:
        dims = reduced_dims(self.name, None if isinstance(dim, bool) else dim, len(input.shape))  # var(x, unbiased)
        results = math.prod([n for d, n in enumerate(input.shape) if d not in dims])
        return float(math.prod(input.shape)), float(input.nbytes + results * self.result_bytes(input.dtype))


def workspace(xp: Any, x: Any) -> Any:
    """Where the blocks of a compiled reduction leave their parts of a result; None for small ones."""
    return xp.empty(WORKSPACE, np.float64) if x.size >= SHARED_FROM else None


def _run(x: Any, dims: tuple[int, ...], n: int) -> int:
    """How many of the n elements that a sum over `dims` adds up NumPy takes in one run."""
    if x.flags.c_contiguous and min(dims) == x.ndim - len(dims):
        return n
    fastest = min((d for d in range(x.ndim) if x.shape[d] > 1), key=lambda d: abs(x.strides[d]), default=0)
    return x.shape[fastest] if fastest in dims else 1


def numpy_sum(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, kind: np.dtype) -> Any:
    """Sum in the dtype `kind`; half precision accumulates in float32 and is rounded once.

    NumPy adds pairwise along one run of memory only; from run to run it adds one after the other, whose error grows with the count.
    Where there are many runs, float32 is added in float64.
    """
    accumulate: Any = np.float32 if kind in _HALF else kind
    if dims and x.ndim > 1 and np.dtype(accumulate) == np.float32:
        n = 1
        for d in dims:
            n *= x.shape[d]
        if n > 256 and n > 256 * _run(x, dims, n):
            accumulate = np.float64
    return x.sum(axis=dims, dtype=accumulate, keepdims=keepdim).astype(kind, copy=False)


def largest(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, least: float) -> Any:
    """The maximum over `dims`, `least` where there are no elements."""
    if all(x.shape[d] for d in dims):
        return x.max(axis=dims, keepdims=keepdim)
    return xp.full([1 if d in dims else n for d, n in enumerate(x.shape) if keepdim or d not in dims], least, x.dtype)


def refuse_empty(op: str, shape: tuple[int, ...], dims: Iterable[int]) -> None:
    """An error where a reduction without identity (max, argmax, median) meets no elements."""
    dims = tuple(dims)
    for d in dims:
        if shape[d] == 0:
            if len(dims) == len(shape):
                raise RuntimeError(f"{op}: an empty tensor of shape {tuple(shape)} has no such element; give a dim that is not empty")
            raise IndexError(f"{op}: dim {d} of shape {tuple(shape)} has no elements to choose from")


def share_evenly(g: Tensor, x: Tensor, y: Tensor, dims: Sequence[int], keepdim: bool) -> Tensor:
    """The gradient of an extremum over `dims`: to every element equal to it, in equal shares."""
    y = spread(y, dims, keepdim)
    chosen = fn.logical_or(x == y, y != y).to(x.dtype)  # a NaN result: all share, as nobody equals it
    return spread(g, dims, keepdim) * (chosen / chosen.sum(tuple(dims), True))


class EvenExtremum(Reduction):
    """amax and amin: the array module's function of the op's name over `dim`; equal elements share the gradient evenly."""

    def forward(self, ctx: Node, input: Tensor, dim: int | Sequence[int] = (), keepdim: bool = False) -> Tensor:
        x = input.array
        dims = reduced_dims(self.name, dim, x.ndim)
        refuse_empty(self.name, x.shape, dims)
        ctx.dims, ctx.keepdim = dims, keepdim
        out = wrap(QUIET.run(self.kernel(input.device, x), x, dims, keepdim, x.dtype), input.device)
        ctx.save(input, out)
        return out

    @rung("cpu/numpy", ALL_TYPES, writes=())
    def in_numpy(self, xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, kind: Any) -> Any:
        """The array module's function of the op's name."""
        return getattr(xp, self.name)(x, axis=dims, keepdims=keepdim)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        x, y = ctx.saved
        return share_evenly(g, x, y, ctx.dims, ctx.keepdim)

    def reference(self, x: Any, dim: Any = (), keepdim: Any = False) -> Any:
        axes = tuple(range(x.ndim)) if dim == () else tuple(dim) if isinstance(dim, list) else (dim,)
        extremum = (np.maximum if self.name == "amax" else np.minimum).reduce
        return extremum(x, axes, keepdims=keepdim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5, distinct=True)), Case(T(3, 5, distinct=True), dim=1))
        yield Case(T(2, 3, 5, distinct=True), dim=[0, -1], keepdim=True)
        yield from (Case(T()), Case(T(0, 3), dim=1), Case(T(6, dtype="int64", low=-9, high=9)))
        yield Case(T(values=[[1.0, np.nan], [2.0, np.inf]], grad=False), dim=1)
        yield Case(T(0, 3), dim=0, error=(IndexError, f"{self.name}: dim 0 of shape (0, 3) has no elements"), torch=False)
        yield Case(T(0), error=(RuntimeError, f"{self.name}: an empty tensor of shape (0,)"))


class Place(Reduction):
    """argmax and argmin: the array module's function of the op's name along `dim`, or of the flattened tensor."""

    differentiable = False

    def result_bytes(self, kind: DType) -> int:
        return 8

    def forward(self, ctx: Node, input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
        x, xp = input.array, input.device.backend.xp
        axis = None if dim is None else check_dim(self.name, dim, x.ndim)
        refuse_empty(self.name, x.shape, range(x.ndim) if axis is None else (axis,) if x.ndim else ())
        if x.ndim == 0:
            return wrap(xp.zeros((), np.int64), input.device)
        dims = tuple(range(x.ndim)) if axis is None else (axis,)
        return wrap(self.kernel(input.device, x)(x, dims, keepdim, np.dtype(np.int64)), input.device)

    @rung("cpu/numpy", ALL_TYPES, writes=())
    def in_numpy(self, xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, kind: Any) -> Any:
        """The array module's function of the op's name."""
        return xp.asarray(getattr(xp, self.name)(x, axis=None if len(dims) == x.ndim else dims[0], keepdims=keepdim), kind)

    def reference(self, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return getattr(np, self.name)(x, axis=dim, keepdims=keepdim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5, distinct=True)), Case(T(3, 5, distinct=True), 1), Case(T(3, 5, distinct=True), dim=0, keepdim=True))
        yield from (Case(T()), Case(T(2, 0, 3), 0), Case(T(values=[1, 3, 3, 1], dtype="int64")), Case(T(values=[1.0, np.nan, 3.0])))
        yield Case(T(2, 3), dim=2, error=(IndexError, f"{self.name}: dim 2 is out of range"))
        yield Case(T(0), error=(RuntimeError, f"{self.name}: an empty tensor of shape (0,)"), torch=False)


class Extremum(Reduction):
    """(values, indices) along a dimension, by the array-module function `ufunc` or the method `find` that finds the index."""

    ufunc = ""

    def result_bytes(self, kind: DType) -> int:
        return kind.itemsize + 8

    def find(self, xp: Any, x: Any, d: int) -> Any:
        """The index along `d`, kept as a dimension of size 1."""
        return getattr(xp, self.ufunc)(x, axis=d, keepdims=True)

    def forward(self, ctx: Node, input: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
        x, xp = input.array, input.device.backend.xp
        name = self.name.removesuffix("_along")
        d = check_dim(name, dim, x.ndim)
        ctx.shape, ctx.dim, ctx.keepdim = x.shape, d, keepdim
        if x.ndim == 0:
            index = wrap(xp.zeros((), np.int64), input.device)
            ctx.save(index)
            return wrap(x.copy(), input.device), index
        if x.shape[d] == 0:
            raise IndexError(f"{name}: dim {d} of shape {tuple(x.shape)} has no elements to choose from")
        values, where = self.kernel(input.device, x)(x, d, keepdim)
        index = wrap(where, input.device)
        ctx.save(index)
        return wrap(values, input.device), index

    @rung("cpu/numpy", ALL_TYPES, writes=())
    def in_numpy(self, xp: Any, x: Any, d: int, keepdim: bool) -> Any:
        """(values, indices) by the array module."""
        where = xp.asarray(self.find(xp, x.astype(np.float32) if x.dtype in _HALF else x, d), np.int64)
        values = xp.take_along_axis(x, where, d)
        return (values, where) if keepdim else (values.squeeze(d), where.squeeze(d))

    def compiled(self, xp: Any, run: Callable[..., None], x: Any, d: int, keepdim: bool) -> Any:
        shape = (*x.shape[:d], 1, *x.shape[d + 1:])
        values, where = xp.empty(shape, x.dtype), xp.empty(shape, np.int64)
        run(values, where, x, workspace(xp, x))
        return (values, where) if keepdim else (values.squeeze(d), where.squeeze(d))

    def backward(self, ctx: Node, g: Tensor, _: Tensor) -> Tensor:
        (index,) = ctx.saved
        if not ctx.shape:
            return g
        dims = () if ctx.keepdim else (ctx.dim,)
        return g.new_zeros(ctx.shape).scatter(ctx.dim, spread(index, dims, False), spread(g, dims, False))

    def reference(self, x: Any, dim: int, keepdim: bool = False) -> Any:
        find = getattr(np, self.ufunc)
        value = np.max if "max" in self.ufunc else np.min
        return value(x, axis=dim, keepdims=keepdim), find(x, axis=dim, keepdims=keepdim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5, distinct=True), 1), Case(T(3, 5, distinct=True), 0, keepdim=True), Case(T(7, distinct=True), 0))
        yield from (Case(T(2, 3, 4, distinct=True), -2), Case(T(2, 0, 3), 0), Case(T(values=[1, 3, 3, 1], dtype="int64"), 0))
        yield Case(T(values=[[1.0, np.nan, 3.0]], grad=False), 1)
        yield Case(T(2, 3), 2, error=(IndexError, f"{self.name.removesuffix('_along')}: dim 2 is out of range"))
        yield Case(T(0, 3), 0, error=(IndexError, "dim 0 of shape (0, 3) has no elements"))


def running(xp: Any, ufunc: str, x: Any, d: int) -> Any:
    """`ufunc` of all elements so far along `d`; where the array module cannot accumulate it, in log2(n) steps of twice the reach."""
    if xp is np or isinstance(x, np.ndarray):
        return QUIET.run(getattr(np, ufunc).accumulate, x, axis=d)
    y, reach, lead = x.copy(), 1, (slice(None),) * d
    while reach < x.shape[d]:
        y[(*lead, slice(reach, None))] = getattr(xp, ufunc)(y[(*lead, slice(reach, None))], y[(*lead, slice(None, -reach))])
        reach *= 2
    return y


class Running(Op):
    """(values, indices) of a running extremum along `dim`, by the array-module function `ufunc`."""

    ufunc = ""
    function = method = False

    def forward(self, ctx: Node, input: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        x, xp = input.array, input.device.backend.xp
        ctx.dim = d = check_dim(self.name.removesuffix("_along"), dim, x.ndim)
        if x.ndim == 0:
            values, index = x.copy(), xp.zeros((), np.int64)
        else:
            values = running(xp, self.ufunc, x, d)
            steps = xp.arange(x.shape[d], dtype=np.int64).reshape(-1, *[1] * (x.ndim - 1 - d))
            index = running(xp, "maximum", xp.where((x == values) | (x != x), steps, 0), d)
        out = wrap(index, input.device)
        ctx.save(out)
        return wrap(values, input.device), out

    def backward(self, ctx: Node, g: Tensor, _: Tensor) -> Tensor:
        (index,) = ctx.saved
        return g.new_zeros(g.shape).scatter_add(ctx.dim, index, g) if g.array.ndim else g

    def reference(self, x: Any, dim: int) -> Any:
        return running_reference(getattr(np, self.ufunc), x, dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(7, distinct=True), 0), Case(T(3, 5, distinct=True), 1), Case(T(2, 3, 4, distinct=True), -2), Case(T(), 0))
        yield from (Case(T(0), 0), Case(T(values=[1, 3, 3, 1], dtype="int64"), 0))
        yield Case(T(values=[1.0, np.nan, 3.0, np.nan], grad=False), 0)
        yield Case(T(2, 3), 2, error=(IndexError, f"{self.name.removesuffix('_along')}: dim 2 is out of range"))


def running_reference(ufunc: Any, x: Any, dim: int) -> tuple[Any, Any]:
    """Running extremum and the last index that held it, element by element."""
    if not x.ndim:
        return x, np.int64(0)
    values, index = ufunc.accumulate(x, axis=dim), np.zeros(x.shape, np.int64)
    v, rows, at = np.moveaxis(values, dim, -1), np.moveaxis(x, dim, -1), np.moveaxis(index, dim, -1)
    for i in np.ndindex(*rows.shape):
        at[i] = max([j for j in range(i[-1] + 1) if rows[(*i[:-1], j)] == v[i] or rows[(*i[:-1], j)] != rows[(*i[:-1], j)]])
    return values, index


def variance_arguments(op: str, input: Tensor, dim: Any, unbiased: bool | None, correction: float | None) -> tuple[tuple[int, ...], float]:
    """(dims, correction) of `var` and `std`, whose second argument may also be `unbiased`."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{op}: give unbiased or correction, not both")
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"{op}: needs a floating dtype, got {input.dtype.name}; convert with .float()")
    return reduced_dims(op, dim, input.array.ndim), float(correction if correction is not None else 1 if unbiased is None else unbiased)


def variance(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, divisor: float) -> Any:
    """The variance in two passes, mean first; half precision in float32."""
    wide = np.dtype(np.float32) if x.dtype.itemsize == 2 else x.dtype
    with np.errstate(all="ignore"):
        n = math.prod([x.shape[d] for d in dims])
        off = x.astype(wide, copy=False) - numpy_sum(xp, x, dims, True, wide) / wide.type(n)
        return numpy_sum(xp, off * off, dims, keepdim, wide) / wide.type(divisor)


class Spread(Reduction):
    """var and std."""

    @rung("cpu/numpy", "float16 bfloat16 float32 float64", writes=())
    def in_numpy(self, xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, kind: Any, divisor: float) -> Any:
        """In two passes, mean first."""
        y = variance(xp, x, dims, keepdim, divisor)
        return (xp.sqrt(y) if self.name == "std" else y).astype(kind, copy=False)


def variance_cases(op: str) -> Iterator[Case]:
    """Sample calls of `var` and `std`."""
    yield from (Case(T(3, 5)), Case(T(3, 5), 1), Case(T(3, 5), dim=[0, 1], correction=0), Case(T(2, 3, 4), dim=[0, -1], keepdim=True))
    yield from (Case(T(3, 5), False), Case(T(3, 5), 1, False), Case(T(3, 5), 0, True, True), Case(T(6), dim=0, correction=2))
    yield from (Case(T(2, 0, grad=False)), Case(T(3, 1, grad=False), dim=1))
    yield Case(T(2, 3), dim=2, error=(IndexError, f"{op}: dim 2 is out of range"))
    yield Case(T(3, dtype="int64", low=0, high=5), error=(RuntimeError, f"{op}: needs a floating dtype, got int64"))
