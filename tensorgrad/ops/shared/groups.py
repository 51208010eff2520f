"""Operands of grouped products: which fit, and where their groups end."""
from __future__ import annotations

import itertools
from typing import Any

from ...dtypes import dtype as DType
from ...tensor import Tensor


def ends_of_groups(name: str, a: Tensor, b: Tensor, offs: Tensor | None, bias: Tensor | None, out_dtype: DType | None) -> Any:
    """Where groups end, as an array without gaps; None where nothing is divided. RuntimeError unless the operands fit."""
    x, y = a.array, b.array
    if a.device is not b.device or (offs is not None and offs.device is not a.device):
        where = ", ".join(str(t.device) for t in (a, b, offs) if t is not None)
        raise RuntimeError(f"{name}: mat_a, mat_b and offs must be on one device, they are on {where}; move them with .to(...)")
    if x.dtype != y.dtype or not a.dtype.is_floating_point:
        raise RuntimeError(f"{name}: mat_a is {a.dtype.name} and mat_b {b.dtype.name}; both must be of one floating dtype")
    if bias is not None or out_dtype not in (None, a.dtype):
        raise RuntimeError(f"{name}: " + ("bias is not supported, as in PyTorch; add it to the result" if bias is not None else
                           "out_dtype must be the operands' dtype, as in PyTorch; convert the result with .to(...)"))
    shapes = [f"mat_a {tuple(x.shape)}", f"mat_b {tuple(y.shape)}", *([] if offs is None else [f"offs {tuple(offs.shape)}"])]
    both = " and ".join(shapes[:2])
    if x.ndim not in (2, 3) or y.ndim not in (2, 3):
        raise RuntimeError(f"{name}: {both} must have 2 or 3 dimensions")
    if x.shape[-1] != y.shape[-2]:
        raise RuntimeError(f"{name}: dim {x.ndim - 1} of {shapes[0]} is {x.shape[-1]} "
                           f"but dim {y.ndim - 2} of {shapes[1]} is {y.shape[-2]}")
    if (offs is None) != (x.ndim == y.ndim == 3):
        raise RuntimeError(f"{name}: {both} " + ("need offs, where each group ends" if offs is None else
                                                 "are divided into groups already: offs must be None"))
    if offs is not None and (offs.dtype.name != "int32" or offs.ndim != 1):
        raise RuntimeError(f"{name}: offs must be int32 of one dimension, it is {offs.dtype.name} of shape {tuple(offs.shape)}")
    groups = [len(t) for t in (x, y) if t.ndim == 3] + ([] if offs is None else [len(offs.array)])
    if len(set(groups)) > 1:
        raise RuntimeError(f"{name}: {', '.join(shapes[:-1])} and {shapes[-1]} have {' and '.join(map(str, groups))} groups")
    return None if offs is None else as_ends(name, offs, x.shape[0] if y.ndim == 3 else y.shape[1] if x.ndim == 3 else x.shape[1])


def as_ends(name: str, offs: Tensor, length: int) -> Any:
    """`offs` as an array without gaps; where its values can be looked at, IndexError unless they divide 0 .. length."""
    backend = offs.device.backend
    ends = backend.xp.ascontiguousarray(offs.array)
    if not backend.capturing() and len(ends):
        told = [0, *backend.to_numpy(ends).tolist()]
        for i, (before, end) in enumerate(itertools.pairwise(told)):
            if not before <= end <= length:
                raise IndexError(f"{name}: offs[{i}] is {end}, which is not from {before} to {length}")
    return ends
