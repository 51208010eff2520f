"""`cupy.cuda` of the double: devices, memory with a capacity, streams that can be captured, events."""
from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np


class _Machine(threading.local):
    """What is a thread's own: its device and its stream."""

    def __init__(self) -> None:
        self.device = 0
        self.streams: dict[int, Stream] = {}
        self.kernels_on = 0  # what the extension was told by set_stream


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


class OutOfMemoryError(MemoryError):
    pass


machine = _Machine()
_settings = SimpleNamespace(devices=1, capacity=1 << 30, used=[0])
log: list[tuple] = []  # what the device layer asked for, in order


def reset(devices: int, capacity: int) -> None:
    _settings.devices, _settings.capacity, _settings.used = devices, capacity, [0] * devices
    machine.__init__()  # type: ignore[misc]
    log.clear()
    global _allocator, _default_pool
    _default_pool = MemoryPool()
    _allocator = _default_pool.malloc


def capturing() -> Stream | None:
    stream = get_current_stream()
    return stream if stream.recorded is not None else None


def refuse_in_capture(what: str) -> None:
    if capturing() is not None:
        raise CUDARuntimeError(900, f"cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing ({what})")


def work(do: Callable[[], None]) -> None:
    """Work of the current stream: done now, or at each replay where the stream is being captured."""
    stream = capturing()
    if stream is None:
        do()
    else:
        stream.recorded.append(do)  # type: ignore[union-attr]


# ---------------------------------------------------------------- devices


class Device:
    def __init__(self, id: int | None = None):
        self.id = machine.device if id is None else id
        self.compute_capability = "90"

    def use(self) -> None:
        if not 0 <= self.id < _settings.devices:
            raise CUDARuntimeError(101, "cudaErrorInvalidDevice: invalid device ordinal")
        machine.device = self.id

    def __enter__(self) -> Device:
        self._before = machine.device
        self.use()
        return self

    def __exit__(self, *exc: object) -> None:
        machine.device = self._before

    def synchronize(self) -> None:
        refuse_in_capture("synchronize")
        log.append(("synchronize", self.id))

    @property
    def mem_info(self) -> tuple[int, int]:
        return _settings.capacity - _settings.used[self.id], _settings.capacity


runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError, memcpyDeviceToHost=2, memcpyHostToDevice=1, memcpyDeviceToDevice=3,
    getDeviceCount=lambda: _settings.devices, getDevice=lambda: machine.device,
    setDevice=lambda i: Device(i).use(), memGetInfo=lambda: Device().mem_info,
    driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000,
    getDeviceProperties=lambda i: {"name": b"double of a GPU", "multiProcessorCount": 2, "major": 9, "minor": 0,
                                   "totalGlobalMem": _settings.capacity},
    deviceCanAccessPeer=lambda a, b: 0)


nvrtc = SimpleNamespace(getVersion=lambda: (13, 0))


# ---------------------------------------------------------------- memory


class _Allocation:
    """Bytes of a device, given back when nobody holds them."""

    def __init__(self, size: int, device: int):
        self.size, self.device = size, device
        self.buffer = (ctypes.c_char * max(size, 1)).from_buffer(np.full(max(size, 1), 0xFF, np.uint8))
        self.ptr = ctypes.addressof(self.buffer)
        self.device_id, self.used = device, _settings.used
        self.used[device] += size

    def give_back(self) -> None:
        self.used[self.device] -= self.size


def Memory(size: int) -> _Allocation:
    """Memory straight from the device: there is a pool between it and arrays."""
    device = machine.device
    if _settings.used[device] + size > _settings.capacity:
        raise CUDARuntimeError(2, "cudaErrorMemoryAllocation: out of memory")
    return _Allocation(size, device)


class UnownedMemory:
    def __init__(self, ptr: int, size: int, owner: Any, device_id: int = -1):
        self.ptr, self.size, self._owner, self.device_id = ptr, size, owner, device_id


class MemoryPointer:
    def __init__(self, mem: Any, offset: int):
        self.mem, self.ptr, self.device_id = mem, mem.ptr + offset, mem.device_id


class _Pooled:
    def __init__(self, pool: MemoryPool, allocation: _Allocation):
        self.pool, self.allocation = pool, allocation
        self.ptr, self.size, self.device_id = allocation.ptr, allocation.size, allocation.device

    def __del__(self) -> None:
        self.pool.free.append(self.allocation)


