"""`tensorgrad.cuda`: what PyTorch has under `torch.cuda`, for the device `cuda`. Importing it asks nothing of the machine.

`is_available()` and `device_count()` answer anywhere; everything else raises an error that says what is missing and the way out.
"""
from __future__ import annotations

import sys
from typing import Any, NamedTuple

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


class DeviceProperties(NamedTuple):
    """What `get_device_properties` tells of a GPU."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int


def get_device_properties(device: Any = None) -> DeviceProperties:
    """Name, compute capability, bytes of memory and number of multiprocessors of a GPU."""
    found = _properties(device)
    return DeviceProperties(get_device_name(device), *get_device_capability(device), int(found["totalGlobalMem"]),
                            int(found["multiProcessorCount"]))


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Whether a GPU can read another's memory by itself."""
    runtime = backends.load("cuda").cupy.cuda.runtime
    return bool(runtime.deviceCanAccessPeer(index_of(device), index_of(peer_device)))


def init() -> None:
    """Load what the device needs now rather than with the first tensor."""
    backends.load("cuda")


def is_initialized() -> bool:
    """Whether the device has been used, or `init` called."""
    return "tensorgrad.backends.cuda" in sys.modules


def is_bf16_supported() -> bool:
    """Whether bfloat16 is computed: on every GPU, by way of float32 where the chip has nothing for it."""
    return is_available()


def is_current_stream_capturing() -> bool:
    """Whether this thread is recording a graph."""
    return streams.capturing()


def _properties(device: Any) -> dict[str, Any]:
    found: dict[str, Any] = backends.load("cuda").cupy.cuda.runtime.getDeviceProperties(index_of(device))
    return found


globals().update({name: getattr(part, name) for part in (memory, streams, graphs, seeds) for name in part.__all__})
__getattr__ = missing.of(__name__)
