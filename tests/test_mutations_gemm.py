"""Bugs planted in gemv, split-K and the epilogue: does the emulator show them? As tests/test_mutations.py does for the ladder."""
from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest
from test_mutations import FLAGS, LADDER, ROOT, SHAPES, UBSAN, pytestmark

from tensorgrad.ops.shared.activation import ACTIVATIONS

__all__ = ["pytestmark"]

# (rung, or rung/header, what is wrong with it, the text, what stands in its place, which occurrence)
MUTANTS = [
    ("gemv", "the tail of K is added twice", "for (int k = packs * Q + lane;", "for (int k = lane;", 1),
    ("gemv", "half a warp adds up", "int other = 16;", "int other = 8;", 1),
    ("gemv", "the second vector is the first", "&p.B(at * Q, tile.column + v)", "&p.B(at * Q, tile.column)", 1),
    ("gemv", "no barrier before the parts are added", "__syncthreads();", "", 1),
    ("gemv", "the last warp's part is missing", "w < WARPS; ++w", "w < WARPS - 1; ++w", 1),
    ("gemv", "packs at any stride", "other % COUNT == 0 &&", "", 1),
    ("gemv", "the addends are not transposed", "epilogue.C0 = epilogue.C0.transposed();", "", 1),
    ("split_k", "the parts overlap", "begin + parts.length)", "begin + parts.length + 1)", 1),
    ("split_k", "the parts overlap, 16 bits", "begin + parts.length)", "begin + parts.length + 1)", 2),
    ("split_k", "the last part is left out", "s < count", "s < count - 1", 1),
    ("split_k", "all parts in one place", "blockIdx.y * parts.size + ", "", 1),
    ("split_k", "parts begin anywhere", "ceil_div(ceil_div(p.K, count), STEP) * STEP", "ceil_div(p.K, count)", 1),
    ("split_k", "no barrier before the next loads", "__syncthreads();", "", 2),
    ("split_k", "the wait lets one copy too many be late", "cp_async_wait<STAGES - 2>", "cp_async_wait<STAGES - 1>", 1),
    ("v07_double_buffered/epilogue", "no alpha", "sum *= alpha;", "", 1),
    ("v07_double_buffered/epilogue", "no beta", "beta * Sum(C0(row, column))", "Sum(C0(row, column))", 1),
    ("v07_double_buffered/epilogue", "the bias of the neighbour", "Sum(bias(row, column))", "Sum(bias(row, column + 1))", 1),
    ("v07_double_buffered/epilogue", "relu the other way", "x < 0 ? S(0) : x", "x > 0 ? S(0) : x", 1),
    ("v08_tensor_core/epilogue", "gelu's cubic term", "0.0713", "0.713", 1),
    ("v09_hopper/epilogue", "steps along dimensions of one", "varies ? a.strides[i] : 0", "i >= 0 ? a.strides[i] : 0", 1),
]
SKINNY = [(1, 300, 264, "NN"), (130, 3, 35, "NN"), (257, 1, 130, "TN"), (5, 70, 300, "NT"), (64, 2, 264, "NT")]  # (M, N, K, layout)
DEEP = [(33, 65, 530, "NN"), (20, 136, 264, "TN"), (17, 9, 1000, "NT")]
FP32, BF16 = (np.float32, 1, 1e-6), (ml_dtypes.bfloat16, 3, 8e-3)  # dtype, its number, tolerance


