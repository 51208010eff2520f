"""Sharing memory with other array libraries by DLPack.

NumPy does the exchange, but knows no bfloat16. Such a tensor travels as 16-bit integers, and the type written in the capsule is
changed on the way: the byte layout of a DLTensor is fixed by the standard.
"""
from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from . import dtypes
from .creation import from_numpy
from .device import device as Device
from .tensor import Tensor, as_device, wrap

CPU, CUDA = 1, 2  # kDLCPU, kDLCUDA
UINT, BFLOAT = 1, 4  # kDLUInt, kDLBfloat
# Where the type code lies in the two kinds of capsule: DLTensor is {data, device, ndim, type, ...} and comes first in
# DLManagedTensor, but after {version, context, deleter, flags} in DLManagedTensorVersioned.
TYPE_CODE_AT = {b"dltensor": 20, b"dltensor_versioned": 52}

_capsule_name = ctypes.pythonapi.PyCapsule_GetName
_capsule_name.restype, _capsule_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype, _capsule_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def _swap_type(capsule: Any, old: int, new: int) -> bool:
    """Rewrite a 16-bit element type in a capsule; whether it was `old`."""
    name = _capsule_name(capsule)
    if name not in TYPE_CODE_AT:
        raise ValueError("from_dlpack: the capsule was used already; each can be taken over once")
    code = ctypes.c_uint8.from_address(_capsule_pointer(capsule, name) + TYPE_CODE_AT[name])
    bits = ctypes.c_uint8.from_address(ctypes.addressof(code) + 1)
    if code.value != old or bits.value != 16:
        return False
    code.value = new
    return True


def to_dlpack(tensor: Tensor, **kwargs: Any) -> Any:
    """A capsule of the tensor's memory, for `__dlpack__`; keywords as the array API standard has them."""
    array = tensor.array
    if tensor.dtype is not dtypes.bfloat16:
        return array.__dlpack__(**kwargs)
    capsule = array.view(np.uint16).__dlpack__(**kwargs)
    _swap_type(capsule, UINT, BFLOAT)
    return capsule


class _Exporter:
    """A capsule as an object that NumPy or CuPy imports from."""

    def __init__(self, capsule: Any, device: tuple[int, int]):
        self.capsule, self.device = capsule, device

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor sharing the memory of another library's array (anything with `__dlpack__`, or a capsule).

    `device` moves it there; `copy=True` always copies, `copy=False` refuses to. BufferError where the owner will not share.
    """
    if isinstance(ext_tensor, Tensor):
        if ext_tensor.tracked:
            raise BufferError("from_dlpack: the tensor requires grad; use detach()")
        out = ext_tensor.detach()
    elif hasattr(ext_tensor, "__dlpack__"):
        kind, index = ext_tensor.__dlpack_device__()
        if int(kind) == CUDA:
            out = _import(_capsule_of(ext_tensor, on_gpu=True), Device("cuda", int(index)))
        elif int(kind) == CPU:
            out = _import(_capsule_of(ext_tensor))
        else:
            raise BufferError(f"from_dlpack: the array is on a device of DLPack type {int(kind)}; only cpu (1) and cuda (2) are known")
    elif type(ext_tensor).__name__ == "PyCapsule":
        out = _import(ext_tensor)
    else:
        raise TypeError(f"from_dlpack: expected an object with __dlpack__ or a capsule, got {type(ext_tensor).__name__}")
    if device is not None and as_device(device) is not out.device:
        if copy is False:
            raise BufferError(f"from_dlpack: the array is on {out.device}; it cannot be on {as_device(device)} without a copy")
        return out.to(as_device(device))
    return out.clone() if copy else out


def _capsule_of(owner: Any, on_gpu: bool = False) -> Any:
    if on_gpu:  # the owner lets our stream wait for its own; 1 is what DLPack calls the legacy default stream
        from .cuda.streams import current_stream

        return owner.__dlpack__(stream=current_stream().cuda_stream or 1)
    try:
        return owner.__dlpack__(max_version=(1, 0))  # tells read-only memory from writable
    except TypeError:  # an owner from before that keyword
        return owner.__dlpack__()


def _import(capsule: Any, where: Any = None) -> Tensor:
    half = _swap_type(capsule, BFLOAT, UINT)
    try:
        if where is not None:
            array = where.backend.xp.from_dlpack(_Exporter(capsule, (CUDA, where.index)))
            return wrap(array.view(dtypes.bfloat16.np) if half else array, where)
        array = np.from_dlpack(_Exporter(capsule, (CPU, 0)))
    except RuntimeError as e:
        raise TypeError(f"from_dlpack: the element type has no counterpart here; there are {', '.join(d.name for d in dtypes.ALL)}") from e
    return from_numpy(array.view(dtypes.bfloat16.np) if half else array)
