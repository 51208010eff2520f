"""The device `cpu`: NumPy storage, C++ kernels of `csrc/cpu`.

The extension is built once per instruction set (`_cpu_avx512`, `_cpu_avx2`, `_cpu_plain`); the best one this machine can
run is loaded. `TG_CPU_ISA=avx2` picks another, for tests and comparisons.
"""
from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import warnings
from collections.abc import Iterator
from types import ModuleType

import numpy as np

xp = np
families = ("cpu",)
arrays = "cpu"
ISAS = ("avx512", "avx2", "plain")
MOST_THREADS = 1024  # with some ten thousands of them OpenMP overflows the stack

NEEDS = {  # the processor flags behind x86-64-v4 and x86-64-v3
    "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd", "avx2", "fma", "bmi1", "bmi2", "f16c", "movbe", "abm"},
    "avx2": {"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe", "abm"},
    "plain": set(),
}


def cpu_flags() -> set[str]:
    """Feature flags of this processor (empty where the system does not tell)."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as f:
        return set(next((line.split(":", 1)[1].split() for line in f if line.startswith(("flags", "Features"))), []))
    return set()


def _load_extension() -> ModuleType:
    asked = os.environ.get("TG_CPU_ISA")
    flags = cpu_flags()
    if asked and asked not in ISAS:
        raise ImportError(f"TG_CPU_ISA={asked!r} is none of {', '.join(ISAS)}")
    if asked and not NEEDS[asked] <= flags:
        raise ImportError(f"TG_CPU_ISA={asked}: this processor lacks {', '.join(sorted(NEEDS[asked] - flags))}")
    wanted = [asked] if asked else [isa for isa in ISAS if NEEDS[isa] <= flags]
    # Idle OpenMP threads must sleep, not spin: libgomp reads this once, when it is loaded.
    before = os.environ.get("OMP_WAIT_POLICY")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        for isa in wanted:
            with contextlib.suppress(ModuleNotFoundError):
                return importlib.import_module(f"tensorgrad._cpu_{isa}")
        for isa in wanted:
            installed = _installed(f"_cpu_{isa}")
            if installed is not None:
                return installed
    finally:
        if before is None:
            del os.environ["OMP_WAIT_POLICY"]
    raise ImportError(
        f"tensorgrad's C++ kernels ({', '.join('_cpu_' + w for w in wanted)}) are not in {_HERE}. "
        "Run `pip install .` in the checkout, or build in place as CONTRIBUTING.md says."
    )


def _installed(module: str) -> ModuleType | None:
    """The module of the installed package, where Python found a checkout that was not built in place first; or None."""
    try:
        files = importlib.metadata.files("tensorgrad-engine") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name.startswith(f"{module}.") and os.path.exists(str(file.locate())):
            spec = importlib.util.spec_from_file_location(f"tensorgrad.{module}", str(file.locate()))
            if spec is not None and spec.loader is not None:
                found = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(found)
                warnings.warn(f"tensorgrad runs from the checkout {_HERE} with the compiled kernels of the installed package; changes "
                              "under csrc/ are not in them (CONTRIBUTING.md: build in place)", stacklevel=2)
                return found
    return None


_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ext = _load_extension()
isa: str = ext.isa
if ext.get_num_threads() > MOST_THREADS:
    warnings.warn(f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}: {MOST_THREADS} are used, the most there can be", stacklevel=1)
    ext.set_num_threads(MOST_THREADS)


def check(index: int | None) -> int | None:
    """Refuse any index but none: there is one CPU."""
    if index not in (None, 0):
        raise ValueError(f"device: there is one cpu; 'cpu:{index}' does not exist")
    return index


def asarray(array: np.ndarray, non_blocking: bool = False) -> np.ndarray:
    """Storage for a NumPy array: the array itself."""
    return array


def to_numpy(array: np.ndarray, non_blocking: bool = False) -> np.ndarray:
    """The NumPy array behind a storage: the array itself."""
    return array


def constant(array: np.ndarray) -> np.ndarray:
    """Storage for what follows from shapes and options alone: the array itself."""
    return array


def scalar(array: np.ndarray) -> np.ndarray:
    """Storage for a number: the array itself."""
    return array


def address(array: np.ndarray) -> int:
    """Where the first element lies."""
    return int(array.ctypes.data)


def active() -> contextlib.AbstractContextManager[None]:
    """Nothing: there is one of it."""
    return contextlib.nullcontext()


def capturing() -> bool:
    """False: work is done at once."""
    return False


def load_kernels() -> Iterator[tuple]:
    """(op, rung, dtypes, source, writes, callable, chips, whether deterministic) of every kernel compiled into the extension."""
    yield from ext.kernels()


def synchronize() -> None:
    """Nothing to wait for: kernels return when done."""


def describe() -> list[tuple[str, str]]:
    """Rows for `tensorgrad doctor`."""
    return [("instruction set", f"{isa} (extension _cpu_{isa})"), ("threads", str(ext.get_num_threads()))]
