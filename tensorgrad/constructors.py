"""`FloatTensor(2, 3)`, `LongTensor([1, 2])`, ...: tensors of one dtype, of a size or of data, as older code makes them.

`isinstance(x, FloatTensor)` asks for the dtype too. `tensorgrad.cuda.FloatTensor` is the same on a GPU.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .creation import empty, tensor
from .tensor import Size, Tensor

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


def constructors(place: str, module: str) -> dict[str, Any]:
    """`FloatTensor` and the others of a device."""
    return {f"{name}Tensor": _OfType(f"{name}Tensor", (), {
        "dtype": kind, "place": place, "__module__": module,
        "__doc__": f"A {kind.name} tensor: uninitialised, of the sizes given, or with the data given."}) for name, kind in NAMES.items()}
