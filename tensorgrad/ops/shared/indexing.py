"""Reading an index expression such as `x[1, ..., None, 2:5, mask, [0, 2]]`, and checking index tensors.

PyTorch's rules: ints, slices, None and Ellipsis are applied first and give a view; index tensors and masks then act together on
what is left. Where those stand side by side their dimensions come in their place, else in front. NumPy has the same rule, except
that it counts an int beside an index array as an array: hence the two steps here.
"""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...arguments import is_number
from ...cuda.streams import capturing
from ...device import moved
from ...tensor import Tensor, check_dim

_ALL = slice(None)
PIECE = 64  # entries that one thread adds up


class Index:
    """A read index: `basic`, a NumPy key that gives a view, and `advanced`, a key of arrays for that view (or None).

    `unique`: no element is selected twice.
    """

    __slots__ = ("advanced", "basic", "unique")

    def __init__(self, basic: tuple, advanced: tuple | None = None, unique: bool = True):
        self.basic, self.advanced, self.unique = basic, advanced, unique

    def __repr__(self) -> str:
        return f"{self.basic}" + (f" then {self.advanced}" if self.advanced else "")


def read_index(op: str, index: Any, t: Tensor) -> Index:
    """The index for a tensor; IndexError names the dim and the index that do not fit."""
    kind = index.__class__
    if kind is Index:
        return index
    items = index if kind is tuple else (index,)
    ellipsis = False
    for item in items:
        c = item.__class__
        if c is int or item is None:
            continue
        if c is slice:
            if item.step is not None and not (item.step.__class__ is int and item.step > 0):
                return _read(op, items, t)
        elif item is Ellipsis and not ellipsis:
            ellipsis = True
        else:
            return _read(op, items, t)
    # The Ellipsis makes NumPy return a view also where every dimension is indexed by an int.
    return Index(items if ellipsis else (*items, Ellipsis))


def explain_index(op: str, index: Any, t: Tensor) -> IndexError:
    """Which part of an index NumPy refused."""
    try:
        _read(op, index if isinstance(index, tuple) else (index,), t)
    except IndexError as e:
        return e
    return IndexError(f"{op}: index {index!r} does not fit the shape {tuple(t.shape)}")


def _as_item(op: str, item: Any, t: Tensor) -> Any:
    """One item as int, slice, None, Ellipsis, bool or an array of ints or bools, on the device of the tensor it is for."""
    if item is None or item is Ellipsis or isinstance(item, (bool, int)):
        return item
    if isinstance(item, slice):
        parts = [p if p is None else int(p.item()) if isinstance(p, Tensor) else p.__index__() for p in (item.start, item.stop, item.step)]
        if parts[2] is not None and parts[2] <= 0:
            raise ValueError(f"{op}: slice steps must be positive, got {parts[2]}; flip() reverses a dim")
        return slice(*parts)
    if isinstance(item, Tensor):
        array = item.array if item.device is t.device else moved(item.array, item.device, t.device)
    elif isinstance(item, (list, tuple, range)):
        array = np.array([i.tolist() if isinstance(i, Tensor) else i for i in item])
        array = array.astype(np.int64) if array.size == 0 else array
    elif isinstance(item, (np.ndarray, np.generic)):
        array = np.asarray(item)
    else:
        raise TypeError(f"{op}: an index is made of ints, slices, None, Ellipsis, and tensors or lists of ints or bools; got "
                        f"{type(item).__name__}")
    if array.dtype == np.uint8:
        array = array.astype(bool)  # as PyTorch has it: uint8 tensors are masks
    if array.dtype.kind not in "iub":
        raise IndexError(f"{op}: index tensors hold ints or bools, not {array.dtype}")
    if array.ndim == 0:
        return bool(array) if array.dtype == bool else int(array)
    return t.device.backend.asarray(array)


def _is_mask(item: Any) -> bool:
    return getattr(item, "dtype", None) == np.dtype(bool)


