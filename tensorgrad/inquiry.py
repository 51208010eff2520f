"""Questions about tensors, dtypes and shapes: as functions, and where PyTorch has them so, as methods."""
from __future__ import annotations

from typing import Any

import numpy as np

from .tensor import Size, Tensor

__all__ = ["broadcast_shapes", "get_device", "is_complex", "is_conj", "is_floating_point", "is_inference", "is_neg",
           "is_nonzero", "is_same_size", "is_signed", "is_storage", "is_tensor", "numel", "typename"]


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


def is_storage(obj: Any) -> bool:
    """False: there are no storages, a tensor's memory is an array."""
    return False


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


def get_device(input: Tensor) -> int:
    """The index of the tensor's device; -1 on a CPU."""
    return input.get_device()


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating one."""
    return input.is_floating_point()


def is_complex(input: Tensor) -> bool:
    """False: there are no complex tensors."""
    return False


def is_conj(input: Tensor) -> bool:
    """False: there are no complex tensors, and so none that wait to be conjugated."""
    return False


def is_neg(input: Tensor) -> bool:
    """False: negation is never put off."""
    return False


def is_signed(input: Tensor) -> bool:
    """Whether the dtype has negative numbers."""
    return input.dtype.is_signed


def is_inference(input: Tensor) -> bool:
    """False: tensors made under inference_mode() are tensors like any others."""
    return False


def is_nonzero(input: Tensor) -> bool:
    """Whether the one element is not zero; RuntimeError for any other count."""
    if input.numel() != 1:
        raise RuntimeError(f"is_nonzero: the tensor has shape {tuple(input.shape)}; only one element is zero or not")
    return bool(input.item() != 0)


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape."""
    return tuple(input.shape) == tuple(other.shape)


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that tensors of these shapes (or sizes, for one dimension) broadcast to; RuntimeError where they do not."""
    sizes = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    if any(n < 0 for s in sizes for n in s):
        raise RuntimeError(f"broadcast_shapes: sizes must not be negative, got {sizes}")
    try:
        return Size(np.broadcast_shapes(*sizes))
    except ValueError:
        raise RuntimeError(f"broadcast_shapes: the shapes {', '.join(map(str, sizes))} do not broadcast") from None


def typename(obj: Any) -> str:
    """The name of an object's type, of a tensor with its dtype: "tensorgrad.FloatTensor"."""
    if isinstance(obj, Tensor):
        return str(obj.type())
    kind = obj if hasattr(obj, "__qualname__") else type(obj)
    module = getattr(kind, "__module__", "") or ""
    return kind.__qualname__ if module in ("builtins", "") else f"{module}.{kind.__qualname__}"


def _same_memory(self: Tensor, tensor: Tensor) -> bool:
    """Whether both are views of the same elements: one address, shape and strides."""
    return (self.data_ptr(), tuple(self.shape), self.stride()) == (tensor.data_ptr(), tuple(tensor.shape), tensor.stride())


for _f in (is_conj, is_inference, is_neg, is_nonzero, is_same_size, is_signed):
    setattr(Tensor, _f.__name__, _f)
Tensor.is_set_to = _same_memory  # type: ignore[attr-defined]


def _flag(name: str, value: Any, doc: str) -> None:
    found = property(value)
    found.__doc__ = doc
    setattr(Tensor, name, found)


_flag("is_cpu", lambda self: self.device.type == "cpu", "Whether the tensor is on the CPU.")
for _name, _what in (("is_sparse", "sparse"), ("is_sparse_csr", "sparse"), ("is_quantized", "quantized"), ("is_nested", "nested"),
                     ("is_mkldnn", "MKL-DNN"), ("is_meta", "meta"), ("is_mps", "MPS"), ("is_xpu", "XPU"), ("is_xla", "XLA"),
                     ("is_ipu", "IPU")):
    _flag(_name, lambda self: False, f"False: there are no {_what} tensors.")
