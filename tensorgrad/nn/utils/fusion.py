"""Batch norm in evaluation folded into the layer before it: one layer with the same result."""
from __future__ import annotations

import copy

from ...op import fn
from ...tensor import Tensor
from ..modules.module import Module
from ..parameter import Parameter


def _scaled(weight: Tensor, bias: Tensor | None, mean: Tensor, var: Tensor, eps: float, scale: Tensor | None, shift: Tensor | None,
            dim: int) -> tuple[Parameter, Parameter]:
    factor = fn.rsqrt(var + eps) if scale is None else scale * fn.rsqrt(var + eps)
    shape = [1] * weight.ndim
    shape[dim] = -1
    moved = (-mean if bias is None else bias - mean) * factor
    moved = moved if shift is None else moved + shift
    fused = (weight * factor.reshape(shape)).to(weight.dtype)
    asked = bias if bias is not None else weight
    return (Parameter(fused.detach(), weight.requires_grad), Parameter(moved.to(asked.dtype).detach(), asked.requires_grad))


def fuse_conv_bn_weights(conv_w: Tensor, conv_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor | None,
                         bn_b: Tensor | None, transpose: bool = False) -> tuple[Parameter, Parameter]:
    """(weight, bias) of the convolution, or transposed convolution, that includes the batch norm behind it."""
    return _scaled(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, int(transpose))


def fuse_linear_bn_weights(linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor,
                           bn_b: Tensor) -> tuple[Parameter, Parameter]:
    """(weight, bias) of the linear layer that includes the batch norm behind it."""
    return _scaled(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 0)


def _fused(name: str, layer: Module, bn: Module, dim: int) -> Module:
    if layer.training or bn.training:
        raise RuntimeError(f"{name}: both layers must be in evaluation: call .eval()")
    if bn.running_mean is None or bn.running_var is None:
        raise RuntimeError(f"{name}: the batch norm has no running statistics")
    if bn.num_features != layer.weight.shape[dim] * (layer.groups if dim else 1):
        raise RuntimeError(f"{name}: the batch norm has {bn.num_features} features, the weight before it has shape "
                           f"{tuple(layer.weight.shape)}")
    out = copy.deepcopy(layer)
    out.weight, out.bias = _scaled(layer.weight, layer.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, dim)
    return out


def fuse_conv_bn_eval(conv: Module, bn: Module, transpose: bool = False) -> Module:
    """A copy of the convolution that gives what convolution and batch norm give one after the other, in evaluation."""
    return _fused("fuse_conv_bn_eval", conv, bn, int(transpose))


def fuse_linear_bn_eval(linear: Module, bn: Module) -> Module:
    """A copy of the linear layer that gives what linear layer and batch norm give one after the other, in evaluation."""
    return _fused("fuse_linear_bn_eval", linear, bn, 0)
