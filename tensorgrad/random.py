"""Random numbers: Philox 4x32-10, a counter-based generator.

The state is a seed and a position. Number `i` of a stream is a function of (seed, position + i) alone, so that a checkpoint
stores two integers, any thread or GPU block can make any part of a stream, and every device draws the same bits.
Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""
from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np

from . import dispatch


class Generator:
    """A stream of random numbers. `manual_seed` restarts it; `get_state`/`set_state` store and restore its position."""

    def __init__(self, device: Any = "cpu"):
        self.device = device
        self._seed, self._position = 0, 0
        self._lock = threading.Lock()

    def manual_seed(self, seed: int) -> Generator:
        """Start over from `seed` (any integer; taken modulo 2^64)."""
        self._seed, self._position = int(seed) & 0xFFFFFFFFFFFFFFFF, 0
        return self

    def seed(self) -> int:
        """Start over from a seed the system's entropy gives; returns it."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little") >> 1)
        return self._seed

    def initial_seed(self) -> int:
        """The seed last set."""
        return self._seed

    def get_state(self) -> tuple[int, int]:
        """(seed, position)."""
        return self._seed, self._position

    def set_state(self, state: tuple[int, int]) -> None:
        """Go to a state that `get_state` gave."""
        self._seed, self._position = int(state[0]), int(state[1])

    def reserve(self, count: int) -> tuple[int, int]:
        """Take the next `count` 32-bit numbers (rounded up to whole blocks of four): (seed, first block)."""
        with self._lock:
            block = self._position
            self._position += (count + 3) // 4
        return self._seed, block

    def bits(self, count: int) -> np.ndarray:
        """The next `count` random uint32, as int64-free raw bits."""
        seed, block = self.reserve(count)
        out = np.empty(count, np.int32)
        dispatch.kernels_of("cpu")["philox"]["cpu/rounds"].call(out, signed64(seed), block)
        return out.view(np.uint32)


def signed64(value: int) -> int:
    """The same 64 bits read as a signed integer: what compiled kernels take."""
    return value - (1 << 64) if value >= 1 << 63 else value


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator of every device; the same seed gives the same numbers on each."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the system's entropy; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed last given to the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> tuple[int, int]:
    """(seed, position) of the default generator."""
    return default_generator.get_state()


def set_rng_state(state: tuple[int, int]) -> None:
    """Restore a state that `get_rng_state` gave."""
    default_generator.set_state(state)
