"""to: another dtype, another device."""
from __future__ import annotations

from typing import Any

from .. import dtypes
from ..device import device as Device
from ..memory_format import lies, preserve_format
from ..op import Op, fn
from ..tensor import Tensor


class To(Op):
    """This tensor with another dtype and/or on another device; itself when nothing changes and `copy` is false.

    `to(dtype)`, `to(device)`, `to(device, dtype)`, `to(other)`; names work for both. `non_blocking` lets a copy run on beside the
    caller where a device can do that: from pinned memory to cuda, and from cuda to the host, whose tensor is whole once the stream is done.
    `memory_format` says in which order memory holds the dimensions.
    """

    name = "to"
    function = False
    composite = True

    def forward(self, input: Tensor, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False,
                copy: bool = False, memory_format: Any = preserve_format) -> Tensor:
        flags: list[bool] = []
        for a in args:
            if isinstance(a, Tensor):
                dtype, device = a.dtype, a.device
            elif isinstance(a, Device) or (isinstance(a, str) and a not in dtypes.BY_NAME):
                device = a
            elif isinstance(a, bool):
                flags.append(a)
            elif a is not None:
                dtype = dtypes.as_dtype(a)
        if flags:
            non_blocking, copy = (*flags, copy)[:2]
        out = input
        if device is not None and Device(device) is not input.device:
            out = fn.to_device(out, Device(device), non_blocking)
        if dtype is not None and dtypes.as_dtype(dtype) is not out.dtype:
            out = fn.to_dtype(out, dtypes.as_dtype(dtype))
        if memory_format is not preserve_format and not lies("to", out, memory_format):
            return out.clone(memory_format=memory_format)
        return out.clone() if copy and out is input else out
