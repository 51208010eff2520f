"""Gradients against finite differences, in float64."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .autograd import grad
from .grad_mode import enable_grad
from .tensor import Tensor, wrap


class GradcheckError(RuntimeError):
    """The analytical gradient differs from the numerical one."""


def _flat(x: Any) -> list[Tensor]:
    if isinstance(x, Tensor):
        return [x]
    return [t for item in x for t in _flat(item)] if isinstance(x, (tuple, list)) else []


def _floats(x: Any) -> list[Tensor]:
    return [t for t in _flat(x) if t.dtype.is_floating_point]


def gradcheck(fn: Callable[..., Any], inputs: Any, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
              raise_exception: bool = True) -> bool:
    """Compare the gradient of `fn` with central differences, (f(x + eps) - f(x - eps)) / (2 eps), element by element.

    `inputs` are float64 tensors (nested in lists or not); those with requires_grad are checked. The outputs are reduced with
    fixed random weights, so that every output and every input element takes part. Raises GradcheckError, or returns False.
    """
    args = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    leaves = [t for t in _flat(args) if t.requires_grad]
    if not leaves:
        raise ValueError("gradcheck: no input requires grad")
    for t in leaves:
        if t.dtype.name != "float64":
            raise ValueError(f"gradcheck: an input is {t.dtype.name}; finite differences need float64")
    with enable_grad():
        outs = _floats(fn(*args))
        weights = [np.random.default_rng(i).uniform(0.5, 1.5, o.shape) for i, o in enumerate(outs)]
        tracked = [(o, w) for o, w in zip(outs, weights, strict=True) if o.requires_grad]
        got: Sequence[Tensor | None] = [None] * len(leaves)  # an untracked output claims that all gradients are zero
        if tracked:
            got = grad([o for o, _ in tracked], leaves, [wrap(w, o.device) for o, w in tracked], allow_unused=True)

    def value() -> float:
        return sum(float((o.array * w).sum()) for o, w in zip(_floats(fn(*args)), weights, strict=True))

    for k, (t, g) in enumerate(zip(leaves, got, strict=True)):
        analytical = np.zeros(t.shape) if g is None else np.asarray(g.array)
        if analytical.shape != t.array.shape:
            return _fail(f"gradient {k} has shape {analytical.shape}, its input {t.array.shape}", raise_exception)
        numerical = np.zeros(t.shape)
        for index in np.ndindex(*t.array.shape):
            before = t.array[index].copy()
            t.array[index] = before + eps
            up = value()
            t.array[index] = before - eps
            numerical[index] = (up - value()) / (2 * eps)
            t.array[index] = before
        if not np.allclose(analytical, numerical, rtol=rtol, atol=atol):
            worst = np.unravel_index(np.argmax(np.abs(analytical - numerical)), numerical.shape)
            where = tuple(int(i) for i in worst)
            return _fail(f"input {k} of shape {tuple(t.shape)} at {where}: analytical {analytical[worst]:.8g}, numerical "
                         f"{numerical[worst]:.8g}", raise_exception)
    return True


def _fail(message: str, raise_exception: bool) -> bool:
    if raise_exception:
        raise GradcheckError("gradcheck: " + message)
    return False


def gradgradcheck(fn: Callable[..., Any], inputs: Any, grad_outputs: Sequence[Tensor] | None = None, eps: float = 1e-6,
                  atol: float = 1e-5, rtol: float = 1e-3, raise_exception: bool = True) -> bool:
    """`gradcheck` of the gradient itself, with respect to the inputs and to the gradients of the outputs."""
    args = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    leaves = [t for t in _flat(args) if t.requires_grad]
    with enable_grad():
        outs = [o for o in _floats(fn(*args)) if o.requires_grad]
    if not outs:
        raise GradcheckError("gradgradcheck: no output depends on an input that requires grad")
    if grad_outputs is None:
        grad_outputs = [
            wrap(np.random.default_rng(100 + i).uniform(0.5, 1.5, o.shape), o.device).requires_grad_() for i, o in enumerate(outs)
        ]

    def first(*everything: Any) -> Any:
        with enable_grad():
            values = [o for o in _floats(fn(*everything[: len(args)])) if o.requires_grad]
            found = grad(values, leaves, everything[len(args):], create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(first, [*args, *grad_outputs], eps, atol, rtol, raise_exception)
