"""Element types and PyTorch's promotion rules.

A `dtype` wraps a NumPy dtype; bfloat16 comes from the package ml_dtypes. Promotion follows PyTorch:
categories rise bool < integer < floating; tensors with dimensions outrank zero-dimensional tensors, which
outrank Python numbers, and a lower rank only counts when its category is higher.
"""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

BOOL, INTEGER, FLOATING = range(3)


class dtype:
    """An element type, e.g. `tensorgrad.float32`. There is one instance per type: compare with `is` or `==`."""

    __slots__ = ("category", "is_floating_point", "is_signed", "itemsize", "name", "np")
    is_complex = False

    def __init__(self, name: str, np_type: Any, category: int):
        self.name = name
        self.np = np.dtype(np_type)
        self.itemsize = self.np.itemsize
        self.category = category
        self.is_floating_point = category == FLOATING
        self.is_signed = category == FLOATING or name.startswith("int")

    def __repr__(self) -> str:
        return f"tensorgrad.{self.name}"

    def __reduce__(self) -> tuple:
        return (as_dtype, (self.name,))


bool_ = dtype("bool", np.bool_, BOOL)
uint8 = dtype("uint8", np.uint8, INTEGER)
int8 = dtype("int8", np.int8, INTEGER)
int16 = dtype("int16", np.int16, INTEGER)
int32 = dtype("int32", np.int32, INTEGER)
int64 = dtype("int64", np.int64, INTEGER)
float16 = dtype("float16", np.float16, FLOATING)
bfloat16 = dtype("bfloat16", ml_dtypes.bfloat16, FLOATING)
float32 = dtype("float32", np.float32, FLOATING)
float64 = dtype("float64", np.float64, FLOATING)

ALL = (bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64)
FLOATS = (float16, bfloat16, float32, float64)
ALIASES = {"half": float16, "float": float32, "double": float64, "char": int8, "short": int16, "int": int32,
           "long": int64}
BY_NUMPY: dict[np.dtype, dtype] = {d.np: d for d in ALL}
BY_NAME: dict[str, dtype] = {d.name: d for d in ALL} | ALIASES
PYTHON_NUMBER = {bool: BOOL, int: INTEGER, float: FLOATING}

_default = float32


def get_default_dtype() -> dtype:
    """The floating type of `tensor([1.0])`, `zeros(3)` and of integers that meet a float (float32 at start)."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Set the default floating type; TypeError for any other kind of type."""
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"set_default_dtype: expected a floating dtype, got {d!r}")
    _default = d


def as_dtype(d: Any) -> dtype:
    """The dtype meant by `d`: a dtype, its name, a Python number type or anything NumPy takes for one."""
    if isinstance(d, dtype):
        return d
    if d is float or d is bool or d is int:
        return float64 if d is float else bool_ if d is bool else int64
    if isinstance(d, str) and d in BY_NAME:
        return BY_NAME[d]
    try:
        return BY_NUMPY[np.dtype(d)]
    except (TypeError, KeyError):
        names = ", ".join(t.name for t in ALL)
        raise TypeError(f"no dtype {d!r} in tensorgrad; there are: {names}") from None


def promote_types(a: dtype, b: dtype) -> dtype:
    """The smallest dtype both fit in, as PyTorch has it: int8 + uint8 is int16, float16 + bfloat16 is float32."""
    if a is b:
        return a
    if a.category != b.category:
        return a if a.category > b.category else b
    if a.itemsize != b.itemsize:
        return a if a.itemsize > b.itemsize else b
    return float32 if a.is_floating_point else int16  # float16 with bfloat16; int8 with uint8


def number_category(value: Any) -> int:
    """The promotion category of a Python or NumPy number."""
    if isinstance(value, (bool, np.bool_)):
        return BOOL
    return INTEGER if isinstance(value, (int, np.integer)) else FLOATING


def number_dtype(*values: Any) -> dtype:
    """The dtype of a tensor made from Python numbers: bool, int64 or the default floating one."""
    return (bool_, int64, _default)[max(number_category(v) for v in values)]


def result_type(*operands: Any) -> dtype:
    """The dtype of an element-wise operation on tensors (with dimensions or without) and Python numbers."""
    ranks: list[dtype | None] = [None, None, None]  # with dimensions, zero-dimensional, numbers
    for v in operands:
        array = getattr(v, "array", None)
        if array is not None:
            rank, d = (0 if array.ndim else 1), BY_NUMPY[array.dtype]
        else:
            rank, d = 2, number_dtype(v)
        seen = ranks[rank]
        ranks[rank] = d if seen is None else promote_types(seen, d)
    result: dtype | None = None
    for candidate in ranks:
        if candidate is not None and (result is None or candidate.category > result.category):
            result = candidate
    if result is None:
        raise TypeError("result_type: at least one tensor or number is needed")
    return result


def can_cast(source: dtype, target: dtype) -> bool:
    """Whether an in-place operation may store `source` in `target`: never from a higher category to a lower."""
    return source.category <= target.category


class finfo:
    """Limits of a floating dtype: `eps`, `max`, `min`, `tiny`, `bits`."""

    def __init__(self, d: dtype | None = None):
        d = d or _default
        if not d.is_floating_point:
            raise TypeError(f"finfo: {d} is not a floating type; use iinfo")
        info = ml_dtypes.finfo(d.np)
        self.bits, self.dtype = 8 * d.itemsize, d.name
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.tiny)
        self.resolution = float(info.resolution)


class iinfo:
    """Limits of an integer dtype: `max`, `min`, `bits`."""

    def __init__(self, d: dtype):
        if d.category != INTEGER:
            raise TypeError(f"iinfo: {d} is not an integer type; use finfo")
        info = np.iinfo(d.np)
        self.bits, self.dtype = info.bits, d.name
        self.max, self.min = int(info.max), int(info.min)
