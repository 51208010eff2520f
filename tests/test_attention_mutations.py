"""Bugs planted in copies of the attention rungs: does the emulator show them? The ways and means are those of tests/test_mutations.py."""
from __future__ import annotations

import ctypes
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from test_attention_ladder import TOLERANCE, reference
from test_mutations import ROOT, build, pytestmark  # noqa: F401  the fixture, and where it can run

LADDER = ROOT / "csrc/cuda/attention"

# (rung, what is wrong with it, the text, what stands in its place, which occurrence)
MUTANTS = [
    ("v00_naive", "a score too many", "at >= rows * p.keys", "at > rows * p.keys", 1),
    ("v00_naive", "a group of heads shares nothing", "r.head / p.group, key", "r.head, key", 1),
    ("v00_naive", "a row that sees nothing divides by zero", "sum == 0 ? Sum(0) : 1 / sum", "1 / sum", 1),
    ("v01_flash", "no barrier before the next loads", "__syncthreads();", "", 1),
    ("v01_flash", "no barrier after the loads", "__syncthreads();", "", 2),
    ("v01_flash", "the sum is not rescaled", "sum[i] *= shrink;", "", 1),
    ("v01_flash", "the values are not rescaled", "sum_of_values[i][c][d] *= shrink;", ";", 1),
    ("v01_flash", "the diagonal tile is left out", "min(p.keys, first + Tile::SIDE)", "min(p.keys, first)", 1),
    ("v01_flash", "nothing seen yet is not a number", "now == T(-INFINITY) ? T(0) : now", "now", 1),
    ("v01_flash", "half of a row's lanes", "lanes = 8", "lanes = 4", 1),
    ("v01_flash_backward", "no barrier before the next loads", "__syncthreads();", "", 1),
    ("v01_flash_backward", "no barrier after the loads of queries", "__syncthreads();", "", 4),
    ("v01_flash_backward", "one head of a group is left out", "h < (key_head + 1) * p.group", "h < (key_head + 1) * p.group - 1", 1),
    ("v01_flash_backward", "delta is not taken off", "(ds[i][j] - delta)", "ds[i][j]", 1),
    ("v01_flash_backward", "queries before the diagonal", "p.causal ? first : 0", "p.causal ? first + Tile::SIDE : 0", 1),
    ("v02_flash_tensor_core", "no wait for the copies", "device::cp_async_wait<0>();", "", 1),
    ("v02_flash_tensor_core", "no barrier after the wait", "__syncthreads();", "", 1),
    ("v02_flash_tensor_core", "a copy into the buffer in use", "load(step + 1);", "load(step + 2);", 1),
    ("v02_flash_tensor_core", "one row of two is rescaled", ", sum_of_values[n][2 * half + 1] *= shrink", "", 1),
    ("v02_flash_tensor_core", "the values of the other buffer", "weights, Vs + step % 2 * SIZE", "weights, Vs", 1),
    ("v02_flash_tensor_core_backward", "no barrier after the wait", "__syncthreads();", "", 3),
    ("v02_flash_tensor_core_backward", "no wait for the copies", "device::cp_async_wait<0>();", "", 3),
    ("v02_flash_tensor_core_backward", "the scale is forgotten", "dq, {p.scale, p.scale}", "dq, {1.0f, 1.0f}", 1),
    ("v02_flash_tensor_core_backward", "the next head a step late", "step / per_head, i0", "(step + 1) / per_head % p.group, i0", 2),
]
# batch, query heads, key heads, queries, keys, size, value size, causal, mask
PROBLEMS = [(1, 2, 1, 70, 75, 24, 40, 1, "bias"), (1, 2, 1, 130, 75, 64, 64, 1, None), (1, 1, 1, 33, 200, 8, 8, 0, "rows")]


def source(rung):
    """The text of a rung, with the whole paths of its headers."""
    text = (LADDER / f"{rung}.cu").read_text().replace('"../../device/', f'"{ROOT}/csrc/device/')
    return text.replace('#include "', f'#include "{LADDER}/').replace(f"{LADDER}/{ROOT}", str(ROOT))


def mutate(rung, old, new, occurrence):
    pieces = source(rung).split(old)
    assert len(pieces) > occurrence, f"{rung} no longer holds {old!r}: choose another mutation"
    return old.join(pieces[:occurrence]) + new + old.join(pieces[occurrence:])


