"""Copies between the host and GPUs.

A copy from ordinary memory of the host is done when the call returns. One from pinned memory, which the GPU reads by itself, runs beside
the caller where `non_blocking` asks for it.
"""
from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np

from . import streams

_waiting: deque[tuple[Any, Any]] = deque()  # (event, pinned array that a copy still reads)
_lock = threading.Lock()


def upload(cupy: Any, array: Any, non_blocking: bool) -> Any:
    """A copy on the current device of a NumPy array, or of another GPU's array; an array of its own is itself."""
    if isinstance(array, cupy.ndarray):
        return array if array.device.id == cupy.cuda.runtime.getDevice() else _from_peer(cupy, array)
    pinned = is_pinned(array)
    if not pinned:
        streams.refuse_capture("a copy from the host's memory", "make the tensor on the device before, and copy_ into it between replays")
    if not (pinned and non_blocking):
        return cupy.asarray(array, blocking=True)
    array = np.ascontiguousarray(array).reshape(array.shape)
    there = cupy.empty(array.shape, array.dtype)
    stream = cupy.cuda.get_current_stream()
    there.set(array, stream)
    event = cupy.cuda.Event(disable_timing=True)
    event.record(stream)
    with _lock:
        while _waiting and not streams.capturing() and _waiting[0][0].done:
            _waiting.popleft()
        _waiting.append((event, array))
    return there


def _from_peer(cupy: Any, array: Any) -> Any:
    """A copy on the current device: after what the other device still writes there, before what it writes next."""
    here = cupy.cuda.get_current_stream()
    with array.device:
        there = cupy.cuda.get_current_stream()
        here.wait_event(there.record(cupy.cuda.Event(disable_timing=True)))
    copied = array.copy()
    done = here.record(cupy.cuda.Event(disable_timing=True))
    with array.device:
        there.wait_event(done)
    return copied


def download(cupy: Any, array: Any, non_blocking: bool) -> np.ndarray:
    """A NumPy array with the values; with `non_blocking` in pinned memory, and whole once the stream got there."""
    streams.refuse_capture("reading a value on the host (item, numpy, tolist, print, a condition, a copy to cpu)",
                           "leave it out of the captured function, and read after a replay")
    if non_blocking:
        there = pinned_like(cupy, array)
        if array.size:
            array.get(out=there, blocking=False)
        return there
    with streams.waiting():
        return array.get(order="A")


def pinned_like(cupy: Any, array: Any) -> np.ndarray:
    """Pinned memory for an array's values."""
    streams.refuse_capture("allocating pinned memory", "do it before")
    import cupyx

    return cupyx.empty_pinned(array.shape, array.dtype)


def is_pinned(array: Any) -> bool:
    """Whether a NumPy array lies in memory that CuPy pinned."""
    while array is not None and type(array).__name__ != "PinnedMemoryPointer":
        array = array.obj if isinstance(array, memoryview) else getattr(array, "base", None)
    return array is not None
