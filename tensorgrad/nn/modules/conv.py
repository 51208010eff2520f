"""Convolution layers. Weights and biases start uniform in +-1/sqrt(fan_in)."""
from __future__ import annotations

import math
from typing import Any

from ...creation import empty
from ...tensor import Tensor
from .. import functional as F
from .. import init
from ..parameter import Parameter
from .lazy import LazyModuleMixin
from .module import Module
from .utils import _ntuple

Sizes = int | tuple[int, ...]


class _ConvNd(Module):
    dims = 0
    transposed = False

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes, padding: Any, dilation: Sizes,
                 output_padding: Sizes, groups: int, bias: bool, padding_mode: str, device: Any, dtype: Any):
        super().__init__()
        name, spread = type(self).__name__, _ntuple(self.dims)
        if groups <= 0 or in_channels % groups or out_channels % groups:
            raise ValueError(f"{name}: in_channels {in_channels} and out_channels {out_channels} must be divisible by groups, a "
                             f"positive number, not {groups}")
        modes = ("zeros",) if self.transposed else ("zeros", "reflect", "replicate", "circular")
        if padding_mode not in modes:
            raise ValueError(f"{name}: padding_mode must be one of {', '.join(modes)}, not {padding_mode!r}")
        self.in_channels, self.out_channels, self.groups, self.padding_mode = in_channels, out_channels, groups, padding_mode
        self.kernel_size, self.stride, self.dilation = spread(kernel_size), spread(stride), spread(dilation)
        self.padding = padding if isinstance(padding, str) else spread(padding)
        self.output_padding = spread(output_padding)
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f"{name}: padding must be 'same', 'valid' or numbers, not {padding!r}")
        if padding == "same" and any(s != 1 for s in self.stride):
            raise ValueError(f"{name}: padding='same' needs stride 1, not {self.stride}")
        for what in ("kernel_size", "stride", "dilation"):
            if any(n <= 0 for n in getattr(self, what)) or len(getattr(self, what)) != self.dims:
                raise ValueError(f"{name}: {what} must be {self.dims} positive numbers, not {getattr(self, what)}")
        shape = (in_channels, out_channels // groups) if self.transposed else (out_channels, in_channels // groups)
        self.weight = Parameter(empty(*shape, *self.kernel_size, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        init.fan_in_uniform_(self.bias, self.weight)

    def _around(self) -> list[int]:
        """The padding as F.pad takes it: last dimension first, (before, after) for each."""
        pads = []
        for k, d, p in reversed(list(zip(self.kernel_size, self.dilation, self._paddings(), strict=True))):
            total = d * (k - 1)
            pads += [total // 2, total - total // 2] if p == "same" else [p, p]
        return pads

    def _paddings(self) -> tuple:
        if isinstance(self.padding, str):
            return (self.padding if self.padding == "same" else 0,) * self.dims
        return self.padding

    def _padded(self, input: Tensor) -> tuple[Tensor, Any]:
        """The input, padded unless with zeros, and the padding left to do."""
        if self.padding_mode == "zeros":
            return input, self.padding
        return F.pad(input, self._around(), mode=self.padding_mode), 0

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        if self.padding != (0,) * self.dims:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * self.dims:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != (0,) * self.dims:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Conv(_ConvNd):
    def __init__(self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1, padding: str | Sizes = 0,
                 dilation: Sizes = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None,
                 dtype: Any = None):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias, padding_mode, device, dtype)


class Conv1d(_Conv):
    """Cross-correlation of (N, C, L) with `out_channels` filters of (in_channels / groups, k)."""

    dims = 1

    def forward(self, input: Tensor) -> Tensor:
        x, padding = self._padded(input)
        return F.conv1d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_Conv):
    """Cross-correlation of (N, C, H, W) with `out_channels` filters of (in_channels / groups, kh, kw)."""

    dims = 2

    def forward(self, input: Tensor) -> Tensor:
        x, padding = self._padded(input)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv3d(_Conv):
    """Cross-correlation of (N, C, D, H, W) with `out_channels` filters of (in_channels / groups, kd, kh, kw)."""

    dims = 3

    def forward(self, input: Tensor) -> Tensor:
        x, padding = self._padded(input)
        return F.conv3d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _ConvTransposeNd(_ConvNd):
    transposed = True

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1, padding: Sizes = 0,
                 output_padding: Sizes = 0, groups: int = 1, bias: bool = True, dilation: Sizes = 1, padding_mode: str = "zeros",
                 device: Any = None, dtype: Any = None):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding, groups, bias, padding_mode,
                         device, dtype)

    def _output_padding(self, input: Tensor, output_size: Any) -> tuple[int, ...]:
        """What to add at the end of each dimension so that the output has `output_size`."""
        if output_size is None:
            return self.output_padding
        name, wanted = type(self).__name__, tuple(output_size)[-self.dims:]
        if len(output_size) not in (self.dims, input.ndim):
            raise ValueError(f"{name}: output_size must have {self.dims} or {input.ndim} numbers, not {tuple(output_size)}")
        extra = []
        for i, size in enumerate(input.shape[-self.dims:]):
            least = (size - 1) * self.stride[i] - 2 * self.padding[i] + self.dilation[i] * (self.kernel_size[i] - 1) + 1
            if not least <= wanted[i] < least + self.stride[i]:
                raise ValueError(f"{name}: output size {wanted[i]} (of {wanted}) is not reachable: an input of size {size} gives "
                                 f"{least} to {least + self.stride[i] - 1}")
            extra.append(wanted[i] - least)
        return tuple(extra)


