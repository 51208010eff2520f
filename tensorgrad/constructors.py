"""`FloatTensor(2, 3)`, `LongTensor([1, 2])`, ...: tensors of one dtype, of a size or of data, as older code makes them.

`isinstance(x, FloatTensor)` asks for the dtype too. Besides, the rarer ways to make a tensor: `range`, `empty_strided`, `frombuffer`.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import dtypes
from .creation import empty, shape_of, tensor
from .device import set_default_device
from .dtypes import dtype as DType
from .tensor import Size, Tensor, as_device, wrap

NAMES = {"Float": dtypes.float32, "Double": dtypes.float64, "Half": dtypes.float16, "BFloat16": dtypes.bfloat16, "Long": dtypes.int64,
         "Int": dtypes.int32, "Short": dtypes.int16, "Char": dtypes.int8, "Byte": dtypes.uint8, "Bool": dtypes.bool_}


class _OfType(type):
    """The type of `FloatTensor`: its call makes a Tensor, and a Tensor of its dtype and device is an instance."""

    dtype: Any
    place: str

    def __call__(cls, *args: Any, device: Any = None) -> Tensor:
        where = cls.place if device is None else device
        if len(args) == 1 and not isinstance(args[0], (int, np.integer)):
            if isinstance(args[0], Size):
                return empty(args[0], dtype=cls.dtype, device=where)
            if isinstance(args[0], Tensor) and args[0].dtype is not cls.dtype:
                raise TypeError(f"{cls.__name__}: expected a tensor of {cls.dtype.name}, got {args[0].dtype.name}; use .to(...)")
            return tensor(args[0], dtype=cls.dtype, device=where)
        return empty(args or (0,), dtype=cls.dtype, device=where)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype and instance.device.type == cls.place


def set_default_tensor_type(t: Any) -> None:
    """Make the dtype and the device of a constructor, such as `FloatTensor` or "torch.cuda.FloatTensor", the default ones."""
    place, _, name = t.rpartition(".") if isinstance(t, str) else (getattr(t, "place", ""), "", getattr(t, "__name__", ""))
    kind = NAMES.get(name.removesuffix("Tensor"))
    if kind is None or not name.endswith("Tensor"):
        raise TypeError(f"set_default_tensor_type: expected a constructor such as tensorgrad.FloatTensor, or its name, not {t!r}")
    dtypes.set_default_dtype(kind)
    set_default_device("cuda" if place.rpartition(".")[2] == "cuda" else "cpu")


def constructors(place: str, module: str) -> dict[str, Any]:
    """`FloatTensor` and the others of a device."""
    return {f"{name}Tensor": _OfType(f"{name}Tensor", (), {
        "dtype": kind, "place": place, "__module__": module,
        "__doc__": f"A {kind.name} tensor: uninitialised, of the sizes given, or with the data given."}) for name, kind in NAMES.items()}

def range(start: float, end: float | None = None, step: float = 1, *, dtype: DType | None = None, device: Any = None,
          requires_grad: bool = False) -> Tensor:
    """start, start + step, ... up to `end` and with it: floor((end - start) / step) + 1 numbers of the default dtype."""
    start, end = (0, start) if end is None else (start, end)
    if step == 0 or (end - start) * step < 0:
        raise RuntimeError(f"range: from {start} to {end} in steps of {step} never ends or goes nowhere")
    count = math.floor((end - start) / step) + 1
    kind = dtype if dtype is not None else dtypes.get_default_dtype()
    where = as_device(device)
    numbers = start + step * np.arange(count)
    return wrap(where.backend.asarray(numbers.astype(dtypes.as_dtype(kind).np)), where).requires_grad_(requires_grad)


def empty_strided(size: Sequence[int], stride: Sequence[int], *, dtype: DType | None = None, device: Any = None,
                  requires_grad: bool = False) -> Tensor:
    """Uninitialised memory of the given size, with `stride` elements between neighbours of each dimension."""
    shape, steps = shape_of("empty_strided", (tuple(size),)), shape_of("empty_strided", (tuple(stride),))
    if len(shape) != len(steps):
        raise RuntimeError(f"empty_strided: size {shape} and stride {steps} must be of one length")
    count = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, steps, strict=True))
    flat = empty(count, dtype=dtype, device=device)
    out: Tensor = flat.as_strided(shape, steps).detach()
    return out.requires_grad_() if requires_grad else out


def frombuffer(buffer: Any, *, dtype: DType, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A tensor of one dimension that shares the memory of a Python buffer, `count` elements (all by default) from byte `offset` on."""
    if count == 0 or len(memoryview(buffer)) == 0:
        raise ValueError("frombuffer: the buffer must not be empty, nor count 0")
    try:
        array = np.frombuffer(buffer, dtypes.as_dtype(dtype).np, count, offset)
    except ValueError as e:
        raise ValueError(f"frombuffer: {e}") from None
    return wrap(array).requires_grad_(requires_grad)