def texts(rung, old="", new="", occurrence=0):
    """The text of a rung and of the headers beside it by file name, with a bug where one is given."""
    rung, _, header = rung.partition("/")
    paths = [LADDER / f"{rung}.cu", *(LADDER.glob("*.h") if header else ())]
    found = {path.name: path.read_text().replace('"../../', f'"{ROOT}/csrc/') for path in paths}
    if old:
        file = f"{header}.h" if header else f"{rung}.cu"
        pieces = found[file].split(old)
        assert len(pieces) > occurrence, f"{file} no longer holds {old!r}: choose another mutation"
        found[file] = old.join(pieces[:occurrence]) + new + old.join(pieces[occurrence:])
    return found


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Compiles the texts of a rung into a library with the emulator."""
    folder = tmp_path_factory.mktemp("mutations")
    compiler = ["ccache", "g++"] if shutil.which("ccache") else ["g++"]
    flags = [f for f in FLAGS if f != "-DTG_LAB"]

    def compile_one(source):
        planted = folder in source.parents
        target = folder / f"{source.parent.name if planted else ''}{source.stem}.o"
        subprocess.run([*compiler, *flags, *(UBSAN if planted else []), "-c", "-x", "c++", str(source), "-o", str(target)], check=True,
                       capture_output=True)
        return str(target)

    def library(name, files):
        (folder / name).mkdir()
        for file, text in files.items():
            (folder / name / file).write_text(text)
        made = folder / f"{name}.so"
        rung = next(folder / name / file for file in files if file.endswith(".cu"))
        subprocess.run(["g++", "-shared", compile_one(rung), *common, "-o", str(made), "-pthread"], check=True)
        lib = ctypes.CDLL(str(made))
        lib.gemm.restype = ctypes.c_char_p
        return lib

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        common = list(pool.map(compile_one, [*ROOT.glob("csrc/emulator/*.cpp"), ROOT / "tests/mutations/gemm.cpp"]))
    return library


def pointer(a):
    return a.ctypes.data_as(ctypes.c_void_p)


def fault(lib, rung):
    """What is wrong with a rung's results, or None."""
    rung = rung.partition("/")[0]
    if rung.startswith("v"):
        return wrong_gemm(lib, rung, SHAPES, BF16 if rung >= "v08" else FP32)
    shapes = SKINNY if rung == "gemv" else DEEP
    return wrong_gemm(lib, rung, shapes, FP32) or wrong_gemm(lib, rung, shapes, BF16)


def wrong_gemm(lib, rung, shapes, dtype):
    """What is wrong with 0.5 A B - 2 C0 + bias and each activation of it, or None: C0 a column, bias one per column."""
    dtype, number, tolerance = dtype
    for i, (m, n, k, layout) in enumerate(shapes):
        rng = np.random.default_rng(m)
        a, b, c0, bias = (rng.standard_normal(s).astype(dtype) for s in ((m, k), (k, n), (m, 1), (n,)))
        a, b = (np.asfortranarray(x) if way == "T" else x for x, way in zip((a, b), layout, strict=True))
        total = 0.5 * (a.astype(np.float64) @ b.astype(np.float64)) - 2 * c0.astype(np.float64) + bias.astype(np.float64)
        strides = [(ctypes.c_int64 * 2)(*(s // x.itemsize for s in x.strides)) for x in (a, b)]
        for activation, f in enumerate(ACTIVATIONS.values()):
            c, workspace = np.full((m, n), np.nan, dtype), np.full((3, m * n), np.nan, np.float32)
            seed, eager = ((0, False), (1, True), (2, False))[(i + activation) % 3]
            message = lib.gemm(f"cuda/{rung}".encode(), number, *map(ctypes.c_int64, (m, n, k)), pointer(c), pointer(a), strides[0],
                               pointer(b), strides[1], pointer(c0), pointer(bias), activation, pointer(workspace), seed, eager).decode()
            where = f"{m} x {n} x {k} {layout}, activation {activation}, seed {seed}, {'eager' if eager else 'lazy'}"
            if message:
                return f"{message} [{where}]"
            error = np.linalg.norm(c.astype(np.float64) - f.reference(total)) / np.linalg.norm(total)
            if not error <= tolerance:
                return f"{'NaN' if np.isnan(error) else f'relative error {error:.2g}'} [{where}]"
    return None


def test_planted_bugs_are_caught(build):
    def examine(numbered):
        i, (rung, _, *bug) = numbered
        return build(f"mutant_{i}", texts(rung, *bug))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        libraries = list(pool.map(examine, enumerate(MUTANTS)))
    missed = []
    for lib, (rung, what, *_) in zip(libraries, MUTANTS, strict=True):
        caught = fault(lib, rung)
        print(f"{rung:28} {what:40} {caught or 'MISSED'}")
        if caught is None:
            missed.append(f"{rung}: {what}")
    assert not missed


@pytest.mark.parametrize("rung", sorted({m[0] for m in MUTANTS}))
def test_the_rungs_themselves_pass(build, rung):
    assert fault(build(f"good_{rung.replace('/', '_')}", texts(rung)), rung) is None
