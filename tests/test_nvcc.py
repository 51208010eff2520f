"""What only nvcc can say about the CUDA kernels: that they compile, their registers and spills, the PTX of the wrappers.

Needs nvcc, not a GPU. `TG_UPDATE=1 pytest tests/test_nvcc.py` writes the budget and the PTX anew: read the difference before
committing it.
"""
from __future__ import annotations

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
WRAPPERS = {name for path in ROOT.glob("csrc/device/*.cuh")
            for name in re.findall(r"__forceinline__ \w+ (\w+)\([^)]*\) \{", path.read_text())} - {"shared_of", "wgmma_descriptor"}

pytestmark = pytest.mark.skipif(NVCC is None, reason="nvcc is not on this machine")


def nvcc(*arguments):
    done = subprocess.run([NVCC, "-std=c++20", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Potential Performance Loss" not in done.stderr, done.stderr  # wgmma made synchronous
    return done.stderr


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
    code = f"arch=compute_{arch[3:]},code={arch}"
    report = nvcc("-cubin", "-gencode", code, "-Xptxas", "-v", source, "-o", tmp_path / "kernel.cubin")
    found = re.findall(r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers"
                       r"(?:, used \d+ barriers)?(?:, (\d+) bytes smem)?", report, re.S)
    assert found
    assert not [f[0] for f in found if int(f[1]) or int(f[2])], report
    names = demangled([f[0] for f in found])
    used = {f"{arch} {n}": f"{f[3]} registers, {f[4] or 0} bytes of static shared memory" for n, f in zip(names, found, strict=True)}
    path = BUDGETS / f"{source.parent.name}_{source.stem}.json"
    budget = json.loads(path.read_text()) if path.exists() else {}
    if UPDATE:
        others = {k: v for k, v in budget.items() if not k.startswith(f"{arch} ")}
        path.write_text(json.dumps({**others, **used}, indent=1, sort_keys=True) + "\n")
        return
    assert used.keys() == {k for k in budget if k.startswith(f"{arch} ")}
    if DISASSEMBLER is not None:  # the package nvidia-cuda-nvdisasm has it
        code = subprocess.run([DISASSEMBLER, "-c", tmp_path / "kernel.cubin"], capture_output=True, text=True, check=True).stdout
        assert [i for i in UNITS.get((path.stem, arch), []) if not re.search(rf"\b{i}\b", code)] == []
    for kernel, use in used.items():
        assert all(a <= b for a, b in zip(numbers(use), numbers(budget[kernel]), strict=True)), f"{kernel}: {use}, not {budget[kernel]}"


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_compiles_for_the_other_chips(source, tmp_path):
    """Turing (kernels that need more are empty there), and what the driver makes of the compute_80 code on newer chips."""
    nvcc("-cubin", "-gencode", "arch=compute_75,code=sm_75", source, "-o", tmp_path / "k.cubin")
    nvcc("-ptx", "-gencode", "arch=compute_80,code=compute_80", source, "-o", tmp_path / "k.ptx")
    for arch in ("sm_89", "sm_100", "sm_120"):
        report = nvcc("-cubin", f"-arch={arch}", "-Xptxas", "-v", tmp_path / "k.ptx", "-o", tmp_path / "k.cubin")
        assert re.search("Used [0-9]+ registers", report)
        assert not re.search("[1-9][0-9]* bytes spill", report), f"{arch}: {report}"


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
