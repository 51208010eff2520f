"""Keep gradients small: by their common norm, or value by value."""
from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ... import graph
from ...tensor import Tensor, wrap


def _gradients(name: str, parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    params = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for i, p in enumerate(params):
        if not isinstance(p, Tensor):
            raise TypeError(f"{name}: parameter {i} is a {type(p).__name__}, not a Tensor")
    return [p.grad for p in params if p.grad is not None]


def get_total_norm(tensors: Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Tensor:
    """The norm of all elements of all tensors, as if they were one vector."""
    tensors, p = list(tensors), float(norm_type)
    if not p > 0:
        raise ValueError(f"get_total_norm: norm_type must be above 0 (inf for the largest value), got {norm_type}")
    arrays = [t.device.backend.to_numpy(t.array).ravel() for t in tensors]
    if math.isinf(p):
        total = float(np.max([np.abs(a).max() for a in arrays if a.size], initial=0.0))
    else:
        total = math.fsum(_power_sum(a, p) for a in arrays) ** (1 / p)
    if error_if_nonfinite and not math.isfinite(total):
        raise RuntimeError(f"get_total_norm: the norm of order {p} of the gradients is {total}; pass error_if_nonfinite=False to go on")
    if not tensors:
        return wrap(np.zeros((), np.float32))
    first = tensors[0]
    return wrap(first.device.backend.asarray(np.asarray(total, first.array.dtype)), first.device)


def _power_sum(a: np.ndarray, p: float) -> float:
    """The sum of |a|^p; in the array's own precision where that is enough, else in float64."""
    if p == 2.0 and a.dtype.itemsize >= 4:
        total = float(np.dot(a, a))
        if math.isfinite(total):
            return total
    return float((np.abs(a.astype(np.float64)) ** p).sum())


def clip_grad_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0,
                    error_if_nonfinite: bool = False) -> Tensor:
    """Scale all gradients in place by max_norm / (norm + 1e-6) where their common norm is larger; returns the norm before."""
    grads = _gradients("clip_grad_norm_", parameters)
    total = get_total_norm(grads, norm_type, error_if_nonfinite)
    factor = float(max_norm) / (float(total) + 1e-6)
    if not factor >= 1:  # a NaN norm makes all gradients NaN, as it should be seen
        for g in grads:
            g.array *= g.array.dtype.type(factor)
            graph.version_cell(g)[0] += 1
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit each element of the gradients to [-clip_value, clip_value], in place."""
    for g in _gradients("clip_grad_value_", parameters):
        xp = g.device.backend.xp
        limit = g.array.dtype.type(clip_value)
        xp.clip(g.array, -limit, limit, out=g.array)
        graph.version_cell(g)[0] += 1
