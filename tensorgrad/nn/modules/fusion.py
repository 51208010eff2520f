"""Layers that follow each other and are one kernel on a GPU."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...grad_mode import is_grad_enabled
from ...op import fn
from ...tensor import Tensor
from .activation import GELU, ReLU, SiLU
from .batchnorm import BatchNorm2d
from .conv import Conv2d
from .linear import Linear


def in_one_kernel(modules: Sequence[Any], input: Any) -> Any:
    """What the modules make of an input, one after another; a Linear and its activation as one operation, a Conv2d and what follows too."""
    i = 0
    while i < len(modules):
        module, following, taken = modules[i], [*modules[i + 1 : i + 3], None, None], 0
        usual = isinstance(input, Tensor) and _plain(module)
        if usual and type(module) is Linear and (activation := _activation(following[0])):
            input, taken = fn.linear_activation(input, module.weight, module.bias, activation), 2
        elif usual and type(module) is Conv2d and (taken := _after_convolution(module, following, input)):
            input = _convolved(module, modules[i + 1 : i + taken], input)
        else:
            input, taken = module(input), 1
        i += taken
    return input


def _after_convolution(conv: Conv2d, following: Sequence[Any], input: Tensor) -> int:
    """How many modules a convolution is one kernel with, itself counted; 0: none. Only the rungs of half precision end with more than a
    bias, and only where no gradient is asked for: training needs the convolution's own result."""
    if input.device.type == "cpu" or input.array.dtype.itemsize != 2 or input.ndim != 4:
        return 0
    norm = following[0] if type(following[0]) is BatchNorm2d and _plain(following[0]) else None
    if norm is not None and (norm.training or norm.running_mean is None or norm.num_features != conv.out_channels):
        return 0
    taken = 1 + (norm is not None) + bool(_activation(following[norm is not None]))
    learning = [input, *conv.parameters(), *(norm.parameters() if norm is not None else ())]
    return 0 if taken == 1 or (is_grad_enabled() and any(t.requires_grad for t in learning)) else taken


def _convolved(conv: Conv2d, following: Sequence[Any], input: Tensor) -> Tensor:
    x, padding = conv._padded(input)
    scale = shift = None
    if isinstance(norm := following[0], BatchNorm2d):  # (y - mean) / sqrt(var + eps) * weight + bias, in float32
        scale = (norm.running_var.float() + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight.float()
        shift = -norm.running_mean.float() * scale
        shift = shift if norm.bias is None else shift + norm.bias.float()
    return fn.conv2d_fused(x, conv.weight, conv.bias, scale, shift, None, conv.stride, padding, conv.dilation, conv.groups,
                           _activation(following[-1]) or "none")


def _plain(module: Any) -> bool:
    """Whether calling a module is calling its class's forward and nothing else."""
    return not module._hooks and "forward" not in module.__dict__


def _activation(module: Any) -> str:
    """gemm's name of the activation that a module is, or ""."""
    kind = type(module)
    if kind not in (ReLU, GELU, SiLU) or not _plain(module):
        return ""
    if kind is GELU:
        return {"none": "gelu", "tanh": "gelu_tanh"}.get(module.approximate, "")
    return "relu" if kind is ReLU else "silu"
