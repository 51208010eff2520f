"""Bugs planted in copies of the matmul rungs: does the emulator show them? What counts as that is said in tests/planted.py."""
from __future__ import annotations

import re

import ml_dtypes
import numpy as np
import planted
import pytest
from planted import Call, Made

pytestmark = planted.pytestmark
LADDER = planted.LADDERS / "matmul"

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
    ("v09_hopper", "the second box in the place of the first", "tile + i * ROW<T>, map, first + i", "tile, map, first + i", 1),
    ("v09_hopper", "descriptors do not advance along k", "b + k * (TB ? 128 : 2)", "b + k * 2", 1),
    ("v09_hopper_tf32", "ordinary writes without a fence for wgmma", "device::fence_async_proxy();", "", 1),
    ("v09_hopper_tf32", "tiles written by hand are not swizzled", "(chunk ^ i % 8) * Q", "chunk * Q", 1),
    ("v09_hopper_tf32", "tiles that lie i-fastest are fed as they are", "!TF32<T> && tma_can_reach(", "tma_can_reach(", 1),
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
    ("v11_cluster", "each half is fetched as a whole", "for_matrices(all, BM, SHARE,", "for_matrices(all, BM, BN,", 1),
    ("v11_cluster", "both blocks store the same rows", "row = row * CLUSTER + rank;", "row = row * CLUSTER;", 2),
    ("v11_cluster", "producers do not wait for free stages", "device::mbarrier_wait_cluster(&empty[s], (step / STAGES + 1) % 2);", "", 1),
    ("v11_cluster", "stages are freed before the products are done", "device::wgmma_wait<1>();", "", 1),
    ("v11_cluster", "no wait for the last stores", "device::tma_store_wait_read<0>();", ";", 1),
]
SHAPES = [(33, 65, 17, "NN"), (130, 127, 35, "TN"), (64, 136, 300, "NT"), (40, 160, 392, "NN")]  # (M, N, K, layout)
SEVERAL_TILES = [(264, 520, 392, "NT"), (264, 776, 200, "TN")]  # for each of the persistent blocks


def texts(rung, *bug):
    """The text of a rung, with the Hopper rungs' headers in it: they may be mutated, too."""
    text = (LADDER / f"{rung.removesuffix('_tf32')}.cu").read_text()
    for header in ("hopper_tile.h", "hopper_operands.h"):
        text = text.replace(f'#include "{header}"', (LADDER / header).read_text().replace("#pragma once", ""))
    if rung >= "v10":  # large kernels: what is not called is not compiled
        text = re.sub(r"TG_KERNEL\(gemm[^\n]*\n", "", text.replace(", __nv_bfloat16, __half>", ", __nv_bfloat16>"))
    return {f"{rung}.cu": planted.mutated(planted.at_home(text, LADDER), *bug)}


def calls(rung):
    dtype = ml_dtypes.bfloat16 if rung >= "v08" and not rung.endswith("tf32") else np.float32
    tolerance = 8e-3 if dtype == ml_dtypes.bfloat16 else 1e-3 if rung.endswith("tf32") else 1e-6
    for shape in SHAPES + (SEVERAL_TILES if rung >= "v10" else []):
        m, n, k, layout = shape
        rng = np.random.default_rng(m)
        a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
        a, b = (np.asfortranarray(x) if way == "T" else x for x, way in zip((a, b), layout, strict=True))
        want = a.astype(np.float64) @ b.astype(np.float64)
        recorded = shape in (SHAPES[0], SHAPES[-1])  # element by element, and in whole chunks or boxes
        yield Call(f"{m} x {n} x {k} {layout}", "matmul", rung, [Made((m, n), dtype), a, b], [want], [tolerance * np.linalg.norm(want)],
                   recorded=recorded)


def test_planted_bugs_are_caught(build):
    assert planted.missed(build, MUTANTS, texts, calls) == []


@pytest.mark.parametrize("rung", sorted({m[0] for m in MUTANTS}))
def test_the_rungs_themselves_pass(build, rung):
    assert planted.examined(build(texts(rung)), calls(rung)) == [None, None]
