"""A CUDA driver without a GPU: builds tests/driver_stub.c, loads it in libcuda's place and reads what it wrote down.

Once it is loaded, whoever opens `libcuda.so.1` in this process gets it, because that is its name. The CUDA *runtime* does not come up on
it (it asks the driver for private tables): it serves what speaks to the driver itself.
"""
from __future__ import annotations

import ctypes
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
FLAGS = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-soname,libcuda.so.1"]


def build(folder: Path) -> Path:
    """libcuda.so.1 in `folder`: for LD_LIBRARY_PATH of a process of its own, or for `Driver`."""
    made = folder / "libcuda.so.1"
    half = folder / f"half{id(folder)}"
    subprocess.run(["cc", *FLAGS, str(SOURCE), "-o", str(half), "-ldl", "-lpthread"], check=True)
    half.rename(made)
    return made


@dataclass
class Launch:
    """One launch, as the driver saw it."""

    function: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared: int
    stream: int
    params: tuple[bytes, ...]  # each as large as the machine code says; the buffer of a launch that passes one


class Driver:
    """The stub in this process. `lib` has the driver's functions too, for ctypes."""

    def __init__(self, path: Path):
        self.lib = ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
        self.lib.stub_log.restype = ctypes.c_char_p
        self.lib.stub_used.restype = ctypes.c_long

    def set(self, **settings: int) -> None:
        """The machine: devices, chip (90 for 9.0) and chip_of_others than device 0, version (13000), memory (bytes), quiet (1: launches are
        not looked at, for timing)."""
        for name, value in settings.items():
            assert self.lib.stub_set(name.encode(), ctypes.c_long(value)) == 0, name

    def fail(self, name: str, error: int, nth: int = 1) -> None:
        """The nth call of a function from now on returns this error."""
        self.lib.stub_fail(name.encode(), ctypes.c_long(nth), error)

    def clear(self) -> None:
        """Forget the calls, and the failure that was planned."""
        self.lib.stub_clear()
        self.lib.stub_fail(b"", ctypes.c_long(0), 0)

    def on(self, device: int) -> None:
        """Make a device's primary context the current one of this thread."""
        context = ctypes.c_void_p()
        assert self.lib.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
        assert self.lib.cuCtxSetCurrent(context) == 0

    @property
    def calls(self) -> list[str]:
        """Every call since `clear`, a line each: the function's name, then what it was given."""
        return self.lib.stub_log().decode().splitlines()

    @property
    def launches(self) -> list[Launch]:
        """The launches among them."""
        return [as_launch(line) for line in self.calls if line.startswith("cuLaunchKernel")]

    @property
    def used(self) -> int:
        """Bytes allocated and not freed."""
        return int(self.lib.stub_used())


def as_launch(line: str) -> Launch:
    """A launch from its line."""
    field = dict(re.findall(r"(\w+)=(\S*)", line))
    three = [tuple(map(int, field[name].split(","))) for name in ("grid", "block")]
    params = tuple(map(bytes.fromhex, field["params"].split(",")))
    return Launch(field["function"], *three, int(field["shared"]), int(field["stream"], 16), params)
