"""Registers per thread of the kernels, from nvcc: what is recorded with the package, or a build on the spot.

`nvcc/<family>_<rung>.json` beside this file is what `tests/test_nvcc.py` compiles, checks and writes, for sm_80 and sm_90a. A chip of
the same generation runs the same code; for others the source is compiled where nvcc and the sources are at hand.
"""
from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..dispatch import Kernel
from .occupancy import Occupancy, occupancy
from .sources import find

# Chip -> what nvcc is asked for. Chips newer than Hopper run the compute_80 code, which the driver compiles for them.
CODES = {"sm_75": ("75", "75"), "sm_80": ("80", "80"), "sm_86": ("80", "80"), "sm_89": ("80", "80"), "sm_90": ("90a", "90a"),
         "sm_100": ("80", "100"), "sm_120": ("80", "120")}
_FOLDER = Path(__file__).parent / "nvcc"


@dataclass(frozen=True)
class Used:
    """Registers per thread, and where the number is from; None: unknown, and why."""

    per_thread: int | None
    source: str


def registers(source: str, kernel: str, arch: str) -> Used:
    """Registers of a kernel of a source file `csrc/cuda/<family>/<rung>.cu` on a chip `sm_80`, ..."""
    code = f"sm_{CODES[arch][1]}"
    found = _recorded(source).get(f"{code} {key(kernel)}")
    if found is None:
        found = _compiled(source, *CODES[arch]).get(key(kernel))
    return Used(found, f"nvcc for {code}" if found is not None else "unknown: no nvcc build")


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
def _recorded(source: str) -> dict[str, int]:
    path = _FOLDER / f"{Path(source).parent.name}_{Path(source).stem}.json"
    if not path.exists():
        return {}
    rows = json.loads(path.read_text())
    return {f"{name.partition(' ')[0]} {key(name.partition(' ')[2])}": int(text.split()[0]) for name, text in rows.items()}


@functools.cache
def _compiled(source: str, virtual: str, real: str) -> dict[str, int]:
    """Registers by kernel, from nvcc; empty where it, c++filt or the source is missing, or where the source is not for this chip."""
    nvcc, filt, path = shutil.which("nvcc"), shutil.which("c++filt"), find(source)
    if nvcc is None or filt is None or path is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([nvcc, "-std=c++20", "-cubin", "-gencode", f"arch=compute_{virtual},code=sm_{real}", "-Xptxas", "-v",
                               str(path), "-o", f"{folder}/kernel.cubin"], capture_output=True, text=True)
    found = re.findall(r"Compiling entry function '(\w+)'.*?Used (\d+) registers", done.stderr, re.S) if done.returncode == 0 else []
    names = subprocess.run([filt], input="\n".join(n for n, _ in found), capture_output=True, text=True).stdout.splitlines()
    return {key(re.sub(r"^void |\(tg::.*|\(\)$", "", name)): int(count) for name, (_, count) in zip(names, found, strict=True)}
