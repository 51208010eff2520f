"""Which kernel runs an operation: device -> family -> rung.

A kernel's path is `family/rung`, e.g. `cpu/packed`. Compiled kernels register themselves in C++ (`TG_KERNEL`), Python ones in
their op's file (`@rung`). The first rung of the op's `defaults` that supports the call wins; `use` and the environment variable
`TG_KERNELS="matmul=cpu/packed,conv2d=cpu/im2col"` override the choice. An override never falls back in silence.
"""
from __future__ import annotations

import difflib
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import backends, dtypes, triton
from .errors import NoKernel, UserError

HALF = ("float16", "bfloat16")
IN_FLOAT32 = ("cpu", "cupy")  # families that compute half precision by way of float32


@dataclass(frozen=True)
class Kernel:
    """One implementation of an op on one device."""

    op: str
    path: str  # family/rung
    device: str
    dtypes: frozenset[str]
    source: str
    call: Callable[..., Any] = field(repr=False)
    writes: tuple[int, ...] = (0,)  # positions of the arrays it writes; () for one that returns a new array
    chips: tuple[int, int] = (0, 9999)  # compute capabilities it runs on, first and last: 90 for 9.0
    deterministic: bool = True  # the same bits every time

    @property
    def family(self) -> str:
        """The part of the path before the slash."""
        return self.path.partition("/")[0]

    @property
    def rung(self) -> str:
        """The part of the path after the slash."""
        return self.path.partition("/")[2]

    @property
    def on_gpu(self) -> bool:
        """Whether it is written for GPUs (and runs on emu): it takes images of any strides."""
        return self.family in ("cuda", "triton")

    def for_dtype(self, name: str) -> Callable[..., Any]:
        """The callable for arrays of a dtype the kernel supports."""
        return self.call if name in self.dtypes else in_float32(self)

    def run(self, array: Any, *args: Any) -> None:
        """Run on arrays of `array`'s dtype, which comes first among them."""
        self.for_dtype(dtypes.BY_NUMPY[array.dtype].name)(array, *args)

    def takes(self, name: str) -> bool:
        """Whether it computes this dtype, half precision by way of float32 included."""
        return name in self.dtypes or (name in HALF and self.family in IN_FLOAT32 and "float32" in self.dtypes and bool(self.writes))


def in_float32(kernel: Kernel) -> Callable[..., Any]:
    """A float32 kernel for half-precision arrays: widen, compute, round each result once.

    Accumulation in float32 and one rounding at the end is what half precision means on every device.
    """

    def wide(a: Any) -> Any:
        if isinstance(a, list):
            return [wide(x) for x in a]
        if not hasattr(a, "strides") or dtypes.BY_NUMPY[a.dtype].name not in HALF:
            return a
        if 0 not in a.strides or not a.size or all(step or n == 1 for step, n in zip(a.strides, a.shape, strict=True)):
            return a.astype(np.float32)
        # Broadcast dims stay broadcast: a copy orders its memory by the strides, and would lay out those of 0 inside the rows.
        once = a[tuple([slice(None) if step else slice(0, 1) for step in a.strides])]
        return np.broadcast_to(once.astype(np.float32), a.shape)

    def narrow(to: Any, result: Any) -> None:
        if isinstance(to, list):
            for a, b in zip(to, result, strict=True):
                narrow(a, b)
        elif result is not to:
            to[...] = result

    def widened(*args: Any) -> None:
        given = [wide(a) for a in args]
        kernel.call(*given)
        with np.errstate(over="ignore"):  # beyond the dtype's range is infinity
            for i in kernel.writes:
                narrow(args[i], given[i])

    return widened


_ops: dict[str, Any] = {}  # op name -> Op; filled by op.py
_kernels: dict[str, dict[str, dict[str, Kernel]]] = {}  # device -> op -> path -> kernel
_loading = threading.RLock()  # one device's kernels may be lent to another: the same thread loads both
_overrides: dict[str, tuple[str, str]] = {}  # op name, or "*" -> (path or family, who asked)
_environment_read = False
determinism = ""  # "required" or "warn": what tensorgrad/determinism.py has been asked for


