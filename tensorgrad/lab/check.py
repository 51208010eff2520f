"""No figure without a green oracle: an op's result against its float64 reference."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..creation import from_numpy
from ..grad_mode import no_grad
from ..op import Op
from ..random import get_rng_state, set_rng_state
from ..tensor import Tensor
from .report import Check

# In the Euclidean norm, relative; what the tests of the ops ask for. tf32 rounds the operands to 10 bits: 2^-11 each.
TOLERANCES = {"float64": 1e-12, "float32": 1e-5, "tf32": 1e-3, "float16": 4e-3, "bfloat16": 3e-2}


def check(op: Any, args: list[Any], options: dict[str, Any], out: Any, kernel: str, before: list[tuple[Any, Any]]) -> Check:
    """Whether `out` is what the oracle gives; `before` has copies of arrays that the op overwrote.

    The oracle is the op's reference, or, where it has none (backward ops), the op itself with its cpu kernels in float64.
    """
    if type(op).reference is not Op.reference:
        oracle = "the float64 reference"
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            want = op.reference(*[_plain(a, before) for a in args], **{k: _plain(v, before) for k, v in options.items()})
    else:
        oracle = "the cpu kernels in float64"
        want = _on_cpu(op, args, options, before)
        if want is None:
            return Check("unchecked", why=f"{op.name} is random")
    wants = list(want) if isinstance(want, (tuple, list)) else [want]
    gots = [t for t in (out if isinstance(out, (tuple, list)) else (out,)) if isinstance(t, Tensor)]
    if len(wants) != len(gots):
        return Check("unchecked", why=f"{op.name} gives {len(gots)} tensors, {oracle} {len(wants)}")
    worst = Check("right", 0.0, 0.0, oracle=oracle)
    for got, w in zip(gots, wants, strict=True):
        name = "tf32" if kernel.endswith("tf32") and got.dtype.name == "float32" else got.dtype.name
        error, tolerance = relative_error(got.array, np.asarray(w)), TOLERANCES.get(name, 0.0)
        verdict = Check("right" if error <= tolerance else "wrong", error, tolerance, oracle=oracle)
        if worst.status == "right" and (verdict.status == "wrong" or error >= (worst.error or 0)):
            worst = verdict
    return worst


def _on_cpu(op: Any, args: list[Any], options: dict[str, Any], before: list[tuple[Any, Any]]) -> Any:
    """What the op gives in float64 on the device cpu, as arrays; None where it drew random numbers, which are put back."""

    def wide(a: Any) -> Any:
        plain = _plain(a, before)
        if isinstance(a, Tensor):
            return from_numpy(plain)
        return [wide(x) for x in a] if plain is not a else a

    state = get_rng_state()
    with no_grad():
        out = op.call(*map(wide, args), **{k: wide(v) for k, v in options.items()})
    if get_rng_state() != state:
        set_rng_state(state)
        return None
    return [t.numpy() if isinstance(t, Tensor) else t for t in out] if isinstance(out, tuple) else out.numpy()


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
