"""The Triton kernels as machine code, without a GPU: each is compiled for 8.0 and 9.0 as its rung launches it on the stub of the driver.

`TG_UPDATE=1 pytest tests/test_triton_compiled.py` writes the budgets of this Triton version anew (tests/triton_budgets, a file for each
family; take one away first to be rid of kinds that are gone): read the difference before committing it.
"""
from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import building
import driver_stub
import numpy as np
import pytest
from triton_calls import CALLS, FunctionOfArrays, Quick, aligned, calls_of, cost, made

from tensorgrad import dtypes, triton

if triton.absent() or triton.INTERPRETED:
    pytest.skip(triton.absent() or "needs a process without TRITON_INTERPRET", allow_module_level=True)

import triton as compiler
import triton.language as tl

from tensorgrad.triton.runtime import kernel
from tensorgrad.triton.runtime.compiler import Compiler, resources

BUDGETS = Path(__file__).parent / "triton_budgets"
UPDATE = bool(os.environ.get("TG_UPDATE"))
CHIPS = (90, 80)  # of the stub's devices 0 and 1
RUNGS = sorted(triton.load_kernels(), key=lambda r: r[:2])
VERSION = compiler.__version__
UNITS = {  # what the machine code of a kernel must use: (rung, kernel, chip)
    ("v08_tensor_core", "matmul_tile", 80): ["HMMA", "LDGSTS"], ("v08_tensor_core", "matmul_tile", 90): ["HGMMA", "LDGSTS"],
    ("v08_tensor_core_tf32", "matmul_tile", 80): ["HMMA", "LDGSTS"], ("v08_tensor_core_tf32", "matmul_tile", 90): ["HGMMA", "LDGSTS"],
    **{(path, name, chip): [unit, *copies] for path, copies in (("v03_tensor_core", []), ("v03_tensor_core_tf32", ["LDGSTS"]))
       for name in ("conv2d_tile", "conv2d_weight_grad_tile") for chip, unit in ((80, "HMMA"), (90, "HGMMA"))},
    **{(f"v04_fused_tensor_core{tf32}", "linear_cross_entropy_tiles", chip): [unit, "LDGSTS"] for tf32 in ("", "_tf32")
       for chip, unit in ((80, "HMMA"), (90, "HGMMA"))},
    **{(path, "matmul_hopper", 90): ["HGMMA", "UTMALDG", "SYNCS"] for path in ("v09_hopper", "v09_hopper_tf32", "v10_persistent")},
    **{("v10_persistent", f"grouped_mm_{part}", chip): unit for part in ("rows", "inner")
       for chip, unit in ((80, ["HMMA", "LDGSTS"]), (90, ["HGMMA", "LDGSTS"]))},
    **{("v02_flash_tensor_core", f"attention_flash{part}", chip): unit for part in ("", "_dq", "_dkv")
       for chip, unit in ((80, ["HMMA", "LDGSTS"]), (90, ["HGMMA", "LDGSTS"]))},
    **{("v01_multi_tensor", "multi_tensor", chip): [r"LDG\.E\.128", r"STG\.E\.128"] for chip in (80, 90)}}
GOAL = 4e-6  # seconds a launch
LET_PASS = {"triton/v01_multi_tensor": 3}  # how many times: the steps, whose one launch is for 18 arrays' addresses here
KEPT = VERSION in ("3.6.0", "3.9.0")  # versions whose budgets are kept


@kernel
def nothing(Y, X, n, factor, BLOCK: tl.constexpr):
    pass


@pytest.fixture(scope="module")
def driver(stub_library):
    made = driver_stub.Driver(stub_library)
    made.set(devices=2, chip=CHIPS[0], chip_of_others=CHIPS[1], memory=1 << 34)
    return made


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TG_CACHE", str(tmp_path))


@pytest.fixture
def compiled(monkeypatch):
    """What the compiler is asked for during the test: (a name that tells the kind, the result with the PTX)."""
    seen, compile_ = [], Compiler.compile

    def spy(self, chip, types, divisible, ones, given, options):
        result = compile_(self, chip, types, divisible, ones, given, options)
        if self.jitted.__name__ == "nothing":  # what the cost of others is compared with
            return result
        said = [*[t + ("=" if d else "") if t != "constexpr" else str(one) for t, d, one in zip(types, divisible, ones, strict=True)],
                *[f"{k}={v}" for k, v in {**given, **options}.items()]]
        seen.append((f"{VERSION} sm_{chip} {result.name} {' '.join(said)}", result))
        return result

    monkeypatch.setattr(Compiler, "compile", spy)
    return seen


