"""Making tensors: from data, filled, ranged, random."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import dtypes
from .device import device as Device
from .dtypes import dtype as DType
from .op import sizes
from .tensor import Tensor, as_device, wrap

__all__ = ["as_tensor", "empty", "from_numpy", "full", "ones", "tensor", "zeros"]


def tensor(data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of `data`: numbers, nested sequences, NumPy arrays or tensors.

    Python floats become the default dtype, ints int64, bools bool; arrays and tensors keep their dtype.
    """
    if isinstance(data, Tensor):
        device = data.device if device is None else device
        array = np.array(data.device.backend.to_numpy(data.array))
    else:
        array = _from_python(data, dtype)
    return _finish(array, dtype, device, requires_grad)


def _from_python(data: Any, dtype: DType | None) -> np.ndarray:
    if isinstance(data, (list, tuple)) and any(isinstance(d, Tensor) for d in data):
        data = [d.tolist() if isinstance(d, Tensor) else d for d in data]
    try:
        array = np.array(data)
    except ValueError as e:
        raise ValueError(f"tensor: the nested sequences have unequal lengths: {e}") from None
    if array.dtype not in dtypes.BY_NUMPY:
        if array.dtype.kind in "ui" and isinstance(data, (list, tuple, int)):
            array = array.astype(np.int64)
        else:
            raise TypeError(f"tensor: cannot make a tensor of {type(data).__name__} with elements of type {array.dtype}")
    if array.dtype == np.float64 and not isinstance(data, (np.ndarray, np.generic)):
        array = np.array(data, dtypes.get_default_dtype().np) if dtype is None else array
    elif array.size == 0 and isinstance(data, (list, tuple)):
        array = array.astype(dtypes.get_default_dtype().np)
    return array


def _finish(array: np.ndarray, dtype: DType | None, device: Any, requires_grad: bool) -> Tensor:
    where = as_device(device)
    if dtype is not None:
        array = array.astype(dtypes.as_dtype(dtype).np, copy=False)
    out = wrap(where.backend.asarray(array), where)
    return out.requires_grad_() if requires_grad else out


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """A tensor of `data`, sharing memory where dtype and device allow it."""
    if isinstance(data, Tensor):
        return data.to(device=device or data.device, dtype=dtype or data.dtype)
    if isinstance(data, np.ndarray):
        t = from_numpy(data)
        return t.to(device=as_device(device), dtype=dtype or t.dtype)
    return tensor(data, dtype=dtype, device=device)


def from_numpy(array: np.ndarray) -> Tensor:
    """A CPU tensor sharing the memory of a NumPy array."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}")
    if array.dtype not in dtypes.BY_NUMPY:
        raise TypeError(f"from_numpy: NumPy type {array.dtype} has no counterpart; there are {', '.join(d.name for d in dtypes.ALL)}")
    if not array.dtype.isnative:
        raise TypeError("from_numpy: the array is not of native byte order; use array.astype(array.dtype.newbyteorder('='))")
    return wrap(array)


def full(*size: Any, fill_value: Any = None, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of the given size filled with a number: `full((2, 3), 7.0)`."""
    if fill_value is None and len(size) >= 2:
        *size, fill_value = size  # type: ignore[assignment]
    shape = sizes(_Named("full"), "size", tuple(size))
    kind = dtype or (dtypes.bool_, dtypes.int64, dtypes.get_default_dtype())[dtypes.number_category(fill_value)]
    where = as_device(device)
    return _finish_storage(where.backend.xp.full(shape, float(fill_value) if kind.is_floating_point else fill_value, kind.np), where, requires_grad)


class _Named:
    def __init__(self, name: str):
        self.name = name


def _finish_storage(array: Any, where: Device, requires_grad: bool) -> Tensor:
    out = wrap(array, where)
    return out.requires_grad_() if requires_grad else out


def _filled(op: str, method: str, given: tuple, size: Any, dtype: DType | None, device: Any, requires_grad: bool) -> Tensor:
    shape = sizes(_Named(op), "size", given if size is None else (size,))
    if any(s < 0 for s in shape):
        raise RuntimeError(f"{op}: sizes must not be negative, got {shape}")
    where = as_device(device)
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.get_default_dtype()
    return _finish_storage(getattr(where.backend.xp, method)(shape, kind.np), where, requires_grad)


def zeros(*args: Any, size: Sequence[int] | None = None, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the given size."""
    return _filled("zeros", "zeros", args, size, dtype, device, requires_grad)


def ones(*args: Any, size: Sequence[int] | None = None, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of the given size."""
    return _filled("ones", "ones", args, size, dtype, device, requires_grad)


def empty(*args: Any, size: Sequence[int] | None = None, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Uninitialised memory of the given size."""
    return _filled("empty", "empty", args, size, dtype, device, requires_grad)


def _new(name: str, maker: Any) -> None:
    """Give Tensor a `new_<name>` method, with the tensor's dtype and device as defaults."""

    def method(self: Tensor, *size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False, **kwargs: Any) -> Tensor:
        return maker(*size, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad, **kwargs)

    method.__name__ = f"new_{name}"
    method.__doc__ = f"As `tensorgrad.{name}`, with this tensor's dtype and device where none is given."
    setattr(Tensor, method.__name__, method)


for _maker in (zeros, ones, empty, full, tensor):
    _new(_maker.__name__, _maker)
