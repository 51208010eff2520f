"""Bugs planted in copies of the rungs: does the emulator show them?

Each mutant is compiled with UBSan's traps and the lab's recorder, and run on ragged shapes, in several thread orders, with
asynchronous work late and at once. A mutant counts as caught when a result is wrong (or NaN), the launch fails, or a race is found.
`pytest tests/test_mutations.py -s` lists what caught each. The rungs themselves must pass the same.
"""
from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
LADDER = ROOT / "csrc/cuda/matmul"
FLAGS = ["-std=c++20", "-O1", "-g1", "-gdwarf-5", "-fPIC", "-fno-extern-tls-init", "-fstack-clash-protection", "-Wno-unknown-pragmas",
         "-Wno-psabi", "-fvisibility=hidden", "-fno-gnu-unique",
         "-DTG_LAB", f"-I{LADDER}", f"-I{ROOT}/csrc/device", f"-ffile-prefix-map={ROOT}/="]
RECORDED = ["-fsanitize=thread", "--param=tsan-instrument-func-entry-exit=0", "-Wno-tsan", "-fno-store-merging"]
UBSAN = ["-fsanitize=bounds,alignment,shift,signed-integer-overflow,integer-divide-by-zero,null", "-fsanitize-undefined-trap-on-error"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(platform.system() != "Linux" or not shutil.which("g++"), reason="needs Linux and g++")]

