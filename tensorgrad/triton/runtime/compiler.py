"""From a Triton function to machine code, for one chip and one kind of call: Triton compiles, the cache keeps.

Triton's own launcher, driver and cache are not used: it need not see a GPU, a C compiler or PyTorch. The launcher (csrc/launcher) asks
here once for each kind of call.
"""
from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache as remembered
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from ...errors import UserError
from . import cache
from .progress import compiling

OPTIONS = ("num_warps", "num_stages", "maxnreg")
HOST_TYPE = {8: 10, 9: 8, 10: 9}  # CUtensorMapDataType where it is not Triton's number of an element type
FORMAT = 1  # of what is kept: another number makes old entries unknown
WATCHERS: list[Callable[[Compiled], None]] = []  # told of all machine code before it is loaded; what they raise ends the launch
_one_at_a_time = threading.Lock()


@dataclass
class Compiled:
    """What a launch needs to know."""

    name: str
    threads: int  # of a block
    shared: int  # bytes
    scratch: list[tuple[int, int]]  # bytes a program and alignment, of the two parameters that follow the arguments
    descriptors: list[tuple[int, int, list[int]]]  # swizzle, element type and box of each tensor descriptor
    cubin: bytes = b""


class Compiler:
    """Compiles a kernel for the kinds of calls it meets."""

    def __init__(self, jitted: Any):
        self.jitted = jitted

    def __call__(self, chip: int, types: Sequence[str], divisible: Sequence[bool], ones: Sequence[Any],
                 constants: dict[str, Any]) -> Compiled:
        """The code for arguments of these types; `divisible` by 16; `ones`: the value of an argument that is compiled in."""
        name = self.jitted.__name__
        names = self.jitted.arg_names
        given = {k: v for k, v in constants.items() if k in names}
        options = {k: v for k, v in constants.items() if k not in names}
        if wrong := sorted(set(options) - set(OPTIONS)):
            raise TypeError(f"{name}: there is no constant or option {wrong[0]!r}; options are {', '.join(OPTIONS)}")
        if len(types) + len(given) != len(names):
            raise TypeError(f"{name} takes {len(names)} arguments and constants ({', '.join(names)}), "
                            f"but {len(types)} and {len(given)} were given")
        said = [self.jitted.cache_key, triton.__version__, chip, types, divisible, ones, sorted(constants.items()), FORMAT]
        key = f"{name[:80]}-{hashlib.sha256(json.dumps(said).encode()).hexdigest()}"
        kept = cache.load(key)
        if kept is not None:
            made = Compiled(**kept[0], cubin=kept[1])
        else:
            with _one_at_a_time, compiling(name):
                made = self.compile(chip, types, divisible, ones, given, options)
            about = {k: v for k, v in asdict(made).items() if k != "cubin"}
            cache.store(key, about, made.cubin)
        for watch in WATCHERS:
            watch(made)
        return made

    def compile(self, chip: int, types: Sequence[str], divisible: Sequence[bool], ones: Sequence[Any], given: dict[str, Any],
                options: dict[str, Any]) -> Compiled:
        """The same without the cache."""
        check_chip(self.jitted.__name__, chip)
        names = self.jitted.arg_names
        signature = {**dict(zip(names, types, strict=False)), **dict.fromkeys(given, "constexpr")}
        signature = {n: signature[n] for n in names}
        values = {**{names[i]: one for i, (one, t) in enumerate(zip(ones, types, strict=True)) if t == "constexpr"}, **given}
        attributes = {(i,): [["tt.divisibility", 16]] for i, d in enumerate(divisible) if d}
        source = ASTSource(self.jitted, signature, values, attributes)
        with tempfile.TemporaryDirectory() as folder, triton.knobs.cache.scope():
            triton.knobs.cache.dir = folder  # Triton's own cache, which it cannot do without
            made = triton.compile(source, target=GPUTarget("cuda", chip, 32), options={"enable_fp_fusion": True, **options})
        about = made.metadata
        if about.num_ctas != 1:
            raise NotImplementedError(f"{about.name}: clusters of blocks are not launched")
        scratch = [(about.global_scratch_size, about.global_scratch_align), (about.profile_scratch_size, about.profile_scratch_align)]
        descriptors = [(m["swizzle"], HOST_TYPE.get(m["elem_type"], m["elem_type"]), list(m["block_size"]))
                       for m in about.tensordesc_meta or ()]
        compiled = Compiled(about.name, 32 * about.num_warps, about.shared, scratch, descriptors, made.asm["cubin"])
        passed = sum(1 if not t.startswith("tensordesc") else 1 + 2 * (t.count(",") + 1) for t in types if t != "constexpr")
        taken = parameters_in(made.asm["ptx"])
        if taken != passed + 2:
            raise RuntimeError(f"{about.name}: Triton {triton.__version__} compiled {taken} parameters where {passed + 2} will be passed: "
                               "this version is not supported")
        return compiled


def resources(cubin: bytes) -> tuple[int, int]:
    """(registers of a thread, bytes of stack and local memory, which are spills) by the tool that comes with Triton."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        tool = triton.knobs.nvidia.cuobjdump.path
        text = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)", text)
    if found is None:
        raise RuntimeError(f"{tool} says nothing of registers: {text!r}")
    return int(found[1]), int(found[2]) + int(found[3])


def parameters_in(ptx: str) -> int:
    """How many parameters the kernel in a PTX text takes."""
    found = re.search(r"\.entry\s+\w+\s*\((.*?)\)", ptx, re.S)
    return found.group(1).count(".param") if found else 0


@remembered
def known_to_ptxas(chip: int) -> bool:
    """Whether the assembler that came with Triton makes code for a chip. (Its compiler ends the process where it does not know one.)"""
    tool = triton.knobs.nvidia.ptxas_blackwell if chip >= 100 else triton.knobs.nvidia.ptxas
    name = f"sm_{chip}{'a' if chip >= 90 else ''}"
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(".version 7.0\n.target sm_50\n.address_size 64\n")
        file.flush()
        tried = subprocess.run([tool.path, f"--gpu-name={name}", file.name, "-o", "/dev/null"], capture_output=True, check=False)
    return tried.returncode == 0


def check_chip(name: str, chip: int) -> None:
    """UserError where Triton makes no code for a chip."""
    if not known_to_ptxas(chip):
        raise UserError(f"{name}: Triton {triton.__version__} does not know chips of compute capability {chip / 10:.1f}; "
                        "a newer Triton may, and TG_KERNELS=cuda keeps to the CUDA C++ kernels")