def code_of(cubin, tmp_path):
    """The machine code as text."""
    path = tmp_path / "kernel.cubin"
    path.write_bytes(cubin)
    tool = Path(compiler.__file__).parent / "backends/nvidia/bin/nvdisasm"
    return subprocess.run([tool, "-c", path], capture_output=True, text=True, check=True).stdout


def quick(a):
    """Arrays, in lists too, as quick as those of CuPy."""
    return [quick(x) for x in a] if isinstance(a, list) else Quick(a) if isinstance(a, np.ndarray) else a


def too_slow(path, run, arguments, driver):
    """What a rung's Python and the launcher cost, in microseconds a launch, where it is more than the goal.

    That is 4, or thirteen times a bare launch on a machine that is slow just now. Rungs that call functions of arrays are not asked:
    what those cost is CuPy's to say, which is not here.
    """
    n, memory = len(driver.launches), Quick(aligned((16,), np.float32))
    arguments = quick(arguments)
    driver.set(quiet=1)
    try:
        for _ in range(5):
            took = cost(lambda: run(*arguments), enough=n * GOAL) / n
            bare = cost(lambda: nothing[1](memory, memory, 16, 2.0, BLOCK=16)) if took > GOAL else 0
            if took <= max(GOAL, 13 * bare) * LET_PASS.get(path, 1):
                return []
    except FunctionOfArrays:
        return []
    finally:
        driver.set(quiet=0)
    return [f"{1e6 * took:.1f} us, a bare launch {1e6 * bare:.1f}"]


def test_every_rung_is_called_here():
    assert sorted({r[0] for r in RUNGS} - set(CALLS)) == []


@pytest.mark.parametrize("device", range(len(CHIPS)), ids=lambda i: f"sm_{CHIPS[i]}")
@pytest.mark.parametrize("rung", RUNGS, ids=lambda r: f"{r[0]}-{r[1]}")
def test_compiles_within_its_budget_and_launches(rung, device, driver, compiled, tmp_path):
    op, path, types, source, _, run, chips, _ = rung
    chip = CHIPS[device]
    if not chips[0] <= chip <= chips[1]:
        pytest.skip(f"{path} is for other chips")
    driver.on(device)
    launches, slow = 0, []
    both = types.split() if chip == CHIPS[0] else types.split()[-1:]  # on the older chip one dtype stands for all
    for dtype in [t for t in both if t != "float16" or "bfloat16" not in both]:  # and one of the halves for the other
        for call in calls_of(op, path):
            driver.clear()
            arguments = made(call, getattr(dtypes, dtype).np)
            run(*arguments)
            launches += len(driver.launches)
            slow += too_slow(path, run, arguments, driver)
    assert launches
    assert slow == []
    for kind, result in compiled:
        if wanted := UNITS.get((path.partition("/")[2], result.name, chip)):
            code = code_of(result.cubin, tmp_path)
            if "num_stages=1" in kind:  # nothing is copied ahead
                wanted = [unit for unit in wanted if unit != "LDGSTS"]
            assert [unit for unit in wanted if not re.search(rf"\b{unit}", code)] == [], kind
    assert all(result.shared <= (232448 if chip == 90 else 166912) for _, result in compiled)
    used = {}
    for kind, result in compiled:
        registers, local = resources(result.cubin)
        assert local == 0, f"{kind} spills {local} bytes"
        used[kind] = f"{registers} registers, {result.shared} bytes of shared memory"
    if not KEPT:
        return
    place = BUDGETS / f"{Path(source).stem}.json"
    if UPDATE:
        with building.one_at_a_time(Path(tempfile.gettempdir()) / "tensorgrad-budgets"):
            budget = json.loads(place.read_text()) if place.exists() else {}
            place.write_text(json.dumps({**budget, **used}, indent=1, sort_keys=True) + "\n")
        return
    budget = json.loads(place.read_text())
    for kind, use in used.items():
        assert kind in budget, f"{kind} has no budget"
        needed, allowed = ([int(n) for n in re.findall(r"\d+", u)] for u in (use, budget[kind]))
        assert all(a <= b for a, b in zip(needed, allowed, strict=True)), f"{kind}: {use}, not {budget[kind]}"
