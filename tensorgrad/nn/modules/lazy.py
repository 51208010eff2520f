"""Layers that learn the size of their input at their first call, and are ordinary ones from then on."""
from __future__ import annotations

from typing import Any

from ...grad_mode import no_grad
from ...tensor import Tensor
from ..parameter import UninitializedBuffer, UninitializedParameter, is_lazy
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from .conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .linear import Linear
from .module import Module


class LazyModuleMixin:
    """Put before a layer's class: its empty tensors are unknown until the first call, which names `size` and shapes them."""

    cls_to_become: type[Module]
    size: str  # the attribute that is the number of input features

    def _unknown(self: Any) -> None:
        """Leave open what depends on the input's size; the layer was built for one of size 0."""
        for kind, registry in ((UninitializedParameter, self._parameters), (UninitializedBuffer, self._buffers)):
            for name, t in registry.items():
                if t is not None and 0 in t.shape:
                    registry[name] = kind(t.requires_grad, t.device, t.dtype)
        self._hook = self.register_forward_pre_hook(lambda module, args: module._infer_parameters(args))

    def has_uninitialized_params(self: Any) -> bool:
        """Whether a shape is still to be known."""
        return any(is_lazy(t) for t in (*self._parameters.values(), *self._buffers.values()))

    def initialize_parameters(self: Any, input: Tensor, *args: Any) -> None:
        """Shape and draw the unknown tensors for this input."""
        fresh, features = self.has_uninitialized_params(), input.shape[self._feature_dim(input)]
        setattr(self, self.size, features)
        with no_grad():
            for name, shape in self._shapes(features).items():
                t = self._parameters.get(name, self._buffers.get(name))
                if is_lazy(t):
                    t.materialize(shape)
        if fresh:
            self.reset_parameters()

    def _infer_parameters(self: Any, args: tuple) -> None:
        self.initialize_parameters(*args)
        self._hook.remove()
        del self._hook
        self.__class__ = self.cls_to_become

    def _load_from_state_dict(self: Any, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name, t in (*self._parameters.items(), *self._buffers.items()):
            given = state_dict.get(prefix + name)
            if is_lazy(t) and given is not None and not is_lazy(given):
                t.materialize(given.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)  # type: ignore[misc]


class LazyLinear(LazyModuleMixin, Linear):
    """Linear whose in_features are those of its first input."""

    cls_to_become, size = Linear, "in_features"

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(0, out_features, bias, device, dtype)
        self._unknown()

    def _feature_dim(self, input: Tensor) -> int:
        return -1

    def _shapes(self, features: int) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.out_features, features)}


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


class _LazyNorm(LazyModuleMixin):
    size = "num_features"

    def _feature_dim(self: Any, input: Tensor) -> int:
        self._check(input)
        return 0 if isinstance(self, (LazyInstanceNorm1d, LazyInstanceNorm2d, LazyInstanceNorm3d)) and input.ndim == self.dims[0] else 1

    def _shapes(self, features: int) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (features,))


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


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """BatchNorm1d whose num_features are the channels of its first input."""

    cls_to_become = BatchNorm1d

    def __init__(self, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
                 device: Any = None, dtype: Any = None, *, bias: bool = True):
        super().__init__(0, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self._unknown()


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """BatchNorm2d whose num_features are the channels of its first input."""

    cls_to_become = BatchNorm2d

    def __init__(self, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
                 device: Any = None, dtype: Any = None, *, bias: bool = True):
        super().__init__(0, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self._unknown()


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """BatchNorm3d whose num_features are the channels of its first input."""

    cls_to_become = BatchNorm3d

    def __init__(self, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
                 device: Any = None, dtype: Any = None, *, bias: bool = True):
        super().__init__(0, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self._unknown()


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):
    """InstanceNorm1d whose num_features are the channels of its first input."""

    cls_to_become = InstanceNorm1d

    def __init__(self, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True, track_running_stats: bool = True,
                 device: Any = None, dtype: Any = None, *, bias: bool = True):
        super().__init__(0, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self._unknown()


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):
    """InstanceNorm2d whose num_features are the channels of its first input."""

    cls_to_become = InstanceNorm2d

    def __init__(self, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True, track_running_stats: bool = True,
                 device: Any = None, dtype: Any = None, *, bias: bool = True):
        super().__init__(0, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self._unknown()


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):
    """InstanceNorm3d whose num_features are the channels of its first input."""

    cls_to_become = InstanceNorm3d

    def __init__(self, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True, track_running_stats: bool = True,
                 device: Any = None, dtype: Any = None, *, bias: bool = True):
        super().__init__(0, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self._unknown()
