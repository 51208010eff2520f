"""Random draws of the transforms: from the stream of this item of the data set, so that they do not depend on the loader's threads."""
from __future__ import annotations

import numpy as np

from ... import random
from ...device import device


def _bits(count: int) -> np.ndarray:
    return random.generator_of(device("cpu")).bits(count)


def uniform(low: float = 0.0, high: float = 1.0) -> float:
    """A number in [low, high)."""
    return low + (high - low) * float(_bits(1)[0]) / 4294967296.0


def integer(low: int, high: int) -> int:
    """A whole number in [low, high)."""
    if high <= low:
        raise ValueError(f"there is no whole number in [{low}, {high})")
    a, b = _bits(2).tolist()
    return low + ((a << 32 | b) * (high - low) >> 64)


def chance(p: float) -> bool:
    """True with probability `p`."""
    return uniform() < p


def order(n: int) -> list[int]:
    """A random order of 0, ..., n - 1."""
    return np.argsort(_bits(n), kind="stable").tolist()


def numpy() -> np.random.Generator:
    """NumPy's generator, seeded by this stream: for its distributions."""
    return np.random.default_rng(_bits(4))


def probability(p: float, who: str) -> float:
    """`p`, if it is one."""
    if not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise ValueError(f"{who}: p must be a probability between 0 and 1, got {p!r}")
    return p
