"""`tensorgrad.cuda`: what PyTorch has under `torch.cuda`, for the device `cuda`. Importing it asks nothing of the machine.

`is_available()` and `device_count()` answer anywhere; everything else raises an error that says what is missing and the way out.
"""
from __future__ import annotations

from typing import Any

from .. import backends, missing
from ..errors import OutOfMemoryError as OutOfMemoryError
from . import driver, graphs, memory, seeds, streams
from .memory import index_of


def is_available() -> bool:
    """Whether there is a GPU, with a driver and CuPy to use it."""
    return driver.examine().problem is None


def device_count() -> int:
    """How many GPUs can be used; 0 where something is missing."""
    return driver.examine().devices if is_available() else 0


def get_device_name(device: Any = None) -> str:
    """The name of a GPU."""
    return str(_properties(device)["name"].decode())


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability of a GPU, (9, 0) for 9.0."""
    chip = backends.load("cuda").chip(index_of(device))
    return chip // 10, chip % 10


def _properties(device: Any) -> dict[str, Any]:
    found: dict[str, Any] = backends.load("cuda").cupy.cuda.runtime.getDeviceProperties(index_of(device))
    return found


globals().update({name: getattr(part, name) for part in (memory, streams, graphs, seeds) for name in part.__all__})
__getattr__ = missing.of(__name__)
