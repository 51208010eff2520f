"""Spectral normalisation: w / sigma(w), sigma the largest singular value. Miyato et al., ICLR 2018."""
from __future__ import annotations

from typing import Any

from ...grad_mode import no_grad
from ...tensor import Tensor
from .. import functional as F
from ..modules.conv import _ConvNd
from ..modules.module import Module
from ..parameter import Parameter


def default_dim(module: Module) -> int:
    """Where a module's weight has its outputs."""
    return int(isinstance(module, _ConvNd) and module.transposed)


def rows_of(weight: Tensor, dim: int) -> Tensor:
    """The weight as a matrix with a row for each index of `dim`."""
    return weight.movedim(dim, 0).reshape(weight.shape[dim], -1)


def normalized(vector: Tensor, eps: float) -> Tensor:
    """The vector over its length, unrecorded."""
    return F.normalize(vector.detach(), dim=0, eps=eps)


class SpectralNorm:
    """The hook that computes a module's weight from `<name>_orig` before each call; in training it improves its estimate first."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float):
        self.name, self.n_power_iterations, self.dim, self.eps = name, n_power_iterations, dim, eps
        self.handle: Any = None

    def weight(self, module: Module, iterate: bool) -> Tensor:
        """The weight as it is now."""
        weight, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        matrix = rows_of(weight, self.dim)
        if iterate:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(normalized(matrix.T @ u, self.eps))
                    u.copy_(normalized(matrix @ v, self.eps))
            u, v = u.clone(), v.clone()  # the next call overwrites them, backward needs these
        return weight / (u * (matrix @ v)).sum()

    def __call__(self, module: Module, args: Any) -> None:
        setattr(module, self.name, self.weight(module, module.training))


def spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None) -> Module:
    """Replace the parameter `name` by `name_orig` over its largest singular value, which buffers `name_u`, `name_v` help to estimate."""
    if any(isinstance(hook, SpectralNorm) and hook.name == name for hook, _ in module._registered("forward_pre")):
        raise RuntimeError(f"spectral_norm: {type(module).__name__}.{name} has a spectral norm already")
    weight = module._parameters.get(name)
    if weight is None:
        raise ValueError(f"spectral_norm: {type(module).__name__} has no parameter {name!r}")
    if n_power_iterations <= 0:
        raise ValueError(f"spectral_norm: n_power_iterations must be positive, got {n_power_iterations}")
    hook = SpectralNorm(name, n_power_iterations, default_dim(module) if dim is None else dim, eps)
    matrix = rows_of(weight.detach(), hook.dim)
    del module._parameters[name]
    module.register_parameter(name + "_orig", weight)
    object.__setattr__(module, name, weight.detach())
    for part, size in zip(("u", "v"), matrix.shape, strict=True):
        module.register_buffer(f"{name}_{part}", normalized(matrix.new_empty((size,)).normal_(), eps))
    hook.handle = module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make `name` a parameter again, with the weight it has now."""
    for hook, _ in module._registered("forward_pre"):
        if isinstance(hook, SpectralNorm) and hook.name == name:
            weight = hook.weight(module, False).detach()
            for part in ("", "_orig", "_u", "_v"):
                delattr(module, name + part)
            setattr(module, name, Parameter(weight))
            hook.handle.remove()
            return module
    raise ValueError(f"remove_spectral_norm: {type(module).__name__}.{name} has no spectral norm")
