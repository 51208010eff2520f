"""What this machine has of CUDA: the driver, its GPUs, CuPy. Asked without importing CuPy, in a few milliseconds.

What is missing is said in one sentence, the same in an error and in `tensorgrad doctor`.
"""
from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import sys
from dataclasses import dataclass

WHEELS = ("cupy-cuda13x", "cupy-cuda12x", "cupy-cuda11x", "cupy")  # one package, built for several generations of CUDA
OLDEST = 12000  # what CuPy 14's wheels begin with: 12.0
LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_NO_DEVICE, _VERSION_MISMATCH, _NOT_PERMITTED = 100, 803, 304


@dataclass(frozen=True)
class State:
    """What was found."""

    driver: int | None  # the newest CUDA it serves, 13000 for 13.0; None without a driver
    devices: int
    problem: str | None  # why the device `cuda` cannot be used, and the way out
    cupy: str | None  # the wheel and its version


def version(number: int) -> str:
    """13000 as 13.0."""
    return f"{number // 1000}.{number % 1000 // 10}"


@functools.cache
def examine() -> State:
    """Look once. A driver that is installed later needs another process anyway."""
    found = [(name, v) for name in WHEELS if (v := _installed(name))]
    cupy = " and ".join(f"{name} {v}" for name, v in found) or None
    driver, devices, problem = _driver()
    return State(driver, devices, problem or _cupy_problem([name for name, _ in found], driver or 0), cupy)


def require() -> None:
    """RuntimeError, or ImportError where a package is missing, that says what is in the way and how to go on."""
    state = examine()
    if state.problem:
        raise (ImportError if state.driver and state.devices else RuntimeError)(f"cuda: {state.problem}")


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _driver() -> tuple[int | None, int, str | None]:
    """(version, number of GPUs, problem)."""
    try:
        lib = ctypes.CDLL(LIBRARY)
    except OSError:
        return None, 0, f"there is no NVIDIA driver here ({LIBRARY} is not found): install one, or use the device cpu or emu"
    number, count = ctypes.c_int(), ctypes.c_int()
    lib.cuDriverGetVersion(ctypes.byref(number))
    error = lib.cuInit(0) or lib.cuDeviceGetCount(ctypes.byref(count))
    if error == _VERSION_MISMATCH:
        return number.value, 0, "the NVIDIA driver's library and its kernel module are of different versions: restart the machine"
    if error == _NOT_PERMITTED:
        return number.value, 0, "the NVIDIA driver may not be used from here: give the process, or the container, access to /dev/nvidia*"
    if error not in (0, _NO_DEVICE):
        return number.value, 0, f"the NVIDIA driver does not start (error {error} of cuInit): see what nvidia-smi says"
    if count.value == 0:
        return number.value, 0, ("the NVIDIA driver sees no GPU: look at CUDA_VISIBLE_DEVICES, and in a container at the option that "
                                 "passes GPUs through")
    return number.value, count.value, None


def chips() -> list[tuple[int, int]]:
    """(compute capability, 90 for 9.0; multiprocessors) of each GPU; none where there is no driver that works."""
    if _driver()[2]:
        return []
    lib = ctypes.CDLL(LIBRARY)
    count = ctypes.c_int()
    lib.cuDeviceGetCount(ctypes.byref(count))

    def attribute(which: int, index: int) -> int:
        device, value = ctypes.c_int(), ctypes.c_int()
        lib.cuDeviceGet(ctypes.byref(device), index)
        lib.cuDeviceGetAttribute(ctypes.byref(value), which, device)
        return value.value

    major, minor, multiprocessors = 75, 76, 16  # CUdevice_attribute
    return [(attribute(major, i) * 10 + attribute(minor, i), attribute(multiprocessors, i)) for i in range(count.value)]


def _cupy_problem(wheels: list[str], driver: int) -> str | None:
    fitting = "cupy-cuda13x" if driver >= 13000 else "cupy-cuda12x"
    if driver < OLDEST:
        return f"the NVIDIA driver serves CUDA up to {version(driver)}, but {version(OLDEST)} is needed: install a newer driver"
    if len(wheels) > 1:
        return (f"{len(wheels)} wheels of CuPy are installed ({', '.join(wheels)}) and overwrite each other: pip uninstall -y "
                f"{' '.join(wheels)}, then pip install {fitting}")
    if not wheels:
        return f"CuPy is not installed: pip install {fitting}"
    built_for = wheels[0].removeprefix("cupy-cuda").removesuffix("x")
    if built_for.isdigit() and int(built_for) * 1000 > driver:
        return (f"{wheels[0]} needs a driver for CUDA {built_for}, this one serves up to {version(driver)}: install a newer driver, or "
                f"pip uninstall -y {wheels[0]} and pip install {fitting}")
    return None