def _read(op: str, given: tuple, t: Tensor) -> Index:
    x, device = t.array, t.device
    items = [_as_item(op, item, t) for item in given]
    used = sum(0 if i is None or i is Ellipsis or isinstance(i, bool) else i.ndim if _is_mask(i) else 1 for i in items)
    if used > x.ndim:
        raise IndexError(f"{op}: {used} indices for a tensor of {x.ndim} dimensions of shape {tuple(x.shape)}")
    if sum(i is Ellipsis for i in items) > 1:
        raise IndexError(f"{op}: an index can have only one Ellipsis")
    basic: list[Any] = []
    arrays: dict[int, Any] = {}  # dimension of the view that `basic` gives -> positions along it
    dim = place = 0
    for item in items:
        if item is Ellipsis:
            rest = x.ndim - used
            basic += [_ALL] * rest
            dim, place = dim + rest, place + rest
        elif item is None:
            basic.append(None)
            place += 1
        elif isinstance(item, bool):
            basic.append(None)
            arrays[place] = device.backend.xp.zeros(int(item), np.int64)
            place += 1
        elif isinstance(item, int):
            if not -x.shape[dim] <= item < x.shape[dim]:
                raise IndexError(f"{op}: index {item} is out of range for dim {dim} of size {x.shape[dim]}")
            basic.append(item)
            dim += 1
        elif isinstance(item, slice):
            basic.append(item)
            dim, place = dim + 1, place + 1
        elif _is_mask(item):
            k = item.ndim
            if item.shape != x.shape[dim:dim + k]:
                bad = next(d for d in range(k) if item.shape[d] != x.shape[dim + d])
                raise IndexError(f"{op}: a mask of shape {tuple(item.shape)} does not match the tensor of shape {tuple(x.shape)}: dim "
                                 f"{bad} of "
                                 f"the mask is {item.shape[bad]}, dim {dim + bad} of the tensor is {x.shape[dim + bad]}")
            arrays.update(enumerate(item.nonzero(), place))
            basic += [_ALL] * k
            dim, place = dim + k, place + k
        else:
            arrays[place] = positions(op, item, dim, x.shape[dim], device)
            basic.append(_ALL)
            dim, place = dim + 1, place + 1
    if not arrays:
        return Index((*basic, Ellipsis))
    shapes = [a.shape for a in arrays.values()]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise IndexError(f"{op}: index tensors of shapes {', '.join(map(str, shapes))} do not broadcast together") from None
    masks = [i for i in items if _is_mask(i)]
    unique = len(masks) == 1 and masks[0].ndim == len(arrays)
    return Index((*basic, Ellipsis), tuple(arrays.get(i, _ALL) for i in range(max(arrays) + 1)), unique)


def positions(op: str, index: Any, dim: int, size: int, device: Any, negative: bool = True) -> Any:
    """Checked positions along a dim, counted from the front (a copy where negative ones may come). IndexError names one out of range."""
    index = index.astype(np.int64, copy=negative)
    if device.backend.capturing():  # there are no values yet
        return device.backend.xp.where(index < 0, index + size, index) if negative else index
    if index.size:
        low, high = int(index.min()), int(index.max())
        least = -size if negative else 0
        if low < least or high >= size:
            bad = low if low < least else high
            raise IndexError(f"{op}: index {bad} is out of range for dim {dim} of size {size}")
        if low < 0:
            index[index < 0] += size
    return index


def check_index_tensor(op: str, index: Tensor, name: str = "index") -> Any:
    """The storage of an index tensor; TypeError unless it holds ints."""
    array = index.array
    if array.dtype.kind not in "iu":
        raise TypeError(f"{op}: {name} must hold ints (int64), not {index.dtype.name}")
    return array


def fits(op: str, value: Any, shape: tuple[int, ...], what: str) -> Any:
    """`value` (an array) with superfluous leading dims of size 1 dropped; RuntimeError unless it broadcasts to `shape`."""
    extra = value.ndim - len(shape)
    if extra > 0 and all(n == 1 for n in value.shape[:extra]):
        value = value.reshape(value.shape[extra:])
    lead = len(shape) - value.ndim
    if lead < 0 or any(n not in (1, m) for n, m in zip(value.shape, shape[lead:], strict=True)):
        raise RuntimeError(f"{op}: a value of shape {tuple(value.shape)} does not fit into {what} of shape {tuple(shape)}")
    return value


