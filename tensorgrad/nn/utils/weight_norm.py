"""Weight normalisation: w = g v / |v|. Salimans and Kingma, NIPS 2016."""
from __future__ import annotations

from typing import Any

from ...tensor import Tensor, check_dim
from ..modules.module import Module
from ..parameter import Parameter


def _norm(v: Tensor, dim: int | None) -> Tensor:
    """|v| over all dimensions but `dim`; over all of them for None."""
    squares = v.square()
    return squares.sum([d for d in range(v.ndim) if d != dim], keepdim=True).sqrt() if dim is not None else squares.sum().sqrt()


class WeightNorm:
    """The hook that computes a module's weight from its length and direction before each call."""

    def __init__(self, name: str, dim: int | None):
        self.name, self.dim = name, dim
        self.handle: Any = None

    def weight(self, module: Module) -> Tensor:
        """The weight as it is now."""
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return v * (g / _norm(v, self.dim))

    def __call__(self, module: Module, args: Any) -> None:
        setattr(module, self.name, self.weight(module))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Replace the parameter `name` by its length `name_g` (for each index of `dim`, or one for None) and direction `name_v`."""
    if any(isinstance(hook, WeightNorm) and hook.name == name for hook, _ in module._registered("forward_pre")):
        raise RuntimeError(f"weight_norm: {type(module).__name__}.{name} has a weight norm already")
    weight = module._parameters.get(name)
    if weight is None:
        raise ValueError(f"weight_norm: {type(module).__name__} has no parameter {name!r}")
    dim = None if dim is None or dim == -1 else check_dim("weight_norm", dim, weight.ndim)
    hook = WeightNorm(name, dim)
    del module._parameters[name]
    module.register_parameter(name + "_g", Parameter(_norm(weight.detach(), dim)))
    module.register_parameter(name + "_v", Parameter(weight.detach()))
    object.__setattr__(module, name, hook.weight(module))
    hook.handle = module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make `name` a parameter again, with the weight it has now."""
    for hook, _ in module._registered("forward_pre"):
        if isinstance(hook, WeightNorm) and hook.name == name:
            weight = hook.weight(module).detach()
            delattr(module, name)
            delattr(module, name + "_g")
            delattr(module, name + "_v")
            setattr(module, name, Parameter(weight))
            hook.handle.remove()
            return module
    raise ValueError(f"remove_weight_norm: {type(module).__name__}.{name} has no weight norm")
