"""Making tensors: from data, filled, ranged. (Random ones are in random.py.)"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import dtypes
from .arguments import is_number
from .dtypes import dtype as DType
from .tensor import Tensor, as_device, wrap

__all__ = ["arange", "as_tensor", "asarray", "empty", "empty_like", "eye", "from_numpy", "full", "full_like", "linspace",
           "logspace", "meshgrid", "ones", "ones_like", "scalar_tensor", "tensor", "zeros", "zeros_like"]


# From data.


def tensor(data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of `data`: numbers, nested sequences, NumPy arrays or tensors.

    Python floats become the default dtype, ints int64, bools bool; arrays and tensors keep their dtype. ValueError for ragged
    nesting, TypeError for what is no number.
    """
    if isinstance(data, Tensor):
        device = data.device if device is None else device
        array = np.array(data.device.backend.to_numpy(data.array))
    elif hasattr(data, "__cuda_array_interface__"):
        return as_tensor(data, dtype, device).clone().requires_grad_(requires_grad)
    else:
        array = _from_python(data, dtype)
    if dtype is not None:
        array = array.astype(dtypes.as_dtype(dtype).np, copy=False)
    where = as_device(device)
    return _finish(where.backend.asarray(array), where, requires_grad)


def _from_python(data: Any, dtype: DType | None) -> np.ndarray:
    if isinstance(data, (list, tuple)) and any(isinstance(d, Tensor) for d in data):
        data = [d.tolist() if isinstance(d, Tensor) else d for d in data]
    try:
        array = np.array(data)
    except ValueError as e:
        raise ValueError(f"tensor: the nested sequences have unequal lengths: {e}") from None
    if array.dtype not in dtypes.BY_NUMPY:
        raise TypeError(f"tensor: cannot make a tensor of {type(data).__name__} with elements of type {array.dtype}")
    python = not isinstance(data, (np.ndarray, np.generic))
    if python and (array.size == 0 or (array.dtype == np.float64 and dtype is None)):
        array = array.astype(dtypes.get_default_dtype().np)
    return array


def _finish(array: Any, where: Any, requires_grad: bool) -> Tensor:
    out = wrap(array, where)
    return out.requires_grad_() if requires_grad else out


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """A tensor of `data`, sharing memory where dtype and device allow it."""
    if isinstance(data, np.ndarray):
        data = from_numpy(data)
    elif hasattr(data, "__cuda_array_interface__") and not isinstance(data, Tensor):
        data = from_gpu(data)
    if isinstance(data, Tensor):
        return data.to(device=as_device(device) if device is not None else data.device, dtype=dtype or data.dtype)
    return tensor(data, dtype=dtype, device=device)


asarray = as_tensor


def from_gpu(data: Any) -> Tensor:
    """A tensor on cuda sharing the memory of another library's array, which offers `__cuda_array_interface__`."""
    from .device import device as Device

    array = Device("cuda").backend.xp.asarray(data)
    if array.dtype not in dtypes.BY_NUMPY:
        raise TypeError(f"tensor: elements of type {array.dtype} have no counterpart; there are {', '.join(d.name for d in dtypes.ALL)}")
    return wrap(array, Device("cuda", array.device.id))


def from_numpy(array: np.ndarray) -> Tensor:
    """A CPU tensor sharing the memory of a NumPy array; TypeError for element types without a counterpart.

    ValueError where the strides are not whole elements, as in a field of a structured array."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}")
    if not array.dtype.isnative:
        raise TypeError("from_numpy: the array is not of native byte order; use array.astype(array.dtype.newbyteorder('='))")
    if array.dtype not in dtypes.BY_NUMPY:
        raise TypeError(f"from_numpy: NumPy type {array.dtype} has no counterpart; there are {', '.join(d.name for d in dtypes.ALL)}")
    if any(step % array.itemsize for step, n in zip(array.strides, array.shape, strict=True) if n > 1):
        raise ValueError(f"from_numpy: strides of {array.strides} bytes are no whole elements of {array.itemsize} bytes (a field of a "
                         "structured array?); pass array.copy()")
    return wrap(array)


def scalar_tensor(value: float, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor without dimensions, of the default dtype."""
    return tensor(value, dtype=dtype or dtypes.get_default_dtype(), device=device, requires_grad=requires_grad)


# Filled.


def shape_of(op: str, given: tuple, size: Any = None) -> tuple[int, ...]:
    """Sizes given one by one, or as one sequence, or by name; refuses negative ones."""
    if size is not None:
        given = tuple(size)
    elif len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = tuple(given[0])
    try:
        shape = tuple([s.__index__() for s in given])
    except (AttributeError, TypeError):
        raise TypeError(f"{op}: size must be ints, got {given!r}") from None
    if min(shape, default=0) < 0:
        raise RuntimeError(f"{op}: sizes must not be negative, got {shape}")
    return shape


