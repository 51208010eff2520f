"""The random numbers of GPUs: each device has a generator of its own, which `tg.manual_seed` seeds too."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import backends, random
from ..device import device as Device
from . import driver
from .memory import index_of

__all__ = ["get_rng_state", "get_rng_state_all", "initial_seed", "manual_seed", "manual_seed_all", "seed", "seed_all", "set_rng_state",
           "set_rng_state_all"]


def _generator(device: Any) -> random.Generator:
    return random.generator_of(Device("cuda", index_of(device)))


def manual_seed(seed: int) -> None:
    """Seed the current device's generator: the same numbers as cpu draws from that seed. Without a GPU there is nothing to seed."""
    if driver.examine().problem is None:
        _generator(None).manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Seed the generators of all GPUs; without one there is nothing to seed."""
    if driver.examine().problem is None:
        for i in range(backends.load("cuda").devices):
            _generator(i).manual_seed(seed)


def seed() -> None:
    """Seed the current device's generator from the system's entropy."""
    _generator(None).seed()


def seed_all() -> None:
    """Seed the generators of all GPUs alike, from the system's entropy."""
    manual_seed_all(_generator(None).seed())


def initial_seed() -> int:
    """The seed last given to the current device's generator."""
    return _generator(None).initial_seed()


def get_rng_state(device: Any = "cuda") -> tuple[int, int]:
    """(seed, position) of a device's generator."""
    return _generator(device).get_state()


def get_rng_state_all() -> list[tuple[int, int]]:
    """The states of all GPUs' generators."""
    return [get_rng_state(i) for i in range(backends.load("cuda").devices)]


def set_rng_state(new_state: tuple[int, int], device: Any = "cuda") -> None:
    """Restore a state that `get_rng_state` gave."""
    _generator(device).set_state(new_state)


def set_rng_state_all(new_states: Sequence[tuple[int, int]]) -> None:
    """Restore the states of all GPUs' generators that `get_rng_state_all` gave."""
    for i, state in enumerate(new_states):
        set_rng_state(state, i)
