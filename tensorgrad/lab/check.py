"""No figure without a green oracle: an op's result against its float64 reference."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..tensor import Tensor
from .report import Check

# In the Euclidean norm, relative; what the tests of the ops ask for. tf32 rounds the operands to 10 bits: 2^-11 each.
TOLERANCES = {"float64": 1e-12, "float32": 1e-5, "tf32": 1e-3, "float16": 4e-3, "bfloat16": 3e-2}


def check(op: Any, args: list[Any], options: dict[str, Any], out: Any, kernel: str, before: list[tuple[Any, Any]]) -> Check:
    """Whether `out` is what the op's reference gives; `before` has copies of arrays that the op overwrote."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            want = op.reference(*[_plain(a, before) for a in args], **{k: _plain(v, before) for k, v in options.items()})
    except NotImplementedError:
        return Check("unchecked", why=f"{op.name} has no float64 reference")
    wants = list(want) if isinstance(want, (tuple, list)) else [want]
    gots = [t for t in (out if isinstance(out, (tuple, list)) else (out,)) if isinstance(t, Tensor)]
    if len(wants) != len(gots):
        return Check("unchecked", why=f"{op.name} gives {len(gots)} tensors, its reference {len(wants)}")
    worst = Check("right", 0.0, 0.0)
    for got, w in zip(gots, wants, strict=True):
        name = "tf32" if kernel.endswith("tf32") and got.dtype.name == "float32" else got.dtype.name
        error, tolerance = relative_error(got.array, np.asarray(w)), TOLERANCES.get(name, 0.0)
        verdict = Check("right" if error <= tolerance else "wrong", error, tolerance)
        if worst.status == "right" and (verdict.status == "wrong" or error >= (worst.error or 0)):
            worst = verdict
    return worst


def relative_error(got: Any, want: Any) -> float:
    """|got - want| / |want|; infinite where shapes differ or a NaN or infinity is on one side only."""
    if got.shape != want.shape:
        return float("inf")
    with np.errstate(over="ignore", invalid="ignore"):
        w = want.astype(got.dtype).astype(np.float64) if want.dtype == np.float64 and got.dtype.itemsize < 8 else want.astype(np.float64)
        g = got.astype(np.float64)
    finite = np.isfinite(w)
    if not np.array_equal(g[~finite], w[~finite], equal_nan=True):
        return float("inf")
    scale = float(np.linalg.norm(w[finite]))
    error = float(np.linalg.norm(g[finite] - w[finite])) / (scale or 1.0)
    return error if np.isfinite(error) else float("inf")


def _plain(a: Any, before: list[tuple[Any, Any]]) -> Any:
    """The argument as a reference takes it: arrays, floats in float64, as they were before the call."""
    if isinstance(a, Tensor):
        array = next((copy for seen, copy in before if np.shares_memory(seen, a.array)), a.array)
        return array.astype(np.float64) if a.dtype.is_floating_point else array.copy()
    return [_plain(x, before) for x in a] if isinstance(a, (list, tuple)) and any(isinstance(x, Tensor) for x in a) else a