class Argument(ctypes.Structure):
    """What tests/mutations/harness.cpp takes for an argument of a kernel."""

    _fields_ = [("kind", ctypes.c_int), ("dtype", ctypes.c_int), ("ndim", ctypes.c_int), ("data", ctypes.c_void_p),
                ("shape", ctypes.c_int64 * 4), ("strides", ctypes.c_int64 * 4), ("integer", ctypes.c_int64), ("real", ctypes.c_double)]

    DTYPES = (np.float64, np.float32, np.float16, ml_dtypes.bfloat16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_)

    @classmethod
    def of(cls, x):
        if x is None:
            return cls(0)
        if isinstance(x, int):
            return cls(2, integer=x)
        if isinstance(x, float):
            return cls(3, real=x)
        four = ctypes.c_int64 * 4
        return cls(1, next(i for i, d in enumerate(cls.DTYPES) if x.dtype == d), x.ndim, x.ctypes.data, four(*x.shape),
                   four(*(s // x.itemsize for s in x.strides)))


def race(lib, rung):
    """The first race in a rung, or None. The order of threads does not matter to the recorder."""
    fault(lib, rung, PROBLEMS[:1], ((0, False),), True)
    for launch in json.loads(lib.races().decode())["launches"]:
        for found in launch["races"]:
            first, second = (side and f"{Path(side['file']).name}:{side['line']}" for side in (found["first"], found["second"]))
            return f"{found['kind']} at {first or 'no line'} and {second}"
    return None


def fault(lib, rung, problems=PROBLEMS, orders=((0, False), (1, True), (2, False)), record=False):
    """What is wrong with a rung's results, or None."""
    backward = rung.endswith("_backward")
    dtype, name = (ml_dtypes.bfloat16, "bfloat16") if "tensor_core" in rung else (np.float32, "float32")
    lib.call.restype = ctypes.c_char_p
    for b, h, hk, n, s, e, ev, causal, masked in problems:
        rng = np.random.default_rng(n)
        q, k, v, g = (rng.standard_normal(x).astype(dtype) for x in ((b, h, n, e), (b, hk, s, e), (b, hk, s, ev), (b, h, n, ev)))
        mask = rng.standard_normal((b, h, n, s)).astype(dtype) if masked == "bias" else None
        if masked == "rows":
            mask = np.broadcast_to((rng.random((n, 1)) < 0.6) & (np.arange(s) > 70), (b, h, n, s)).copy()
        given = (q, k, v, mask, bool(causal), 0.3)
        out, lse = reference(*given)
        want = reference(*given, g.astype(np.float64)) if backward else (out,)
        for seed, eager in orders:
            got = [np.full(w.shape, np.nan, dtype) for w in want]
            room = np.full(b * h * n * s, np.nan, np.float32)
            if backward:
                call = [*got, room, g, q, k, v, out.astype(dtype), lse.astype(np.float32), mask, causal, 0.3]
            else:
                call = [*got, np.full(lse.shape, np.nan, np.float32), q, k, v, mask, causal, 0.3, room]
            message = lib.call(b"attention_backward" if backward else b"attention", f"cuda/{rung.removesuffix('_backward')}".encode(),
                               (Argument * len(call))(*map(Argument.of, call)), seed, eager, record).decode()
            where = f"{n} queries, {s} keys, seed {seed}, {'eager' if eager else 'lazy'}"
            if message:
                return f"{message} [{where}]"
            for x, w in zip(got, want, strict=True):
                error = np.linalg.norm(x.astype(np.float64) - w) / np.linalg.norm(w)
                if not error <= 3 * TOLERANCE[name]:
                    return f"{'NaN' if np.isnan(error) else f'relative error {error:.2g}'} [{where}]"
    return None


def test_planted_bugs_are_caught(build):  # noqa: F811
    def examine(numbered):
        i, (rung, _, old, new, occurrence) = numbered
        return build(f"mutant_{i}", mutate(rung, old, new, occurrence))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        libraries = list(pool.map(examine, enumerate(MUTANTS)))
    missed = []
    for lib, (rung, what, *_) in zip(libraries, MUTANTS, strict=True):
        wrong, raced = fault(lib, rung), race(lib, rung)
        print(f"{rung:30} {what:40} {wrong or '-'} | race: {raced or '-'}")
        if wrong is None and raced is None:
            missed.append(f"{rung}: {what}")
    assert not missed


@pytest.mark.parametrize("rung", sorted({m[0] for m in MUTANTS}))
def test_the_rungs_themselves_pass(build, rung):  # noqa: F811
    lib = build(f"good_{rung}", source(rung))
    assert fault(lib, rung) is None
    assert race(lib, rung) is None
