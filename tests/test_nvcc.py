"""What only nvcc can say about the CUDA kernels: that they compile, their registers and spills, the PTX of the wrappers.

Needs nvcc, not a GPU. `TG_UPDATE=1 pytest tests/test_nvcc.py` writes the budget and the PTX anew: read the difference before
committing it. Compiling all kernels for seven chips takes half an hour of two cores, so a budget remembers the digest of the text it was
made from: a kernel is compiled where its text, an included header or nvcc is another one, and always where a claim about its machine code
is to be checked. `TG_COMPILE_ALL=1` compiles all of them.
"""
from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import site
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HERE = ROOT / "tests/nvcc"
BUDGETS = ROOT / "tensorgrad/lab/nvcc"  # in the package: the lab computes occupancy from them
NVCC = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin:/usr/local/bin")
ARCHES = ("sm_80", "sm_90a")
SOURCES = sorted(ROOT.glob("csrc/cuda/*/*.cu"))
UPDATE = bool(os.environ.get("TG_UPDATE"))
EVERYTHING = bool(os.environ.get("TG_COMPILE_ALL"))
COMPILED = "compiled"  # the entry of a budget that holds the digests
STANDARD = ["-std=c++20"]
WRAPPERS = {name for path in ROOT.glob("csrc/device/*.cuh")
            for name in re.findall(r"__forceinline__ \w+ (\w+)\([^)]*\) \{", path.read_text())} - {"shared_of", "wgmma_descriptor"}

pytestmark = pytest.mark.skipif(NVCC is None, reason="nvcc is not on this machine")


