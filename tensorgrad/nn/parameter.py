"""Parameters and buffers: the tensors that a module owns."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..creation import empty
from ..dtypes import BY_NUMPY
from ..op import fn
from ..tensor import Tensor


class Parameter(Tensor):
    """A tensor that a module registers when it is assigned as an attribute: `self.weight = Parameter(rand(3, 4))`.

    It shares the memory of `data`, is a leaf and requires grad unless told otherwise.
    """

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True):
        if data is None:
            super().__init__()
        elif isinstance(data, Tensor):
            self.array, self.device = data.array, data.device
        else:
            raise TypeError(f"Parameter: data must be a Tensor, not a {type(data).__name__}; tensorgrad.tensor(...) makes one")
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class _Uninitialized:
    """The part of the two classes below: memory that is made when its shape is known."""

    array: Any
    device: Any

    def materialize(self, shape: Sequence[int], device: Any = None, dtype: Any = None) -> None:
        """Become an ordinary tensor of this shape, whose values are whatever its memory holds."""
        made = empty(tuple(shape), device=self.device if device is None else device,
                     dtype=BY_NUMPY[self.array.dtype] if dtype is None else dtype)
        self.array, self.device = made.array, made.device
        self.__class__ = self.becomes  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter whose shape is not known yet; lazy modules `materialize` it at their first call."""

    becomes = Parameter

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(empty((0,), device=device, dtype=dtype), requires_grad)


class UninitializedBuffer(_Uninitialized, Tensor):
    """A buffer whose shape is not known yet."""

    becomes = Tensor

    def __init__(self, requires_grad: bool = False, device: Any = None, dtype: Any = None):
        made = empty((0,), device=device, dtype=dtype)
        self.array, self.device = made.array, made.device
        self.requires_grad_(requires_grad)

    def to(self, *args: Any, **kwargs: Any) -> UninitializedBuffer:
        """The same of another dtype or on another device."""
        moved = fn.to(self, *args, **kwargs)
        return UninitializedBuffer(self.requires_grad, moved.device, moved.dtype)


def is_lazy(param: Any) -> bool:
    """Whether the shape of a parameter or buffer is not known yet."""
    return isinstance(param, _Uninitialized)


class Buffer(Tensor):
    """A tensor that a module registers as a buffer when it is assigned as an attribute; `persistent` ones are in its state_dict."""

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True):
        if data is None:
            super().__init__()
        else:
            self.array, self.device = data.array, data.device
        self.persistent = persistent
