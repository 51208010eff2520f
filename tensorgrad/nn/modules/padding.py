"""Padding layers. `padding` is one number, or (before, after) of the last dimension, then of the one before, ..."""
from __future__ import annotations

from typing import Any

from ...tensor import Tensor
from .. import functional as F
from .module import Module
from .utils import _ntuple


class _Pad(Module):
    dims = 1
    mode = "constant"

    def __init__(self, padding: Any):
        super().__init__()
        self.padding = _ntuple(2 * self.dims)(padding)
        if len(self.padding) != 2 * self.dims:
            raise ValueError(f"{type(self).__name__}: padding must be one number or {2 * self.dims}, not {self.padding}")

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return str(self.padding)


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float):
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """`value` around the last dimension."""


class ConstantPad2d(_ConstantPad):
    """`value` around the last two dimensions."""

    dims = 2


class ConstantPad3d(_ConstantPad):
    """`value` around the last three dimensions."""

    dims = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Any):
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return str(self.padding)


class ZeroPad1d(_ZeroPad):
    """Zeros around the last dimension."""


class ZeroPad2d(_ZeroPad):
    """Zeros around the last two dimensions."""

    dims = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around the last three dimensions."""

    dims = 3


class ReflectionPad1d(_Pad):
    """The values mirrored at the border of the last dimension, without the border itself."""

    mode = "reflect"


class ReflectionPad2d(_Pad):
    """The values mirrored at the border of the last two dimensions, without the border itself."""

    dims, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """The values mirrored at the border of the last three dimensions, without the border itself."""

    dims, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The border value of the last dimension, repeated."""

    mode = "replicate"


class ReplicationPad2d(_Pad):
    """The border values of the last two dimensions, repeated."""

    dims, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The border values of the last three dimensions, repeated."""

    dims, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """The values of the other end of the last dimension."""

    mode = "circular"


class CircularPad2d(_Pad):
    """The values of the other ends of the last two dimensions."""

    dims, mode = 2, "circular"


class CircularPad3d(_Pad):
    """The values of the other ends of the last three dimensions."""

    dims, mode = 3, "circular"
