"""Registers per thread of the kernels, from nvcc: what is recorded with the package, or a build on the spot.

`nvcc/<family>_<rung>.json` beside this file is what `tests/test_nvcc.py` compiles, checks and writes, for sm_80 and sm_90a. A chip of
the same generation runs the same code; for others the source is compiled where nvcc and the sources are at hand.
"""
from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

from ..dispatch import Kernel
from .build import CODES, registers_of
from .occupancy import Occupancy, occupancy

_FOLDER = Path(__file__).parent / "nvcc"


@dataclass(frozen=True)
class Used:
    """Registers per thread, and where the number is from; None: unknown, and why."""

    per_thread: int | None
    source: str


def registers(source: str, kernel: str, arch: str) -> Used:
    """Registers of a kernel of a source file `csrc/cuda/<family>/<rung>.cu`, or of one it calls, on a chip `sm_80`, ..."""
    code = f"sm_{CODES[arch][1]}"
    known = _recorded(code, f"{Path(source).parent.name}_{Path(source).stem}").get(key(kernel), _recorded(code).get(key(kernel)))
    if known is None:
        known = {key(name): n for name, n in registers_of(source, arch).items()}.get(key(kernel))
    return Used(known, f"nvcc for {code}" if known is not None else "unknown: no nvcc build")


def of_kernel(kernel: Kernel, name: str, arch: str, threads: int, shared: int) -> tuple[Occupancy | None, str]:
    """Occupancy on `arch` of a launch of the function `name` of `kernel`, and where its registers are from; None where it does not run."""
    chip, (first, last) = int(arch[3:]), kernel.chips
    if not first <= chip <= last:
        needs = f"{first / 10}" + (f" to {last / 10}" if last < 999 else " or newer")
        return None, f"the kernel does not run on {arch}: it needs compute capability {needs}"
    used = registers(kernel.source, name, arch)
    return occupancy(arch, threads, shared, used.per_thread), used.source


def key(kernel: str) -> str:
    """A kernel's name as nvcc and the emulator both have it: without namespaces, truth values as numbers."""
    name = re.sub(r"\b\w+::", "", kernel).replace("true", "1").replace("false", "0").replace(" ", "")
    return re.sub(r"\((?:bool|int)\)", "", name)


@functools.cache
def _recorded(code: str, own: str = "*") -> dict[str, int]:
    """Registers by kernel, of one file or of all."""
    rows = {name: text for path in sorted(_FOLDER.glob(f"{own}.json")) for name, text in json.loads(path.read_text()).items()}
    return {key(name.removeprefix(f"{code} ")): int(text.split()[0]) for name, text in rows.items() if name.startswith(f"{code} ")}
