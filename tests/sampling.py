"""From an op's `cases()` to arguments: arrays, tensors, memory layouts."""
from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.cases import Case, T

OPS = dict(sorted(dispatch._ops.items()))
CASES = [(op, case) for op in OPS.values() for case in op.cases()]


def case_id(pair: Any) -> str:
    """`softmax 3x5 dim=1`."""
    op, case = pair
    return f"{op.name} {case!r}"


def rng_for(op: Any, case: Case) -> np.random.Generator:
    """The same numbers for the same case, whatever else runs."""
    return np.random.default_rng(zlib.crc32(case_id((op, case)).encode()))


def realise(case: Case, rng: np.random.Generator, make: Callable[[T, np.ndarray], Any], float_type: Any = np.float64) -> tuple[list, dict]:
    """(args, kwargs) of a case with every `T` replaced by `make(spec, array)`."""

    def one(a: Any) -> Any:
        if isinstance(a, T):
            return make(a, a.make(rng, float_type))
        if isinstance(a, list) and any(isinstance(x, T) for x in a):
            return [one(x) for x in a]
        return a

    return [one(a) for a in case.args], {k: one(v) for k, v in case.kwargs.items()}


def leaf(dtype: str | None = None) -> Callable[[T, np.ndarray], tg.Tensor]:
    """Makes tensors; floating ones require grad where the spec allows, and take `dtype`."""

    def make(spec: T, array: np.ndarray) -> tg.Tensor:
        floating = spec.dtype == "float"
        t = tg.tensor(array, dtype=getattr(tg, dtype) if dtype and floating else None)
        return t.requires_grad_() if floating and spec.grad else t

    return make


def tensors_in(args: list, kwargs: dict) -> Iterator[tg.Tensor]:
    """All tensors among the arguments, in order."""
    for a in [*args, *kwargs.values()]:
        for t in a if isinstance(a, list) else [a]:
            if isinstance(t, tg.Tensor):
                yield t


def outputs(result: Any) -> list[tg.Tensor]:
    """The tensors of a result, be it one or a tuple."""
    return [t for t in (result if isinstance(result, (tuple, list)) else (result,)) if isinstance(t, tg.Tensor)]


def relative_error(got: np.ndarray, want: np.ndarray) -> float:
    """|got - want| / |want| in the Euclidean norm; non-finite values must agree exactly."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    finite = np.isfinite(want)
    if not np.array_equal(got[~finite], want[~finite], equal_nan=True):
        return float("inf")
    scale = np.linalg.norm(want[finite])
    return float(np.linalg.norm(got[finite] - want[finite]) / (scale if scale else 1.0))


LAYOUTS = ("transposed", "strided", "reversed", "broadcast")


def relayout(a: np.ndarray, layout: str) -> np.ndarray:
    """The same values in other memory: column-major, every other element, backwards, or (values change) stride 0."""
    if a.ndim == 0 or a.size == 0:
        return a
    if layout == "transposed":
        return np.array(a.T, order="C").T
    if layout == "strided":
        wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), 7, a.dtype)
        wide[..., ::2] = a
        return wide[..., ::2]
    if layout == "reversed":
        return np.array(a[::-1], order="C")[::-1]
    return np.broadcast_to(a[:1], a.shape)


def call(op: Any, args: list, kwargs: dict) -> Any:
    """Call an op; one that overwrites its first argument gets a copy of it."""
    return op.call(cloned(args[0]), *args[1:], **kwargs) if op.mutates else op.call(*args, **kwargs)


def cloned(a: Any) -> Any:
    """A copy of a tensor, or of each of a list."""
    return [t.clone() for t in a] if isinstance(a, list) else a.clone()