def check_number(op: str, value: Any, name: str) -> None:
    """TypeError unless `value` is a number."""
    if not is_number(value):
        raise TypeError(f"{op}: {name} must be a Tensor or a number, not a {type(value).__name__}; tensorgrad.tensor(...) makes one")


def index_along(op: str, t: Tensor, dim: int, index: Tensor) -> tuple[Any, int]:
    """(positions, dim) for picking from `t` along `dim` by an index tensor with as many dims; a scalar counts as one element in one dim."""
    given, x = check_index_tensor(op, index), t.array
    d = check_dim(op, dim, x.ndim)
    full = x.shape or (1,)
    i = given if given.ndim else given.reshape(1)
    if i.ndim != len(full):
        if i.size:
            raise RuntimeError(f"{op}: index of shape {tuple(given.shape)} and the tensor of shape {tuple(x.shape)} must have as many "
                               "dimensions")
        i = i.reshape((0,) * len(full))
    for k, (n, m) in enumerate(zip(i.shape, full, strict=True)):
        if k != d and n > m:
            raise RuntimeError(f"{op}: index has size {n} in dim {k} of {tuple(given.shape)} but the tensor has {m} in {tuple(x.shape)}")
    return positions(op, i, d, full[d], t.device, negative=False), d


def along_dim(op: str, t: Tensor, dim: int, index: Tensor) -> tuple[tuple, int]:
    """(key of arrays, dim) as `index_along`."""
    i, d = index_along(op, t, dim, index)
    xp = t.device.backend.xp
    grids: list[Any] = [xp.arange(n).reshape((1,) * k + (n,) + (1,) * (i.ndim - k - 1)) for k, n in enumerate(i.shape)]
    grids[d] = i
    return tuple(grids), d


def in_columns(a: Any, d: int, shape: tuple[int, ...]) -> Any:
    """`a` as (outer, n, inner) around dim `d`, in the other dims only as far as `shape` reaches; shares memory where strides allow."""
    part = a[tuple([slice(None) if k == d else slice(n) for k, n in enumerate(shape)])]
    return part.reshape(math.prod(shape[:d]), part.shape[d], math.prod(shape[d + 1:]))


def places_of(index: Any, n: int, xp: Any) -> Any:
    """Where positions `index` (outer, m, inner) lie in an array (outer, n, inner), in row-major order."""
    outer, _, inner = index.shape
    return ((xp.arange(outer)[:, None, None] * n + index) * inner + xp.arange(inner)).reshape(-1)


def distinct_along(op: str, input: Tensor, dim: int, index: Tensor) -> int:
    """How many elements of the input an index along a dim names."""
    i, d = index_along(op, input, dim, index)
    xp = input.device.backend.xp
    return int(xp.unique(places_of(in_columns(i, d, i.shape), (input.array.shape or (1,))[d], xp)).size)


def runs_of(index: Any, xp: Any) -> tuple[Any, Any]:
    """(order, bounds): `order` sorts `index`, equal ones as they come; run r of equal ones is order[bounds[r]:bounds[r + 1]]."""
    order = xp.argsort(index, kind="stable")
    in_order = index[order]
    if capturing():  # nobody knows how many runs there are: as many as entries, the last ones of none
        n = len(index)
        starts = xp.where(in_order[1:] != in_order[:-1], xp.arange(1, n), n)
        return order, xp.concatenate([xp.zeros(1, np.int64), xp.sort(starts), xp.full(1, n)])
    return order, xp.concatenate([xp.zeros(1, np.int64), xp.flatnonzero(in_order[1:] != in_order[:-1]) + 1, xp.full(1, len(index))])


