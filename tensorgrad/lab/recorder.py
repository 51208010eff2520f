"""How the op layer reaches the lab: while `record` is on, the device emu runs the instrumented kernels of `tensorgrad._lab`.

The kernels of `_lab` are those of emu, compiled once more so that they report each access. `dispatch.replaced` puts them in place
under the same op and path, so dispatch chooses as always. Each call of a kernel is one recording; the observer of ops, called
after an op is done, says which op it was for, checks the op's result and asks for its cost.
"""
from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import numpy as np

from .. import backends, dispatch
from ..dispatch import Kernel
from ..errors import UserError
from ..graph import Node
from ..op import OBSERVERS
from ..tensor import Tensor
from .check import check
from .occupancy import limits_of
from .registers import of_kernel
from .report import Call, Check, Launch, Report, launch_of

ARCH = "sm_90"


def extension() -> ModuleType:
    """The instrumented kernels; UserError where they were not built."""
    try:
        return importlib.import_module("tensorgrad._lab")
    except ImportError:
        raise UserError("the lab needs the instrumented kernels (tensorgrad._lab), which are built with the emulator on Linux with GCC; "
                        "they are not in this installation") from None


class record:
    """Record every launch on device emu in a `with` block: `with tg.lab.record() as report: loss.backward()`.

    `races=False` and `metrics=False` leave out what they name; `check=False` does not compare results with the ops' float64
    references. `arch` is the chip occupancy is computed for. The report is complete when the block is left. Kernels that are
    recorded run one block after the other. Recordings do not nest: RuntimeError.
    """

    _active = threading.Lock()

    def __init__(self, metrics: bool = True, races: bool = True, check: bool = True, arch: str = ARCH):
        self.arch, _ = limits_of(arch)
        self.metrics, self.races = metrics, races
        self.report = Report(checked=check, raced=races)
        self.failed = False  # a kernel ended in an error
        self._seen: list[tuple[Kernel, list[dict[str, Any]]]] = []  # by kernels whose op is not done yet
        self._before: list[tuple[Any, Any]] = []  # arrays an op overwrites, and copies of what they held
        self._checking = False
        self._stack = ExitStack()
        self._lock = threading.RLock()

    def __enter__(self) -> Report:
        self._lab = extension()
        self._emu: Any = backends.load("emu")
        if not self._active.acquire(blocking=False):
            raise RuntimeError("lab: a recording is on already; recordings do not nest")
        with ExitStack() as stack:
            stack.callback(self._active.release)
            stack.enter_context(dispatch.replaced("emu", self._kernels()))
            OBSERVERS.append(self._observe)
            stack.callback(OBSERVERS.remove, self._observe)
            self._stack = stack.pop_all()
        seed, eager, *_ = self._emu.ext.settings()
        self.report.settings = {"seed": seed, "eager": eager, "arch": self.arch}
        return self.report

    def __exit__(self, *exc: object) -> None:
        self._stack.close()
        if self._seen:
            self._add("(no op)", "", None, None, Check("unchecked", why="the kernels were not called by an op"))

    def _kernels(self) -> list[Kernel]:
        instrumented = {(row[0], row[1]): row[5] for row in self._lab.kernels()}
        kernels = [k for op in dispatch.kernels_of("emu").values() for k in op.values() if k.device == "emu"]
        lacking = [k.path for k in kernels if (k.op, k.path) not in instrumented]
        if lacking:
            raise UserError(f"tensorgrad._lab was built from other sources than the emulator: it lacks {', '.join(lacking)}; build again")
        return [dataclasses.replace(k, call=self._recorded(k, instrumented[k.op, k.path])) for k in kernels]

    def _recorded(self, kernel: Kernel, call: Callable[..., Any]) -> Callable[..., Any]:
        op = dispatch._ops.get(kernel.op)
        if op is not None:
            call = op.bind(kernel.path, call, self._emu.xp)

        def run(*args: Any) -> None:
            with self._lock:
                if op is not None and op.mutates and self.report.checked:
                    written = [a for i in kernel.writes for a in (args[i] if isinstance(args[i], list) else [args[i]])]
                    self._before += [(a, a.copy()) for a in written if a is not None]
                self._lab.configure(*self._emu.ext.settings())
                self._lab.start(self.metrics, self.races)
                try:
                    call(*args)
                except RuntimeError:
                    self.failed = True
                    raise
                finally:
                    self._seen.append((kernel, self._lab.stop()["launches"]))

        return run

    def _observe(self, ctx: Node, out: Any, args: tuple) -> None:
        """An op is done: the launches since the last one are its own."""
        with self._lock:
            if not self._seen or self._checking:
                return
            op = ctx.op
            given, options = as_called(op, args)
            flops, least = op.cost(*given, **options)
            verdict = Check("unchecked", why="not asked for")
            if self.report.checked:
                self._checking = True  # the oracle may call ops, on cpu
                try:
                    verdict = check(op, given, options, out, self._seen[0][0].path, self._before)
                finally:
                    self._checking = False
            self._add(op.name, described(op, args), flops, least, verdict)

    def _add(self, op: str, arguments: str, flops: float | None, least: float | None, verdict: Check) -> None:
        kernel = self._seen[0][0]
        launches = [self._launch(k, data) for k, datas in self._seen for data in datas]
        self.report.calls.append(Call(op, kernel.path, kernel.source, arguments, flops, least, verdict, tuple(launches)))
        self._seen.clear()
        self._before.clear()

    def _launch(self, kernel: Kernel, data: dict[str, Any]) -> Launch:
        shared = data["dynamic_shared"] + data["static_shared"]
        resident, why = of_kernel(kernel, data["kernel"], self.arch, math.prod(data["block"]), shared)
        return launch_of(data, occupancy=resident, registers_from=why)