def kernels_of(device: str) -> dict[str, dict[str, Kernel]]:
    """op -> path -> kernel for a device; loaded on first use."""
    table = _kernels.get(device)
    return _loaded(device) if table is None else table


def _loaded(device: str) -> dict[str, dict[str, Kernel]]:
    """The table of a device, made by the first thread that asks; the others see it when it is whole."""
    with _loading:
        if device in _kernels:
            return _kernels[device]
        table: dict[str, dict[str, Kernel]] = {}
        for name, path, types, source, writes, call, *rest in backends.load(device).load_kernels():
            if name in _ops:
                call = _ops[name].bind(path, call, backends.load(device).xp)
            table.setdefault(name, {})[path] = Kernel(name, path, device, frozenset(types.split()), source, call, writes, *rest)
        for op in _ops.values():
            for kernel in op.python_kernels(device):
                table.setdefault(op.name, {})[kernel.path] = kernel
        lender = getattr(backends.load(device), "borrows", None)
        for name, kernels in kernels_of(lender).items() if lender else ():
            table[name] = {**kernels, **table.get(name, {})}
        _kernels[device] = table
    return table


@contextmanager
def replaced(device: str, kernels: Iterable[Kernel]) -> Iterator[None]:
    """In a `with` block these kernels run in place of those of their op and path on `device`: the lab's way into the op layer."""
    before = kernels_of(device)
    _kernels[device] = table = {op: dict(paths) for op, paths in before.items()}
    for kernel in kernels:
        table[kernel.op][kernel.path] = kernel
    _forget_choices()
    try:
        yield
    finally:
        _kernels[device] = before
        _forget_choices()


def ordered(op: Any, device: str) -> list[Kernel]:
    """The kernels of an op on a device, in the order they are tried: the op's defaults, then the others, newest rung first."""
    table = kernels_of(device).get(op.name, {})
    families = backends.load(device).families
    rest = sorted((p for p in table if p not in op.defaults), reverse=True)
    kernels = [table[p] for p in (*op.defaults, *rest) if p in table]
    return sorted(kernels, key=lambda k: families.index(k.family))  # stable: keeps the order within a family


def choose(op: Any, device: Any, dtype: str, *info: Any) -> Kernel:
    """The kernel for this call; NoKernel says which there are and why they do not take it."""
    if not _environment_read:
        _read_environment()
    kernels = ordered(op, device.type)
    if not kernels:
        raise NoKernel(f"{op.name}: there is no kernel for device {device}")
    asked, who = _override_for(op, kernels)
    refused = {kernel: _reason_against(op, kernel, device, dtype, info) for kernel in kernels}
    able = [kernel for kernel in kernels if refused[kernel] is None]
    wanted = [kernel for kernel in able if not asked or asked in (kernel.path, kernel.family)]
    if wanted:
        named = asked in {k.path for k in wanted}
        suited = [] if named else [kernel for kernel in wanted if kernel.deterministic and op.suits(kernel, *info)]
        kernel = (suited or wanted)[0]
        if determinism == "warn" and not kernel.deterministic:
            warnings.warn(f"{op.name} on {device}: {kernel.path} is not deterministic", stacklevel=5)
        return kernel
    why = "; ".join(f"{k.path} {refused[k]}" for k in kernels if not asked or asked in (k.path, k.family))
    if asked:
        why = f"{asked} was asked for by {who}, but {why}; what does: {', '.join(k.path for k in able) or 'none'}"
    raise NoKernel(f"{op.name} on {device}: {why}")