def flat_places(places: Any, shape: tuple[int, ...]) -> Any:
    """Checked positions along each dim as positions in row-major order."""
    flat, step = 0, 1
    for at, n in zip(reversed(places), reversed(shape), strict=True):
        flat, step = flat + at * step, step * n
    return flat


def pieces_of(bounds: Any, places: Any, columns: int, xp: Any) -> tuple[Any, Any, Any]:
    """Runs of sorted entries, run r of which go to row places[r], cut into pieces of at most PIECE for csrc/cuda/indexing/v02_pieces.cu:
    (memory for the sums of pieces of runs that have several, (begin, end, place, row of that memory or -1) of each piece, (place, first
    row, rows) of each run that has several)."""
    counts = xp.maximum(-((bounds[:-1] - bounds[1:]) // PIECE), 1)
    first = xp.concatenate([xp.zeros(1, np.int64), xp.cumsum(counts)])
    several = xp.flatnonzero(counts > 1)
    part = xp.zeros(len(counts), np.int64)
    part[several] = xp.cumsum(counts[several]) - counts[several]
    number = xp.arange(int(first[-1]))
    run = xp.searchsorted(first, number, side="right") - 1
    begin = bounds[run] + (number - first[run]) * PIECE
    kept = xp.where(counts[run] > 1, part[run] + number - first[run], -1)
    pieces = xp.stack([begin, xp.minimum(begin + PIECE, bounds[run + 1]), places[run], kept], 1)
    merges = xp.stack([places[several], part[several], counts[several]], 1)
    return xp.empty((int(counts[several].sum()), columns), np.float64), pieces, merges


def rows_along(op: str, input: Tensor, dim: int, index: Tensor, source: Tensor) -> tuple[int, Any, Any]:
    """(dim, positions, source in the dtype of the input) for ops that write entries of `source` at `index` of a dim."""
    x, s = input.array, source.array
    d = check_dim(op, dim, x.ndim)
    i = check_index_tensor(op, index)
    if i.ndim > 1:
        raise IndexError(f"{op}: index must have one dimension, it has shape {tuple(i.shape)}")
    i = positions(op, i.reshape(-1), d, x.shape[d] if x.ndim else 1, input.device, negative=False)
    if s.dtype != x.dtype:
        raise RuntimeError(f"{op}: the tensor is {input.dtype.name} but source is {source.dtype.name}; convert one with .to(...)")
    s = s.reshape(1) if not s.ndim else s
    full = x.shape or (1,)
    if s.ndim != len(full):
        raise RuntimeError(f"{op}: source of shape {tuple(source.shape)} must have as many dimensions as the tensor of shape "
                           f"{tuple(x.shape)}")
    for k, (n, m) in enumerate(zip(s.shape, full, strict=True)):
        if k == d and n != len(i):
            raise RuntimeError(f"{op}: source has {n} entries in dim {d} of {tuple(s.shape)} but index has {len(i)}")
        if k != d and n != m:
            raise RuntimeError(f"{op}: source of shape {tuple(s.shape)} does not fit the tensor of shape {tuple(x.shape)} in dim {k}")
    return d, i, s


def scatter_source(op: str, input: Tensor, index: Tensor, src: Tensor) -> Any:
    """The part of `src` that an index of smaller or equal shape covers; RuntimeError where it is too small or of another dtype."""
    s, i = src.array, index.array
    if s.dtype != input.array.dtype:
        raise RuntimeError(f"{op}: the tensor is {input.dtype.name} but src is {src.dtype.name}; convert one with .to(...)")
    if s.ndim != i.ndim and i.size:
        raise RuntimeError(f"{op}: index of shape {tuple(i.shape)} and src of shape {tuple(s.shape)} must have as many dimensions")
    for k, (n, m) in enumerate(zip(i.shape, s.shape, strict=False)):
        if n > m:
            raise RuntimeError(f"{op}: index has size {n} in dim {k} of {tuple(i.shape)} but src has {m} in {tuple(s.shape)}")
    return s[tuple([slice(n) for n in i.shape])] if i.ndim else s