def as_called(op: Any, args: tuple) -> tuple[list[Any], dict[str, Any]]:
    """(args, kwargs) of a call, from the values of all parameters of the op's forward; defaults are left out where they can be."""
    given: list[Any] = []
    options: dict[str, Any] = {}
    params = [p for p in inspect.signature(op.forward).parameters.values() if p.name != "ctx"]
    pairs = list(zip(params, args, strict=True))
    while pairs and pairs[-1][0].default is not inspect.Parameter.empty and _same(pairs[-1][1], pairs[-1][0].default):
        pairs.pop()
    for p, value in pairs:
        if p.kind is p.VAR_POSITIONAL:
            given += value
        elif p.kind is p.KEYWORD_ONLY:
            if not _same(value, p.default):
                options[p.name] = value
        else:
            given.append(value)
    return given, options


def _same(value: Any, default: Any) -> bool:
    return value is default or (not isinstance(value, (Tensor, np.ndarray, list)) and value == default)


def _has_tensors(a: Any) -> bool:
    return isinstance(a, Tensor) or (isinstance(a, (list, tuple)) and any(isinstance(x, Tensor) for x in a))


def described(op: Any, args: tuple) -> str:
    """`float32 (128, 64), (64, 96), dim=1`: the dtype of the first tensor, the shapes, and what is not left to its default."""
    params = [p for p in inspect.signature(op.forward).parameters.values() if p.name != "ctx"]
    tensors = [t for a in args for t in (a if isinstance(a, (list, tuple)) else [a]) if isinstance(t, Tensor)]
    first = tensors[0].dtype.name if tensors else ""

    def one(a: Any) -> str:
        if isinstance(a, Tensor):
            return f"{tuple(a.shape)}" + (f" {a.dtype.name}" if a.dtype.name != first else "")
        return f"[{', '.join(map(one, a))}]" if _has_tensors(a) else str(a)

    return f"{first} " + ", ".join(one(a) if _has_tensors(a) else f"{p.name}={one(a)}"
                                   for p, a in zip(params, args, strict=True) if not _same(a, p.default))
