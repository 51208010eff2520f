"""Keep gradients small: by their common norm, or value by value."""
from __future__ import annotations

import math
import warnings
from collections.abc import Iterable

import numpy as np

from ...grad_mode import no_grad
from ...op import fn
from ...tensor import Tensor, wrap


def _gradients(name: str, parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    params = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for i, p in enumerate(params):
        if not isinstance(p, Tensor):
            raise TypeError(f"{name}: parameter {i} is a {type(p).__name__}, not a Tensor")
    return [p.grad for p in params if p.grad is not None]


def _alike(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """The tensors of each device and dtype: what one call of an op takes."""
    kinds: dict[tuple, list[Tensor]] = {}
    for t in tensors:
        kinds.setdefault((t.device, t.dtype), []).append(t)
    return list(kinds.values())


@no_grad()
def get_total_norm(tensors: Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Tensor:
    """The norm of all elements of all tensors, as if they were one vector."""
    tensors, p = list(tensors), float(norm_type)
    if not p > 0:
        raise ValueError(f"get_total_norm: norm_type must be above 0 (inf for the largest value), got {norm_type}")
    if not tensors:
        return wrap(np.zeros((), np.float32))
    norms = [fn.total_norm(alike, p) for alike in _alike(tensors)]
    total: Tensor = norms[0] if len(norms) == 1 else fn.total_norm([n.to(tensors[0]) for n in norms], p)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(f"get_total_norm: the norm of order {p} of the gradients is {total.item()}; pass error_if_nonfinite=False to "
                           "go on")
    return total


def clip_grad_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0,
                    error_if_nonfinite: bool = False) -> Tensor:
    """Scale all gradients in place by max_norm / (norm + 1e-6) where their common norm is larger; returns the norm before.

    Nothing waits for the norm unless `error_if_nonfinite` asks about it.
    """
    grads = _gradients("clip_grad_norm_", parameters)
    total = get_total_norm(grads, norm_type, error_if_nonfinite)
    _clip_to_norm(grads, max_norm, total)
    return total


def clip_grad_norm(parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0,
                   error_if_nonfinite: bool = False) -> Tensor:
    """The former name of clip_grad_norm_."""
    warnings.warn("nn.utils.clip_grad_norm is the former name of nn.utils.clip_grad_norm_", FutureWarning, stacklevel=2)
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite)


def clip_grads_with_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor) -> None:
    """What clip_grad_norm_ does with a norm that `get_total_norm` gave before."""
    _clip_to_norm(_gradients("clip_grads_with_norm_", parameters), max_norm, total_norm)


@no_grad()
def _clip_to_norm(grads: list[Tensor], max_norm: float, total: Tensor) -> None:
    for alike in _alike(grads):
        fn.clip_to_norm_(alike, total.to(alike[0]), max_norm)


@no_grad()
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit each element of the gradients to [-clip_value, clip_value], in place."""
    for alike in _alike(_gradients("clip_grad_value_", parameters)):
        fn.clip_to_value_(alike, clip_value)