# (rung, what is wrong with it, the text, what stands in its place, which occurrence)
MUTANTS = [
    ("v00_naive", "a row too many", "row >= p.M", "row > p.M", 1),
    ("v00_naive", "a column too many", "column >= p.N", "column > p.N", 1),
    ("v00_naive", "edge threads repeat the last row", "tile.row + threadIdx.x;", "min(tile.row + int(threadIdx.x), p.M - 1);", 1),
    ("v00_naive", "one product too few", "k < p.K", "k < p.K - 1", 1),
    ("v00_naive", "one product too many", "k < p.K", "k <= p.K", 1),
    ("v01_coalesced", "A and B swapped", "p.A(row, k) * p.B(k, column)", "p.A(k, row) * p.B(column, k)", 1),
    ("v01_coalesced", "edge threads repeat the last column", "tile.column + threadIdx.x;",
     "min(tile.column + int(threadIdx.x), p.N - 1);", 1),
    ("v02_shared", "no barrier after the loads", "__syncthreads();", "", 1),
    ("v02_shared", "no barrier before the next loads", "__syncthreads();", "", 2),
    ("v02_shared", "the edge along K is not zero-filled", "row < p.M && k0 + x < p.K", "row < p.M", 1),
    ("v02_shared", "an element past K", "k0 + y < p.K", "k0 + y <= p.K", 1),
    ("v03_register_1d", "no barrier after the loads", "__syncthreads();", "", 1),
    ("v03_register_1d", "no barrier before the next loads", "__syncthreads();", "", 2),
    ("v03_register_1d", "A's stride is B's", "As[k][row + i]", "As[row + i & 7][k]", 1),
    ("v04_register_2d", "no barrier before the next loads", "__syncthreads();", "", 2),
    ("v04_register_2d", "stores a column too many", "tile.column + column + j < p.N", "tile.column + column + j <= p.N", 1),
    ("v05_vectorized", "no barrier after the loads", "__syncthreads();", "", 1),
    ("v05_vectorized", "B is read the way of A", "b.load(p.B.transposed(), b_way", "b.load(p.B.transposed(), a_way", 1),
    ("v06_warp_tile", "no barrier before the next loads", "__syncthreads();", "", 2),
    ("v06_warp_tile", "warps overlap", "warp % 4 * 32", "warp % 4 * 16", 1),
    ("v07_double_buffered", "one buffer where two are needed", "buffer ^= 1;", "", 1),
    ("v07_double_buffered", "no barrier at all", "__syncthreads();", "", 1),
    ("v08_tensor_core", "the wait lets one copy too many be late", "cp_async_wait<STAGES - 2>", "cp_async_wait<STAGES - 1>", 1),
    ("v08_tensor_core", "no barrier after the wait", "__syncthreads();", "", 1),
    ("v08_tensor_core", "no wait", "device::cp_async_wait<STAGES - 2>();", "", 1),
    ("v08_tensor_core", "a copy into the buffer in use", "load(step + STAGES - 1);", "load(step + STAGES);", 1),
    ("v08_tensor_core", "copies begin before all have read the buffer",
     "__syncthreads();  // everybody's copies of this step are there, and nobody reads the buffer that is filled next\n"
     "        load(step + STAGES - 1);", "load(step + STAGES - 1);\n        __syncthreads();", 1),
    ("v08_tensor_core", "B's registers in A's order", "TileB<T>::template fragment<false>", "TileB<T>::template fragment<true>", 1),
    ("v09_hopper", "ordinary writes without a fence for wgmma", "device::fence_async_proxy();", "", 1),
    ("v09_hopper", "buffers are freed while their products run", "if (step > 0 && lane == 0) device::mbarrier_arrive(&empty[(step - 1)",
     "if (lane == 0) device::mbarrier_arrive(&empty[step", 1),
    ("v09_hopper", "producers do not wait for free buffers", "device::mbarrier_wait(&empty[s], (step / STAGES + 1) % 2);", "", 1),
    ("v09_hopper", "consumers do not wait for full buffers", "device::mbarrier_wait(&full[s], step / STAGES % 2);", "", 1),
    ("v09_hopper", "the wrong phase", "mbarrier_wait(&full[s], step / STAGES % 2)", "mbarrier_wait(&full[s], (step / STAGES + 1) % 2)", 1),
    ("v09_hopper", "buffers are freed before the products are done", "device::wgmma_wait<1>();", "", 1),
    ("v09_hopper", "no wait for the last products", "device::wgmma_wait<0>();", "", 1),
    ("v09_hopper", "too few bytes expected", "STEP_BYTES / 2 : 0) +", "STEP_BYTES / 4 : 0) +", 1),
    ("v09_hopper", "one warp does not free its buffers", "if (step > 0 && lane == 0)", "if (step > 0 && thread == 0)", 1),
    ("v09_hopper", "the second box in the place of the first", "tile + HALF<T>, map, first + 64", "tile, map, first + 64", 1),
    ("v09_hopper", "descriptors do not advance along k", "b + k * (TB ? 128 : 2)", "b + k * 2", 1),
    ("v09_hopper_tf32", "ordinary writes without a fence for wgmma", "device::fence_async_proxy();", "", 1),
    ("v09_hopper_tf32", "tiles written by hand are not swizzled", "(chunk ^ i % 8) * Q", "chunk * Q", 1),
    ("v09_hopper_tf32", "tiles that lie i-fastest are fed as they are", "!TF32<T> && m.down == 1", "m.down == 1", 1),
    ("v09_hopper_tf32", "an element past K", "k < K ? m(", "k <= K ? m(", 1),
    ("v10_persistent", "producers do not wait for free stages", "device::mbarrier_wait(&empty[s], (step / STAGES + 1) % 2);", "", 1),
    ("v10_persistent", "the wrong phase of free stages", "(step / STAGES + 1) % 2", "step / STAGES % 2", 1),
    ("v10_persistent", "phases start again with each tile", "step / STAGES % 2);", "(step + steps - last) / STAGES % 2);", 1),
    ("v10_persistent", "stages are freed before the products are done", "device::wgmma_wait<1>();", "", 1),
    ("v10_persistent", "the last stage of a tile is never freed", "if (steps && lane == 0)", "if (false)", 1),
    ("v10_persistent", "too few bytes expected", "TILE_B * 2 : 0", "TILE_B : 0", 1),
    ("v10_persistent", "consumers skip tiles that producers fetch", "tile += gridDim.x", "tile += 2 * gridDim.x", 2),
    ("v10_persistent", "warpgroups store by the same boxes", "STAGES * STAGE + warpgroup * OUT_BOXES * BOX", "STAGES * STAGE", 1),
    ("v10_persistent", "no wait for the last stores", "device::tma_store_wait_read<0>();", ";", 1),
    ("v10_persistent", "a box is filled while its store reads it", "wait_read<OUT_BOXES - 1>", "wait_read<OUT_BOXES>", 1),
    ("v10_persistent", "boxes alternate within a tile only", "out + stores++ % OUT_BOXES", "out + box % OUT_BOXES", 1),
    ("v10_persistent", "others fill the box before its store was waited for", "device::named_barrier_sync(1 + warpgroup, 128);", "", 1),
    ("v10_persistent", "a box is stored before all have filled it", "device::named_barrier_sync(1 + warpgroup, 128);", "", 2),
    ("v10_persistent", "the last group of rows is taken for a whole one", "rows - first < GROUP ? rows - first : GROUP", "GROUP", 1),
    ("v11_cluster", "no cluster barrier at the start", "device::cluster_arrive();\n    device::cluster_wait();", "__syncthreads();", 1),
    ("v11_cluster", "no cluster barrier at the end", "device::cluster_arrive();\n    device::cluster_wait();", "", 2),
    ("v11_cluster", "stages count the consumers of one block", "CLUSTER * CONSUMER_WARPS", "CONSUMER_WARPS", 1),
    ("v11_cluster", "only the first block hears of free stages", "lane < CLUSTER", "lane < 1", 1),
    ("v11_cluster", "blocks hear of their own consumers only", "map_to_rank(empty, lane)", "map_to_rank(empty, device::cluster_rank())", 1),
    ("v11_cluster", "the multicast reaches one block", "first + mine, full, BOTH", "first + mine, full, 1", 1),
    ("v11_cluster", "the multicast reaches the other block only", "first + i, k0, full, BOTH", "first + i, k0, full, 2 >> rank", 1),
    ("v11_cluster", "both blocks fetch the same half", "const int mine = rank * SHARE", "const int mine = 0", 1),
    ("v11_cluster", "a half is expected, a whole comes", "TILE_B * 2 : 0", "TILE_B : 0", 1),
    ("v11_cluster", "a half in the place of the other", "tile + mine * BK, map, k0", "tile, map, k0", 1),
    ("v11_cluster", "each half is fetched as a whole", "p.N, p.K, SHARE)", "p.N, p.K, BN)", 1),
    ("v11_cluster", "both blocks store the same rows", "row = row * CLUSTER + rank;", "row = row * CLUSTER;", 2),
    ("v11_cluster", "producers do not wait for free stages", "device::mbarrier_wait_cluster(&empty[s], (step / STAGES + 1) % 2);", "", 1),
    ("v11_cluster", "stages are freed before the products are done", "device::wgmma_wait<1>();", "", 1),
    ("v11_cluster", "no wait for the last stores", "device::tma_store_wait_read<0>();", ";", 1),
]
SHAPES = [(33, 65, 17, "NN"), (130, 127, 35, "TN"), (64, 136, 300, "NT"), (40, 160, 392, "NN")]  # (M, N, K, layout)
SEVERAL_TILES = [(264, 520, 392, "NT"), (264, 776, 200, "TN")]  # for each of the persistent blocks