def _reason_against(op: Any, kernel: Kernel, device: Any, dtype: str, info: tuple) -> str | None:
    """Why a kernel cannot do a call, or None when it can: its dtypes, its chips, what the op says."""
    if not kernel.takes(dtype):
        return f"does not compute {dtype} (it computes {', '.join(sorted(kernel.dtypes))})"
    first, last = kernel.chips
    if first and (first > (chip := device.backend.chip(device.index)) or chip > last):
        upto = "or newer" if last == 9999 else f"to {last / 10:.1f}"
        return f"needs compute capability {first / 10:.1f} {upto}, but {device} has {chip / 10:.1f}"
    if determinism == "required" and not kernel.deterministic:
        return "is not deterministic, and use_deterministic_algorithms(True) was called"
    reason: str | None = op.supports(kernel, *info)
    return reason


def _override_for(op: Any, kernels: list[Kernel]) -> tuple[str | None, str]:
    """The override that concerns this op on this device: its own, its group's or everybody's."""
    for name in (op.name, op.group, "*"):
        if name in _overrides:
            asked, who = _overrides[name]
            if any(asked in (k.path, k.family) for k in kernels):
                return asked, who
    return None, ""


def _forget_choices() -> None:
    for op in _ops.values():
        op.picked.clear()


def _check(op: str, path: str, who: str) -> None:
    """ValueError unless the op and the path exist on some device that is here."""
    groups = {o.group for o in _ops.values()} | set(_ops)
    if op != "*" and op not in groups:
        near = difflib.get_close_matches(op, [o for o in _ops if any(o in kernels_of(d) for d in _present())], 3)
        raise ValueError(f"{who}: there is no op {op!r}" + (f"; near it: {', '.join(near)}" if near else ""))
    known = {k for d in _present() for o in _ops.values() if op in ("*", o.name, o.group) for k in kernels_of(d).get(o.name, {})}
    if path not in known and path not in {k.partition("/")[0] for k in known}:
        shown = sorted(known) if op != "*" else sorted({k.partition("/")[0] for k in known})
        absent = triton.absent() if path.partition("/")[0] == "triton" else None
        raise ValueError(f"{who}: {op} has no kernel {path!r}; there are: {', '.join(shown) or 'none'}" + (f". {absent}" if absent else ""))


def _present() -> list[str]:
    """Devices whose kernels can be loaded here."""
    present = []
    for name in backends.NAMES:
        try:
            kernels_of(name)
        except (ImportError, RuntimeError, ValueError):
            _kernels.pop(name, None)
            continue
        present.append(name)
    return present


def _read_environment() -> None:
    global _environment_read
    _environment_read = True
    for item in filter(None, os.environ.get("TG_KERNELS", "").split(",")):
        op, eq, path = item.strip().partition("=")
        op, path = (op.strip(), path.strip()) if eq else ("*", op)
        try:
            _check(op, path, "TG_KERNELS")
        except ValueError as e:
            _environment_read = False
            raise UserError(str(e)) from None
        _overrides.setdefault(op, (path, "TG_KERNELS"))


class use:
    """Choose the kernel of an op from here on, or for a `with` block: `use("matmul", "cpu/packed")`.

    `path` is `family/rung`, or a family alone. The choice also covers the op's backward kernels of the same path, and holds
    on the devices that have it. `use("*", family)` prefers a family everywhere. `use("matmul", None)` returns to the default.
    ValueError names the kernels there are.
    """

    def __init__(self, op: str, path: str | None):
        if not _environment_read:
            _read_environment()
        self.op, self._before = op, _overrides.get(op)
        if path is None:
            _overrides.pop(op, None)
        else:
            _check(op, path, "kernels.use")
            _overrides[op] = (path, "kernels.use")
        _forget_choices()

    def __enter__(self) -> use:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._before is None:
            _overrides.pop(self.op, None)
        else:
            _overrides[self.op] = self._before
        _forget_choices()


def list_kernels(op: str | None = None, device: str | None = None) -> list[Kernel]:
    """Every kernel there is here, or those of one op or device, in the order they are tried."""
    return [
        k
        for o in sorted(_ops.values(), key=lambda o: o.name) if op in (None, o.name, o.group)
        for d in _present() if device in (None, d)
        for k in ordered(o, d)
        if k.device == d  # a borrowed kernel is listed once
    ]
