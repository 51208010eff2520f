"""The device `cpu`: NumPy storage, C++ kernels of `csrc/cpu`.

The extension is built once per instruction set (`_cpu_avx512`, `_cpu_avx2`, `_cpu_plain`); the best one this machine can
run is loaded. `TG_CPU_ISA=avx2` picks another, for tests and comparisons.
"""
from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from types import ModuleType

import numpy as np

xp = np
families = ("cpu",)
ISAS = ("avx512", "avx2", "plain")


def _needs(isa: str, flags: set[str]) -> bool:
    wanted = {"avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd", "fma"}, "avx2": {"avx2", "fma", "bmi2", "f16c"}}
    return wanted.get(isa, set()) <= flags


def cpu_flags() -> set[str]:
    """Feature flags of this processor (empty where the system does not tell)."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith(("flags", "Features")):
                return set(line.split(":", 1)[1].split())
    return set()


def _load_extension() -> ModuleType:
    asked = os.environ.get("TG_CPU_ISA")
    if asked and asked not in ISAS:
        raise ImportError(f"TG_CPU_ISA={asked!r} is none of {', '.join(ISAS)}")
    flags = cpu_flags()
    wanted = [asked] if asked else [isa for isa in ISAS if _needs(isa, flags)]
    # Idle OpenMP threads must sleep, not spin: libgomp reads this once, when it is loaded.
    before = os.environ.get("OMP_WAIT_POLICY")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        for isa in wanted:
            with contextlib.suppress(ModuleNotFoundError):
                return importlib.import_module(f"tensorgrad._cpu_{isa}")
    finally:
        if before is None:
            del os.environ["OMP_WAIT_POLICY"]
    raise ImportError(f"tensorgrad's C++ kernels ({', '.join('_cpu_' + w for w in wanted)}) are not installed: run `pip install .` in the checkout")


ext = _load_extension()
isa: str = ext.isa


def check(index: int | None) -> None:
    """Refuse any index but none: there is one CPU."""
    if index not in (None, 0):
        raise ValueError(f"device: there is one cpu; 'cpu:{index}' does not exist")


def asarray(array: np.ndarray) -> np.ndarray:
    """Storage for a NumPy array: the array itself."""
    return array


def to_numpy(array: np.ndarray) -> np.ndarray:
    """The NumPy array behind a storage: the array itself."""
    return array


def load_kernels() -> Iterator[tuple[str, str, str, str, object]]:
    """(op, rung, dtypes, source, callable) of every kernel compiled into the extension."""
    yield from ext.kernels()


def synchronize() -> None:
    """Nothing to wait for: kernels return when done."""


def describe() -> list[tuple[str, str]]:
    """Rows for `tensorgrad doctor`."""
    return [("instruction set", f"{isa} (extension _cpu_{isa})"), ("threads", str(ext.get_num_threads()))]
