"""What nvcc makes of a kernel's source, where both are at hand: registers per thread, and the machine code counted by opcode.

The counts are static: how often an instruction stands in the code, not how often it runs.
"""
from __future__ import annotations

import functools
import re
import shutil
import site
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from ..errors import UserError
from .sources import find

# Chip -> what nvcc is asked for. Chips newer than Hopper run the compute_80 code, which the driver compiles for them.
CODES = {"sm_75": ("75", "75"), "sm_80": ("80", "80"), "sm_86": ("80", "80"), "sm_89": ("80", "80"), "sm_90": ("90a", "90a"),
         "sm_100": ("80", "100"), "sm_120": ("80", "120")}

CLASSES = {  # opcodes worth a look; all others are "other"
    "fused multiply-add": ("FFMA", "DFMA", "HFMA2"), "tensor core": ("HMMA", "HGMMA", "DMMA", "IMMA"),
    "global": ("LDG", "STG", "LDGSTS", "UTMALDG", "UTMASTG", "RED", "ATOMG"), "shared": ("LDS", "STS", "LDSM", "STSM", "ATOMS"),
    "shuffle and vote": ("SHFL", "VOTE", "REDUX"), "barrier": ("BAR", "WARPSYNC", "SYNCS", "DEPBAR", "LDGDEPBAR", "UCGABAR_ARV"),
    "special function": ("MUFU",), "local (spilled)": ("LDL", "STL"),
}


@functools.cache
def cubin(source: str, arch: str) -> tuple[bytes, str] | None:
    """(machine code, ptxas's words) of a source `csrc/cuda/<family>/<rung>.cu`; None where nvcc or the source is missing, or refuses."""
    nvcc, path = shutil.which("nvcc"), find(source)
    if nvcc is None or path is None:
        return None
    virtual, real = CODES[arch]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "kernel.cubin"
        done = subprocess.run([nvcc, "-std=c++20", "-cubin", "-gencode", f"arch=compute_{virtual},code=sm_{real}", "-Xptxas", "-v",
                               str(path), "-o", str(made)], capture_output=True, text=True)
        return (made.read_bytes(), done.stderr) if done.returncode == 0 else None


def registers_of(source: str, arch: str) -> dict[str, int]:
    """Registers per thread by kernel; empty where nothing can be compiled."""
    built = cubin(source, arch)
    found = re.findall(r"Compiling entry function '(\w+)'.*?Used (\d+) registers", built[1], re.S) if built else []
    return dict(zip(demangled([name for name, _ in found]), (int(n) for _, n in found), strict=True))


def disassembler() -> str | None:
    """The path of nvdisasm: of the toolkit, or of the package nvidia-cuda-nvdisasm."""
    packaged = (str(p) for folder in site.getsitepackages() for p in Path(folder).glob("nvidia/**/bin/nvdisasm"))
    return shutil.which("nvdisasm") or next(packaged, None)


def machine_code(source: str, arch: str = "sm_90") -> dict[str, dict[str, int]]:
    """How often each opcode stands in the machine code of each kernel of a source, most frequent first. Static counts, not executions.

    UserError where nvcc, nvdisasm or the source is missing.
    """
    built, tool = cubin(source, arch), disassembler()
    if built is None or tool is None:
        lacks = "nvdisasm (the package nvidia-cuda-nvdisasm has it)" if built else f"nvcc, or {source} does not compile for {arch}"
        raise UserError(f"lab: the machine code needs nvcc and nvdisasm; this machine has no {lacks}")
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(built[0])
        file.flush()
        text = subprocess.run([tool, "-c", file.name], capture_output=True, text=True, check=True).stdout
    _, *parts = re.split(r"^\.text\.(\w+):$", text, flags=re.M)
    counts = [Counter(re.findall(r"^\s+/\*\w+\*/\s+(?:@!?U?P\w+ )?([A-Z]\w*)", code, re.M)) for code in parts[1::2]]
    return {name: dict(count.most_common()) for name, count in zip(demangled(parts[::2]), counts, strict=True)}


def summary(counts: dict[str, int]) -> str:
    """`32 FFMA, 40 LDS, ..., 200 other` in the order of CLASSES."""
    named = [op for group in CLASSES.values() for op in group if op in counts]
    return ", ".join([*(f"{counts[op]} {op}" for op in named), f"{sum(counts.values()) - sum(counts[op] for op in named)} other"])


def demangled(names: list[str]) -> list[str]:
    """C++ names without namespaces, return types and parameters."""
    filt = shutil.which("c++filt")
    if filt is None or not names:
        return names
    text = subprocess.run([filt], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return [re.sub(r"\b\w+::", "", re.sub(r"^void |\(tg::.*|\(\)$", "", line)) for line in text.splitlines()]