class MemoryPool:
    """Rounds up to 512 bytes, keeps what is freed, and gives it all back before it fails."""

    def __init__(self, allocator: Any = None):
        self.allocator = allocator or (lambda size: MemoryPointer(Memory(size), 0))
        self.free: list[_Allocation] = []
        self.all: list[_Allocation] = []

    def malloc(self, size: int) -> MemoryPointer:
        device, size = machine.device, -(-size // 512) * 512
        for i, a in enumerate(self.free):
            if a.size == size and a.device == device:
                return MemoryPointer(_Pooled(self, self.free.pop(i)), 0)
        try:
            allocation = self.allocator(size).mem
        except CUDARuntimeError:
            self.free_all_blocks()
            try:
                allocation = self.allocator(size).mem
            except CUDARuntimeError:
                raise OutOfMemoryError(f"Out of memory allocating {size} bytes") from None
        self.all.append(allocation)
        return MemoryPointer(_Pooled(self, allocation), 0)

    def free_all_blocks(self, stream: Any = None) -> None:
        for a in self.free:
            a.give_back()
            self.all.remove(a)
        self.free.clear()

    def __del__(self) -> None:
        for a in self.all:
            a.give_back()

    def total_bytes(self) -> int:
        return sum(a.size for a in self.all if a.device == machine.device)

    def used_bytes(self) -> int:
        return self.total_bytes() - sum(a.size for a in self.free if a.device == machine.device)


memory = SimpleNamespace(OutOfMemoryError=OutOfMemoryError)
_default_pool = MemoryPool()
_allocator: Callable[[int], MemoryPointer] = _default_pool.malloc


def default_pool() -> MemoryPool:
    return _default_pool


def alloc(size: int) -> MemoryPointer:
    return _allocator(size)


def get_allocator() -> Any:
    return _allocator


def set_allocator(allocator: Any) -> None:
    global _allocator
    _allocator = allocator


def empty_pinned(shape: Any, dtype: Any = float) -> np.ndarray:
    refuse_in_capture("allocation of pinned memory")
    log.append(("pinned", shape))
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    return np.frombuffer(PinnedMemoryPointer(size), dtype).reshape(shape)


class PinnedMemoryPointer(bytearray):
    """Memory of the host that the GPU reads by itself."""


# ---------------------------------------------------------------- streams, events, graphs


class Stream:
    null: Stream
    _pointers = iter(range(0x1000, 1 << 30, 8))

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: Any = None, ptr: int | None = None):
        self.ptr = ptr if ptr is not None else 0 if null else next(self._pointers)
        self.non_blocking, self.priority, self.device_id = non_blocking, priority, machine.device
        self.recorded: list[Callable[[], None]] | None = None

    def __enter__(self) -> Stream:
        self._before = get_current_stream()
        self.use()
        return self

    def __exit__(self, *exc: object) -> None:
        self._before.use()

    def use(self) -> Stream:
        machine.streams[machine.device] = self
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.ptr == self.ptr

    __hash__ = object.__hash__

    @property
    def done(self) -> bool:
        refuse_in_capture("query of a stream")
        return True

    def synchronize(self) -> None:
        refuse_in_capture("synchronize")
        log.append(("synchronize stream", self.ptr))

    def wait_event(self, event: Event) -> None:
        log.append(("wait", self.ptr, event.ptr))

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def begin_capture(self, mode: Any = None) -> None:
        if not self.non_blocking:
            raise CUDARuntimeError(900, "cudaErrorStreamCaptureUnsupported: the legacy stream cannot be captured")
        self.recorded = []

    def end_capture(self) -> Graph:
        recorded, self.recorded = self.recorded, None
        if recorded is None:
            raise CUDARuntimeError(1, "the stream is not capturing")
        return Graph(recorded)

    def is_capturing(self) -> bool:
        return self.recorded is not None


Stream.null = Stream(null=True)


def ExternalStream(ptr: int, device_id: int = -1) -> Stream:
    return Stream(ptr=ptr)


def get_current_stream(device_id: int | None = None) -> Stream:
    return machine.streams.get(machine.device if device_id is None else device_id, Stream.null)


def note_stream(ptr: int) -> None:
    machine.kernels_on = ptr
    log.append(("kernels on", ptr))


class Graph:
    def __init__(self, recorded: list[Callable[[], None]]):
        self.recorded = recorded

    def launch(self, stream: Stream | None = None) -> None:
        log.append(("graph", (stream or get_current_stream()).ptr))
        for do in self.recorded:
            do()


class Event:
    _pointers = iter(range(0x2000000, 1 << 31, 8))

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False):
        self.ptr, self.timed, self.recorded_on = next(self._pointers), not disable_timing, None

    def record(self, stream: Stream | None = None) -> None:
        self.recorded_on: Any = (stream or get_current_stream()).ptr
        log.append(("record", self.recorded_on, self.ptr))

    def synchronize(self) -> None:
        refuse_in_capture("synchronize")
        log.append(("synchronize event", self.ptr))

    @property
    def done(self) -> bool:
        refuse_in_capture("query of an event")
        return True


def get_elapsed_time(start: Event, end: Event) -> float:
    if not (start.timed and end.timed):
        raise CUDARuntimeError(400, "cudaErrorInvalidResourceHandle: an event without timing")
    return 0.5


@contextmanager
def on(device: int) -> Iterator[None]:
    with Device(device):
        yield