def dtype_of(rung):
    return ml_dtypes.bfloat16 if rung >= "v08" and not rung.endswith("tf32") else np.float32


def source(rung):
    """The text of a rung, for a compiler that is told where its headers are."""
    text, header = (LADDER / f"{rung.removesuffix('_tf32')}.cu").read_text(), "hopper_tile.h"
    text = text.replace(f'#include "{header}"', (LADDER / header).read_text().replace("#pragma once", ""))  # it may be mutated, too
    if rung >= "v10":  # large kernels: what is not called is not compiled
        text = text.replace("<__nv_bfloat16, __half>", "<__nv_bfloat16>")
        text = re.sub(r"void \w+_gemm\(.*?\n}\n|TG_KERNEL\(gemm[^\n]*\n", "", text, flags=re.S)
    return text.replace('"../../device/', '"')


def mutate(rung, old, new, occurrence):
    pieces = source(rung).split(old)
    assert len(pieces) > occurrence, f"{rung} no longer holds {old!r}: choose another mutation"
    return old.join(pieces[:occurrence]) + new + old.join(pieces[occurrence:])


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Compiles a source text into a library with the emulator."""
    folder = tmp_path_factory.mktemp("mutations")
    compiler = ["ccache", "g++"] if shutil.which("ccache") else ["g++"]

    def compile_one(source):
        target = folder / f"{source.stem}.o"
        sanitized = UBSAN + RECORDED if source.parent == folder else []
        subprocess.run([*compiler, *FLAGS, *sanitized, "-c", "-x", "c++", str(source), "-o", str(target)], check=True, capture_output=True)
        return str(target)

    def library(name, text):
        source = folder / f"{name}.cu"
        source.write_text(text)
        made = folder / f"{name}.so"
        subprocess.run(["g++", "-shared", compile_one(source), *common, "-o", str(made), "-pthread"], check=True)
        lib = ctypes.CDLL(str(made))
        lib.multiply.restype = lib.races.restype = ctypes.c_char_p
        return lib

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        emulator = [*ROOT.glob("csrc/emulator/*.cpp"), *ROOT.glob("csrc/emulator/lab/*.cpp")]
        common = list(pool.map(compile_one, [*emulator, ROOT / "tests/mutations/harness.cpp"]))
    return library


def multiply(lib, rung, c, a, b, seed, eager, record=False):
    """c = a b by a rung; the error's message."""
    strides = [(ctypes.c_int64 * 2)(*(s // x.itemsize for s in x.strides)) for x in (a, b)]
    pointers = [x.ctypes.data_as(ctypes.c_void_p) for x in (c, a, b)]
    return lib.multiply(f"cuda/{rung}".encode(), 1 if c.dtype == np.float32 else 3, *map(ctypes.c_int64, (*c.shape, a.shape[1])),
                        pointers[0], pointers[1], strides[0], pointers[2], strides[1], seed, eager, record).decode()


def race(lib, rung):
    """The first race in a rung, or None. The order of threads does not matter to the recorder."""
    dtype = dtype_of(rung)
    for m, n, k, _ in (SHAPES[0], SHAPES[-1]):  # element by element, and in whole chunks or boxes
        a, b = np.zeros((m, k), dtype), np.zeros((k, n), dtype)
        multiply(lib, rung, np.zeros((m, n), dtype), a, b, 0, False, True)
        for launch in json.loads(lib.races().decode())["launches"]:
            for found in launch["races"]:
                first, second = (side and f"{Path(side['file']).name}:{side['line']}" for side in (found["first"], found["second"]))
                return f"{found['kind']} at {first or 'no line'} and {second}"
    return None


def fault(lib, rung):
    """What is wrong with a rung's results, or None."""
    dtype = dtype_of(rung)
    tolerance = 8e-3 if dtype == ml_dtypes.bfloat16 else 1e-3 if rung.endswith("tf32") else 1e-6
    for m, n, k, layout in SHAPES + (SEVERAL_TILES if rung >= "v10" else []):
        rng = np.random.default_rng(m)
        a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
        a, b = (np.asfortranarray(x) if way == "T" else x for x, way in zip((a, b), layout, strict=True))
        want = a.astype(np.float64) @ b.astype(np.float64)
        for seed, eager in ((0, False), (1, True), (2, False)):
            c = np.full((m, n), np.nan, dtype)
            message = multiply(lib, rung, c, a, b, seed, eager)
            where = f"{m} x {n} x {k} {layout}, seed {seed}, {'eager' if eager else 'lazy'}"
            if message:
                return f"{message} [{where}]"
            error = np.linalg.norm(c.astype(np.float64) - want) / np.linalg.norm(want)
            if not error <= tolerance:
                return f"{'NaN' if np.isnan(error) else f'relative error {error:.2g}'} [{where}]"
    return None


def examined(lib, rung):
    """[fault, race], found in a process of its own: what a planted bug breaks stays there."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps([fault(lib, rung), race(lib, rung)]).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(answer) if answer else [f"the process ended with status {status}", None]


def test_planted_bugs_are_caught(build):
    def examine(numbered):
        i, (rung, _, old, new, occurrence) = numbered
        return build(f"mutant_{i}", mutate(rung, old, new, occurrence))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        libraries = list(pool.map(examine, enumerate(MUTANTS)))
    missed = []
    for lib, (rung, what, *_) in zip(libraries, MUTANTS, strict=True):
        wrong, raced = examined(lib, rung)
        print(f"{rung:20} {what:45} {wrong or '-'} | race: {raced or '-'}")
        if wrong is None and raced is None:
            missed.append(f"{rung}: {what}")
    assert not missed


@pytest.mark.parametrize("rung", sorted({m[0] for m in MUTANTS}))
def test_the_rungs_themselves_pass(build, rung):
    lib = build(f"good_{rung}", source(rung))
    assert examined(lib, rung) == [None, None]
