"""Occupancy: how many blocks and warps of a kernel are resident on a streaming multiprocessor (SM) at a time, and what limits them.

Four things bound the resident blocks: the SM's warps, its blocks, its registers (allocated per warp in units of 256, in four
partitions) and its shared memory (allocated per block in units of 128 bytes, and 1 KiB more for the system, from sm_80 on).
The limits are those of the table of technical specifications per compute capability in the CUDA C++ Programming Guide, the
units those of the CUDA toolkit's cuda_occupancy.h, which a test compares this file with.
"""
from __future__ import annotations

import re
from dataclasses import dataclass

WARP = 32
KIB = 1024


@dataclass(frozen=True)
class Limits:
    """What an SM of a compute capability holds; the same on all of them: 64 Ki registers, 255 a thread, 1024 threads a block."""

    warps: int
    blocks: int
    shared: int  # bytes
    block_shared: int  # bytes, of one block that asks for more than 48 KiB
    shared_unit: int = 128
    reserved: int = KIB  # of each block, for the system
    registers: int = 65536
    thread_registers: int = 255
    block_threads: int = 1024
    register_unit: int = 256
    partitions: int = 4


LIMITS = {
    "sm_75": Limits(32, 16, 64 * KIB, 64 * KIB, shared_unit=256, reserved=0),
    "sm_80": Limits(64, 32, 164 * KIB, 163 * KIB),
    "sm_86": Limits(48, 16, 100 * KIB, 99 * KIB),
    "sm_89": Limits(48, 24, 100 * KIB, 99 * KIB),
    "sm_90": Limits(64, 32, 228 * KIB, 227 * KIB),
    "sm_100": Limits(64, 32, 228 * KIB, 227 * KIB),
    "sm_120": Limits(48, 24, 100 * KIB, 99 * KIB),
}


@dataclass(frozen=True)
class Occupancy:
    """Resident blocks and warps per SM. `limited_by` names what allows the fewest blocks; `limits` has the blocks each allows."""

    arch: str
    blocks: int
    warps: int
    most_warps: int
    limited_by: tuple[str, ...]
    limits: dict[str, int]
    registers: int | None  # per thread; None: unknown, and no limit

    @property
    def fraction(self) -> float:
        """Resident warps by those the SM can hold."""
        return self.warps / self.most_warps

    def __str__(self) -> str:
        why = " and ".join(self.limited_by)
        if not self.blocks:
            return f"no block fits an SM of {self.arch}: {why}"
        blocks = f"{self.blocks} block{'s' * (self.blocks > 1)} of {self.warps // self.blocks} warps"
        at_most = "" if self.registers is not None else "at most "
        return f"{at_most}{100 * self.fraction:.3g}% of {self.most_warps} warps on {self.arch}: {blocks}, limited by {why}"


def limits_of(arch: str) -> tuple[str, Limits]:
    """The name `sm_90` and the limits of an architecture written `sm_90`, `sm_90a` or `90`; ValueError names those there are."""
    match = re.fullmatch(r"(?:sm_)?(\d+)[af]?", arch)
    name = f"sm_{match[1]}" if match else arch
    if name not in LIMITS:
        raise ValueError(f"occupancy: arch {arch!r} is none of {', '.join(LIMITS)}")
    return name, LIMITS[name]


def occupancy(arch: str, threads: int, shared: int = 0, registers: int | None = None) -> Occupancy:
    """Occupancy of blocks of `threads` threads, each with `shared` bytes (static and dynamic), each thread with `registers`.

    Without `registers` (None) they are taken to be no limit, and the result is an upper bound. Zero blocks means that the launch
    would be refused. ValueError for an unknown architecture or numbers that make no sense.
    """
    name, sm = limits_of(arch)
    if threads < 1 or shared < 0 or (registers is not None and registers < 0):
        raise ValueError(f"occupancy: {threads} threads, {shared} bytes of shared memory, {registers} registers make no block")
    warps = -(-threads // WARP)
    allowed = {"warps": sm.warps // warps if threads <= sm.block_threads else 0, "blocks": sm.blocks}
    memory = _round_up(shared + sm.reserved, sm.shared_unit)
    if memory:
        allowed["shared memory"] = 0 if shared > sm.block_shared else sm.shared // memory
    if registers:
        a_warp = _round_up(registers * WARP, sm.register_unit)
        fits = registers <= sm.thread_registers and a_warp * _round_up(warps, sm.partitions) <= sm.registers
        allowed["registers"] = sm.registers // sm.partitions // a_warp * sm.partitions // warps if fits else 0
    blocks = min(allowed.values())
    return Occupancy(name, blocks, blocks * warps, sm.warps, tuple(k for k, v in allowed.items() if v == blocks), allowed, registers)


def _round_up(n: int, unit: int) -> int:
    return -(-n // unit) * unit
