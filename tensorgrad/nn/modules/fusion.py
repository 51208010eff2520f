"""Layers that follow each other and are one kernel on a GPU."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...op import fn
from ...tensor import Tensor
from .activation import GELU, ReLU, SiLU
from .linear import Linear


def in_one_kernel(modules: Sequence[Any], input: Any) -> Any:
    """What the modules make of an input, one after another; a Linear and its activation as one operation."""
    i = 0
    while i < len(modules):
        module, following = modules[i], modules[i + 1] if i + 1 < len(modules) else None
        activation = _activation(following) if type(module) is Linear and _plain(module) and isinstance(input, Tensor) else ""
        if activation:
            input = fn.linear_activation(input, module.weight, module.bias, activation)
            i += 2
        else:
            input = module(input)
            i += 1
    return input


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