def nvcc(*arguments):
    done = subprocess.run([NVCC, *STANDARD, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Potential Performance Loss" not in done.stderr, done.stderr  # wgmma made synchronous
    return done.stderr


@functools.cache
def version():
    return subprocess.run([NVCC, "--version"], capture_output=True, text=True, check=True).stdout


def digest(source, *arches):
    """Of what decides the machine code: the text that nvcc compiles for each architecture, without comments and line numbers, and nvcc."""
    expand = [NVCC, *STANDARD, "-E", "-Xcompiler", "-P", source]
    texts = [subprocess.run([*expand, f"-arch={arch}"], capture_output=True, text=True, check=True).stdout for arch in arches]
    return hashlib.sha256("".join([version(), *texts]).replace(str(ROOT), "").encode()).hexdigest()


class Budget:
    """What was compiled: of each kernel its registers and shared memory, and the digest of the text that was free of spills."""

    def __init__(self, source):
        self.path = BUDGETS / f"{source.parent.name}_{source.stem}.json"
        self.stem = self.path.stem
        self.rows = json.loads(self.path.read_text()) if self.path.exists() else {}

    def remembers(self, chips, of):
        """The same text gives the same code: what this nvcc has compiled already need not be compiled again."""
        return not EVERYTHING and self.rows.get(COMPILED, {}).get(chips) == of

    def keep(self, chips, of, rows, dropped=lambda row: False):
        with self.path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            now = json.loads(file.read() or "{}")
            now = {k: v for k, v in now.items() if not dropped(k)} | rows | {COMPILED: now.get(COMPILED, {}) | {chips: of}}
            file.truncate(0)
            file.write(json.dumps(now, indent=1, sort_keys=True) + "\n")


def numbers(text):
    return [int(n) for n in re.findall(r"\d+", text)]


def demangled(names):
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return [re.sub(r"tg::\w+::|^void |\(.*", "", n) for n in text.splitlines()]


DISASSEMBLER = shutil.which("nvdisasm") or next(
    (str(p) for folder in site.getsitepackages() for p in Path(folder).glob("nvidia/**/bin/nvdisasm")), None)


UNITS = {("matmul_v08_tensor_core", "sm_80"): ["HMMA", "LDGSTS", "LDSM"],  # what the machine code of a rung must use
         ("matmul_v09_hopper", "sm_90a"): ["HGMMA", "UTMALDG", "SYNCS"],
         ("matmul_v10_persistent", "sm_90a"): ["HGMMA", "UTMALDG", "UTMASTG"],
         ("matmul_v11_cluster", "sm_90a"): ["HGMMA", r"UTMALDG\S*MULTICAST", "UTMASTG", "UCGABAR_ARV"],
         ("conv2d_v03_tensor_core", "sm_80"): ["HMMA", "LDGSTS"],
         ("conv2d_v04_tma_im2col", "sm_90a"): ["HGMMA", r"UTMALDG\S*IM2COL", "SYNCS"],
         ("conv2d_v04_tma_im2col_weight_grad", "sm_90a"): ["HGMMA", r"UTMALDG\S*IM2COL", "SYNCS"],
         ("attention_v02_flash_tensor_core", "sm_80"): ["HMMA", "LDGSTS", "LDSM"],
         ("attention_v03_flash_hopper", "sm_90a"): ["HGMMA", "UTMALDG", "USETMAXREG", "MUFU.EX2"],
         ("attention_v03_flash_hopper_backward", "sm_90a"): ["HGMMA", "UTMALDG", "USETMAXREG", "MUFU.EX2"],
         ("attention_decode", "sm_80"): ["LDGSTS"]}


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("source", SOURCES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_compiles_without_spills_within_its_budget(source, arch, tmp_path):
    budget, compute = Budget(source), f"compute_{arch[3:]}"
    units, of = UNITS.get((budget.stem, arch)), digest(source, compute)
    if not units and budget.remembers(arch, of):
        return
    report = nvcc("-cubin", "-gencode", f"arch={compute},code={arch}", "-Xptxas", "-v", source, "-o", tmp_path / "kernel.cubin")
    found = re.findall(r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers"
                       r"(?:, used \d+ barriers)?(?:, (\d+) bytes smem)?", report, re.S)
    assert found
    assert not [f[0] for f in found if int(f[1]) or int(f[2])], report
    if units and DISASSEMBLER is not None:  # the package nvidia-cuda-nvdisasm has it
        code = subprocess.run([DISASSEMBLER, "-c", tmp_path / "kernel.cubin"], capture_output=True, text=True, check=True).stdout
        assert [i for i in units if not re.search(rf"\b{i}\b", code)] == []
    names = demangled([f[0] for f in found])
    used = {f"{arch} {n}": f"{f[3]} registers, {f[4] or 0} bytes of static shared memory" for n, f in zip(names, found, strict=True)}
    if UPDATE:
        budget.keep(arch, of, used, lambda row: row.startswith(f"{arch} "))
        return
    assert used.keys() == {k for k in budget.rows if k.startswith(f"{arch} ")}
    for kernel, use in used.items():
        allowed = budget.rows[kernel]
        assert all(a <= b for a, b in zip(numbers(use), numbers(allowed), strict=True)), f"{kernel}: {use}, not {allowed}"


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_compiles_for_the_other_chips(source, tmp_path):
    """Turing (kernels that need more are empty there), and what the driver makes of the compute_80 code on newer chips."""
    budget, of = Budget(source), digest(source, "compute_75", "compute_80")
    if budget.remembers("other chips", of):
        return
    nvcc("-cubin", "-gencode", "arch=compute_75,code=sm_75", source, "-o", tmp_path / "k.cubin")
    nvcc("-ptx", "-gencode", "arch=compute_80,code=compute_80", source, "-o", tmp_path / "k.ptx")
    for arch in ("sm_89", "sm_100", "sm_120"):
        report = nvcc("-cubin", f"-arch={arch}", "-Xptxas", "-v", tmp_path / "k.ptx", "-o", tmp_path / "k.cubin")
        assert re.search("Used [0-9]+ registers", report)
        assert not re.search("[1-9][0-9]* bytes spill", report), f"{arch}: {report}"
    if UPDATE:
        budget.keep("other chips", of, {})


def test_every_wrapper_becomes_the_ptx_it_stands_for(tmp_path):
    nvcc("-ptx", "-gencode", "arch=compute_90a,code=compute_90a", HERE / "wrappers.cu", "-o", tmp_path / "wrappers.ptx")
    text = (tmp_path / "wrappers.ptx").read_text()
    got = []
    for name, body in re.findall(r"\.visible \.entry (\w+)_\((.*?)(?=\.visible \.entry|\Z)", text, re.S):
        for asm in re.findall(r"// begin inline asm\n(.*?)\s*// end inline asm", body, re.S):
            lines = [re.sub(r"AGAIN_\d+", "AGAIN", re.sub(r"%(rd|r|f|p)\d+", r"%\1", line.strip())) for line in asm.splitlines()]
            got.append(f"{name}: " + " ".join(line for line in lines if line))
    path = HERE / "wrappers.ptx.txt"
    if UPDATE:
        path.write_text("\n".join(sorted(got)) + "\n")
    assert sorted(got) == path.read_text().splitlines()
    pinned = {re.sub(r"_\d+$", "", line.partition(":")[0]) for line in got} | {line.partition(":")[0] for line in got}
    assert pinned >= WRAPPERS, f"tests/nvcc/wrappers.cu lacks {sorted(WRAPPERS - pinned)}"
