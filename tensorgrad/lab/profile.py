"""`profile`: one call of an op with one of its kernels, on random operands, recorded. `compare`: every rung of the op."""
from __future__ import annotations

import difflib
import inspect
import re
from contextlib import nullcontext
from typing import Any

import numpy as np

from .. import dispatch, dtypes
from ..cases import T
from ..creation import tensor
from ..dispatch import Kernel
from ..errors import UserError
from ..tensor import Tensor
from .recorder import ARCH, record
from .report import Report

LAYOUTS = {"N": "as it is", "T": "the last two dims swapped in memory", "C": "channels last"}


class KernelFault(UserError, RuntimeError):
    """A kernel ended in an error under the emulator: an access out of bounds, a deadlock, a trap."""

    exit_code = 1


def profile(op: Any, kernel: str | None = None, *operands: Any, dtype: str | None = None, layout: str | None = None, seed: int = 0,
            races: bool = True, check: bool = True, arch: str = ARCH, **options: Any) -> Report:
    """What `kernel` does for one call of `op`: `profile("matmul", "cuda/v02_shared", (128, 64), (64, 96))`.

    Operands are shapes (random numbers from `seed`), `tg.cases.T` for integers or other ranges, tensors, None, or lists of these;
    they come to the device emu in `dtype` (default: float32 where the kernel computes it). `layout` has a letter per operand: N as it
    is, T with the last two dims swapped in memory, C with channels last. `options` are the op's. `kernel` is a path or its part after
    the slash; None takes what dispatch would. The result is checked against the op's float64 reference unless `check=False`; where it
    is wrong, the report prints no figures. UserError for wrong calls; KernelFault where the kernel itself fails.
    """
    target = op_named(op)
    chosen = kernel_named(target, kernel)
    dtype = dtype or _dtype_for(chosen)
    named = dtypes.BY_NAME.get(dtype)
    if named is None:
        raise UserError(f"lab: there is no dtype {dtype!r}; kernels of {target.name} compute {_computes(target)}")
    rng = np.random.default_rng(seed)
    letters = _letters(layout, len(operands))
    try:
        given = [_operand(spec, named, rng, letter) for spec, letter in zip(operands, letters, strict=True)]
        inspect.signature(target.call).bind(*given, **options)
    except TypeError as e:
        raise UserError(f"lab: {target.name}{_signature(target)} cannot be called with {len(operands)} operands and the options "
                        f"{', '.join(options) or '(none)'}: {e}") from None
    recording = record(races=races, check=check, arch=arch)
    with recording as report, dispatch.use(chosen.op, chosen.path) if chosen else nullcontext():
        try:
            target.call(*given, **options)
        except RuntimeError as e:
            if recording.failed:
                raise KernelFault(str(e)) from e
            raise
    if not report.calls and not target.composite and _cuda(target):
        return report  # nothing to compute: no launch
    if not report.calls:
        raise UserError(f"lab: {target.name} launched no CUDA kernel on emu; ops that have some: {', '.join(sorted(_with_kernels()))}")
    return report


class Refusal(str):
    """Why a kernel is not made for a call."""


def compare(op: Any, *operands: Any, dtype: str | None = None, **settings: Any) -> dict[str, Report | str]:
    """A report for each CUDA kernel of the op by its path, or the reason why it does not take the call."""
    target = op_named(op)
    reports: dict[str, Report | str] = {}
    for kernel in rungs(target):
        if dtype is not None and not kernel.takes(dtype):
            reports[kernel.path] = Refusal(f"does not compute {dtype}")
            continue
        try:
            reports[kernel.path] = profile(target, kernel.path, *operands, dtype=dtype, **settings)
        except dispatch.NoKernel as e:
            reports[kernel.path] = Refusal(e)
        except KernelFault as e:
            reports[kernel.path] = str(e)
    return reports


def op_named(op: Any) -> Any:
    """The op of a name or of a function such as `tg.matmul`; UserError names those near it."""
    found = getattr(op, "op", op) if not isinstance(op, str) else dispatch._ops.get(op)
    if found is None or not hasattr(found, "call"):
        near = difflib.get_close_matches(str(op), dispatch._ops, 3)
        raise UserError(f"lab: there is no op {op!r}" + (f"; near it: {', '.join(near)}" if near else ""))
    return found


def rungs(op: Any) -> list[Kernel]:
    """The CUDA kernels of an op, in the order of their names; UserError where it has none."""
    found = _cuda(op)
    if not found:
        raise UserError(f"lab: {op.name} has no CUDA kernel of its own; ops that have some: {', '.join(sorted(_with_kernels()))}")
    return sorted(found, key=lambda k: k.path)


def kernel_named(op: Any, kernel: str | None) -> Kernel | None:
    """The kernel of a path or rung; None for None: dispatch chooses."""
    if kernel is None:
        return None
    for k in rungs(op):
        if kernel in (k.path, k.rung):
            return k
    raise UserError(f"lab: {op.name} has no CUDA kernel {kernel!r}; there are: {', '.join(k.path for k in rungs(op))}")


def _cuda(op: Any) -> list[Kernel]:
    name = op.group if op.composite else op.name
    return [k for k in dispatch.kernels_of("emu").get(name, {}).values() if k.device == "emu"]


def _with_kernels() -> set[str]:
    return {name for name, kernels in dispatch.kernels_of("emu").items() if any(k.device == "emu" for k in kernels.values())}


def _computes(op: Any) -> str:
    return ", ".join(sorted({t for k in _cuda(op) for t in k.dtypes}))


def _dtype_for(kernel: Kernel | None) -> str:
    order = ("float32", "bfloat16", "float16", "float64")
    return next((name for name in order if kernel is None or name in kernel.dtypes), "float32")


def _letters(layout: str | None, count: int) -> str:
    layout = layout or "N" * count
    if len(layout) != count or set(layout) - set(LAYOUTS):
        raise UserError(f"lab: layout {layout!r} must have a letter for each of the {count} operands: "
                        + ", ".join(f"{k} {v}" for k, v in LAYOUTS.items()))
    return layout


def _signature(op: Any) -> str:
    return re.sub(r"=<[^>]*>", "", str(inspect.signature(op.call)))


def _operand(spec: Any, dtype: Any, rng: np.random.Generator, letter: str) -> Any:
    if spec is None:
        return None
    if isinstance(spec, Tensor):
        return spec.to("emu")
    if isinstance(spec, list) and not all(isinstance(n, int) for n in spec):
        return [_operand(s, dtype, rng, letter) for s in spec]
    if isinstance(spec, T):
        array = spec.make(rng, np.float64)
    else:
        shape = (spec,) if isinstance(spec, int) else spec
        if not isinstance(shape, (tuple, list)) or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise UserError(f"lab: an operand is a shape, a tg.cases.T, a tensor, None or a list of these, not {spec!r}")
        array = rng.standard_normal(tuple(shape))
    made = tensor(array, dtype=dtype if array.dtype == np.float64 else None, device="emu")
    if letter == "T" and made.ndim >= 2:
        return made.transpose(-2, -1).contiguous().transpose(-2, -1)
    if letter == "C" and made.ndim >= 3:
        return made.movedim(1, -1).contiguous().movedim(-1, 1)
    return made