def _filled(op: str, given: tuple, size: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    where = as_device(device)
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.get_default_dtype()
    return _finish(getattr(where.backend.xp, op)(shape_of(op, given, size), kind.np), where, requires_grad)


def zeros(*args: Any, size: Sequence[int] | None = None, dtype: DType | None = None, device: Any = None,
          requires_grad: bool = False) -> Tensor:
    """Zeros of the given size."""
    return _filled("zeros", args, size, dtype, device, requires_grad)


def ones(*args: Any, size: Sequence[int] | None = None, dtype: DType | None = None, device: Any = None,
         requires_grad: bool = False) -> Tensor:
    """Ones of the given size."""
    return _filled("ones", args, size, dtype, device, requires_grad)


def empty(*args: Any, size: Sequence[int] | None = None, dtype: DType | None = None, device: Any = None,
          requires_grad: bool = False) -> Tensor:
    """Uninitialised memory of the given size."""
    return _filled("empty", args, size, dtype, device, requires_grad)


def full(size: Sequence[int] | int, fill_value: float, *, dtype: DType | None = None, device: Any = None,
         requires_grad: bool = False) -> Tensor:
    """A tensor of the given size filled with a number, whose kind decides the dtype where none is given."""
    shape = shape_of("full", tuple(size) if isinstance(size, (tuple, list)) else (size,))
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    if not is_number(fill_value):
        raise TypeError(f"full: fill_value must be a number, got {type(fill_value).__name__}")
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.number_dtype(fill_value)
    where = as_device(device)
    return _finish(where.backend.xp.full(shape, fill_value, kind.np), where, requires_grad)


def _like(maker: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`zeros_like` from `zeros`: the shape, dtype and device of another tensor, where nothing else is asked for."""

    def like(input: Tensor, *fill: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False,
             **fill_value: Any) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(f"{like.__name__}: input must be a Tensor, not a {type(input).__name__}")
        where = input.device if device is None else device
        return maker(input.shape, *fill, dtype=dtype or input.dtype, device=where, requires_grad=requires_grad, **fill_value)

    like.__name__ = like.__qualname__ = f"{maker.__name__}_like"
    like.__doc__ = f"As `{maker.__name__}`, with the shape, dtype and device of `input` where nothing else is asked for."
    return like


zeros_like, ones_like, empty_like, full_like = _like(zeros), _like(ones), _like(empty), _like(full)


def _new(name: str, maker: Callable[..., Tensor]) -> None:
    """Give Tensor a method `new_<name>`, with the tensor's dtype and device as defaults."""

    def method(self: Tensor, *args: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False,
               **kwargs: Any) -> Tensor:
        return maker(*args, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad, **kwargs)

    method.__name__ = method.__qualname__ = f"new_{name}"
    method.__doc__ = f"As `tensorgrad.{name}`, with this tensor's dtype and device where none is given."
    setattr(Tensor, method.__name__, method)


for _maker in (zeros, ones, empty, full, tensor):
    _new(_maker.__name__, _maker)


# Ranged.


def arange(start: float, end: float | None = None, step: float = 1, *, dtype: DType | None = None, device: Any = None,
           requires_grad: bool = False) -> Tensor:
    """start, start + step, ... while below `end` (above it, for a negative step): ceil((end - start) / step) numbers.

    `arange(end)` starts at 0. int64 when all arguments are ints, else the default dtype.
    """
    if end is None:
        start, end = 0, start
    start, end, step = (v.item() if isinstance(v, Tensor) else v for v in (start, end, step))
    if not all(is_number(v) for v in (start, end, step)):
        raise TypeError(f"arange: expected numbers, got {start!r}, {end!r}, {step!r}")
    if step == 0 or (end - start) * step < 0 or not all(map(math.isfinite, (start, end, step))):
        raise RuntimeError(f"arange: from {start} to {end} in steps of {step} never ends or goes nowhere")
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.number_dtype(start, end, step)
    count = math.ceil((end - start) / step)
    where = as_device(device)
    xp = where.backend.xp
    if kind.is_floating_point:
        values = (start + xp.arange(count, dtype=np.float64) * step).astype(kind.np)
    else:
        values = (int(start) + xp.arange(count, dtype=np.int64) * int(step)).astype(kind.np)
    return _finish(values, where, requires_grad)


def linspace(start: float, end: float, steps: int, *, dtype: DType | None = None, device: Any = None,
             requires_grad: bool = False) -> Tensor:
    """`steps` numbers from `start` to `end`, both included, at equal distances."""
    if not isinstance(steps, int) or steps < 0:
        raise RuntimeError(f"linspace: steps must be a number of elements, got {steps!r}")
    start, end = (v.item() if isinstance(v, Tensor) else v for v in (start, end))
    where = as_device(device)
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.get_default_dtype()
    return _finish(where.backend.xp.linspace(start, end, steps, dtype=np.float64).astype(kind.np), where, requires_grad)


def logspace(start: float, end: float, steps: int, base: float = 10.0, *, dtype: DType | None = None, device: Any = None,
             requires_grad: bool = False) -> Tensor:
    """base^x for `steps` values x from `start` to `end`, both included."""
    powers = linspace(start, end, steps, dtype=dtypes.float64, device=device)
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.get_default_dtype()
    return _finish((float(base) ** powers.array).astype(kind.np), powers.device, requires_grad)


def eye(n: int, m: int | None = None, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """The n x m matrix (n x n without m) with ones on the diagonal."""
    where = as_device(device)
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.get_default_dtype()
    return _finish(where.backend.xp.eye(*shape_of("eye", (n, n if m is None else m)), dtype=kind.np), where, requires_grad)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of a grid from its axes: as many tensors as axes, views of shape (len(first), len(second), ...).

    With indexing "xy" the first two dimensions change places, as in a picture.
    """
    axes = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else list(tensors)
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f"meshgrid: indexing must be 'ij' or 'xy', got {indexing!r}")
    for i, a in enumerate(axes):
        if not isinstance(a, Tensor) or a.ndim > 1:
            raise RuntimeError(f"meshgrid: argument {i} must be a Tensor of at most one dimension")
    swap = indexing == "xy" and len(axes) > 1
    if swap:
        axes[0], axes[1] = axes[1], axes[0]
    shape = [a.numel() for a in axes]
    grids = [a.reshape([-1 if d == i else 1 for d in range(len(axes))]).expand(shape) for i, a in enumerate(axes)]
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)