class ConvTranspose1d(_ConvTransposeNd):
    """The transpose (gradient with respect to the input) of Conv1d, as a layer."""

    dims = 1

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return F.conv_transpose1d(input, self.weight, self.bias, self.stride, self.padding, self._output_padding(input, output_size),
                                  self.groups, self.dilation)


class ConvTranspose2d(_ConvTransposeNd):
    """The transpose (gradient with respect to the input) of Conv2d, as a layer."""

    dims = 2

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return F.conv_transpose2d(input, self.weight, self.bias, self.stride, self.padding, self._output_padding(input, output_size),
                                  self.groups, self.dilation)


class ConvTranspose3d(_ConvTransposeNd):
    """The transpose (gradient with respect to the input) of Conv3d, as a layer."""

    dims = 3

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return F.conv_transpose3d(input, self.weight, self.bias, self.stride, self.padding, self._output_padding(input, output_size),
                                  self.groups, self.dilation)


class _LazyConv(LazyModuleMixin):
    size = "in_channels"

    def _feature_dim(self: Any, input: Tensor) -> int:
        if input.ndim not in (self.dims + 1, self.dims + 2):
            raise RuntimeError(f"{type(self).__name__}: input must have {self.dims + 1} or {self.dims + 2} dimensions, its shape is "
                               f"{tuple(input.shape)}")
        return -self.dims - 1

    def _shapes(self: Any, features: int) -> dict[str, tuple[int, ...]]:
        if features % self.groups:
            raise ValueError(f"{type(self).__name__}: {features} channels of the input are not divisible by groups, {self.groups}")
        first = (features, self.out_channels // self.groups) if self.transposed else (self.out_channels, features // self.groups)
        return {"weight": (*first, *self.kernel_size)}


class LazyConv1d(_LazyConv, Conv1d):
    """Conv1d whose in_channels are those of its first input."""

    cls_to_become = Conv1d

    def __init__(self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
                 bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None):
        super().__init__(0, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype)
        self._unknown()


class LazyConv2d(_LazyConv, Conv2d):
    """Conv2d whose in_channels are those of its first input."""

    cls_to_become = Conv2d

    def __init__(self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
                 bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None):
        super().__init__(0, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype)
        self._unknown()


class LazyConv3d(_LazyConv, Conv3d):
    """Conv3d whose in_channels are those of its first input."""

    cls_to_become = Conv3d

    def __init__(self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
                 bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None):
        super().__init__(0, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype)
        self._unknown()


class LazyConvTranspose1d(_LazyConv, ConvTranspose1d):
    """ConvTranspose1d whose in_channels are those of its first input."""

    cls_to_become = ConvTranspose1d

    def __init__(self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
                 bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None):
        super().__init__(0, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation, padding_mode, device,
                         dtype)
        self._unknown()


class LazyConvTranspose2d(_LazyConv, ConvTranspose2d):
    """ConvTranspose2d whose in_channels are those of its first input."""

    cls_to_become = ConvTranspose2d

    def __init__(self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
                 bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None):
        super().__init__(0, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation, padding_mode, device,
                         dtype)
        self._unknown()


class LazyConvTranspose3d(_LazyConv, ConvTranspose3d):
    """ConvTranspose3d whose in_channels are those of its first input."""

    cls_to_become = ConvTranspose3d

    def __init__(self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
                 bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None):
        super().__init__(0, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation, padding_mode, device,
                         dtype)
        self._unknown()
