"""Occupancy: cases computed by hand, properties of the formula, and the CUDA toolkit's own calculator where it is installed."""
from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorgrad.lab import LIMITS, occupancy

KIB = 1024
HEADER = next((str(p) for p in (Path("/usr/local/cuda/include"), *(Path(os.path.realpath(n)).parents[1] / "include" for n in
                                filter(None, [shutil.which("nvcc")]))) if (p / "cuda_occupancy.h").exists()), None)


@pytest.mark.parametrize(("arch", "threads", "shared", "registers", "blocks", "warps", "limited_by"), [
    ("sm_80", 256, 0, 32, 8, 64, ("threads", "registers")),  # 32 * 32 = 1024 a warp, 64 warps of 65536; both full
    ("sm_80", 1024, 8 * KIB, 30, 2, 64, ("threads", "registers")),  # 960 rounds up to 1024 a warp
    ("sm_80", 256, 0, 33, 6, 48, ("registers",)),  # 1056 rounds up to 1280: 12 warps a partition, 48 in all
    ("sm_80", 128, 0, 231, 2, 8, ("registers",)),  # 7392 -> 7424: 2 warps a partition of 16384
    ("sm_80", 32, 0, 16, 32, 32, ("blocks",)),
    ("sm_86", 32, 0, 16, 16, 16, ("blocks",)),
    ("sm_89", 32, 0, 16, 24, 24, ("blocks",)),
    ("sm_89", 1024, 0, 32, 1, 32, ("threads",)),  # 1536 threads hold one block of 1024
    ("sm_80", 128, 48 * KIB, 32, 3, 12, ("shared memory",)),  # 49 KiB each with the reserved one, of 164
    ("sm_80", 128, 40 * KIB, 32, 4, 16, ("shared memory",)),  # 4 * 41 = 164
    ("sm_80", 128, 40 * KIB + 1, 32, 3, 12, ("shared memory",)),  # 128 bytes more than that
    ("sm_75", 128, 16 * KIB, 32, 4, 16, ("shared memory",)),  # nothing is reserved before sm_80
    ("sm_90a", 384, 227 * KIB, 168, 1, 12, ("shared memory", "registers")),  # 5376 a warp: 3 warps a partition
    ("sm_90", 128, 227 * KIB + 1, 32, 0, 0, ("shared memory",)),
    ("sm_100", 2048, 0, 32, 0, 0, ("threads",)),
    ("sm_120", 256, 0, 256, 0, 0, ("registers",)),
    ("sm_120", 512, 0, 129, 0, 0, ("registers",)),  # 4352 * 16 warps are more than the 65536 of a block
    ("120", 100, 0, None, 12, 48, ("threads",)),  # four warps, the last one not full
])
def test_by_hand(arch, threads, shared, registers, blocks, warps, limited_by):
    o = occupancy(arch, threads, shared, registers)
    assert (o.blocks, o.warps, o.limited_by) == (blocks, warps, tuple(n if n != "threads" else "warps" for n in limited_by))
    assert o.fraction == warps / o.most_warps


LAUNCHES = {"arch": st.sampled_from(sorted(LIMITS)), "threads": st.integers(1, 1024), "shared": st.integers(0, 230 * KIB),
            "registers": st.integers(1, 255)}


@given(**LAUNCHES)
def test_never_more_than_the_machine_has(arch, threads, shared, registers):
    o, sm = occupancy(arch, threads, shared, registers), LIMITS[arch]
    assert 0 <= o.warps <= sm.warps
    assert o.blocks <= sm.blocks
    assert o.blocks * (shared + sm.reserved) <= sm.shared
    assert o.blocks * registers * threads <= sm.registers
    assert o.blocks == min(o.limits.values())


@given(**LAUNCHES, more=st.integers(0, 64))
def test_asking_for_more_never_gives_more_blocks(arch, threads, shared, registers, more):
    blocks = occupancy(arch, threads, shared, registers).blocks
    assert occupancy(arch, threads, shared + more, registers).blocks <= blocks
    assert occupancy(arch, threads, shared, registers + more).blocks <= blocks  # beyond 255 none
    assert occupancy(arch, threads + more, shared, registers).blocks <= blocks
    assert occupancy(arch, threads, shared).blocks >= blocks


PROGRAM = r"""
#include <climits>
#include <cstdio>
#include <cstring>
#include "cuda_occupancy.h"
int main() {
    int major, minor, threads, shared, registers, warps, sm, block, reserved;
    while (std::scanf("%d %d %d %d %d %d %d %d %d", &major, &minor, &threads, &shared, &registers, &warps, &sm, &block, &reserved) == 9) {
        cudaOccDeviceProp p;
        std::memset(&p, 0, sizeof p);
        p.computeMajor = major, p.computeMinor = minor, p.maxThreadsPerBlock = 1024, p.maxThreadsPerMultiprocessor = 32 * warps;
        p.regsPerBlock = p.regsPerMultiprocessor = 65536, p.warpSize = 32, p.sharedMemPerBlock = 48 * 1024;
        p.sharedMemPerMultiprocessor = sm, p.sharedMemPerBlockOptin = block, p.reservedSharedMemPerBlock = reserved, p.numSms = 1;
        cudaOccFuncAttributes f;
        f.maxThreadsPerBlock = INT_MAX, f.numRegs = registers, f.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN, f.numBlockBarriers = 1;
        f.maxDynamicSharedSizeBytes = shared;
        cudaOccDeviceState state;
        state.carveoutConfig = SHAREDMEM_CARVEOUT_MAX_SHARED;
        cudaOccResult r;
        const int error = cudaOccMaxActiveBlocksPerMultiprocessor(&r, &p, &f, &state, threads, shared);
        std::printf("%d\n", error ? -error : r.activeBlocksPerMultiprocessor);
    }
}
"""


@pytest.mark.skipif(HEADER is None, reason="cuda_occupancy.h is not on this machine: no CUDA toolkit")
def test_agrees_with_the_cuda_toolkit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("occupancy")
    (folder / "calculator.cpp").write_text(PROGRAM)
    subprocess.run([shutil.which("g++") or "c++", "-w", f"-I{HEADER}", folder / "calculator.cpp", "-o", folder / "calculator"], check=True)

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.tuples(*LAUNCHES.values()), min_size=50))
    def compare(launches):
        lines = []
        for arch, threads, shared, registers in launches:
            sm = LIMITS[arch]
            lines.append(" ".join(map(str, (arch[3:-1], arch[-1], threads, shared, registers, sm.warps, sm.shared, sm.block_shared,
                                            sm.reserved))))
        done = subprocess.run([folder / "calculator"], input="\n".join(lines), capture_output=True, text=True, check=True)
        assert [int(n) for n in done.stdout.split()] == [occupancy(*launch).blocks for launch in launches]

    compare()


def test_wrong_calls():
    with pytest.raises(ValueError, match="arch 'sm_70' is none of sm_75, sm_80"):
        occupancy("sm_70", 32)
    with pytest.raises(ValueError, match="0 threads, 0 bytes of shared memory, None registers make no block"):
        occupancy("sm_80", 0)


def test_the_text_says_what_is_unknown():
    assert str(occupancy("sm_80", 128, 40 * KIB, 32)) == "25% of 64 warps on sm_80: 4 blocks of 4 warps, limited by shared memory"
    assert str(occupancy("sm_80", 128)).startswith("at most 100% of")
    assert str(occupancy("sm_80", 128, 0, 256)) == "no block fits an SM of sm_80: registers"
