"""The memory of GPUs: what is allocated, how much at most, and what an error says when there is no more.

CuPy's pool keeps what is freed and hands it out again. Every array's memory passes through `Accounts.allocate`, which counts it; memory
asked for while a graph is captured comes from the graph's own pool, so that nobody else ever gets it.
"""
from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from .. import backends
from ..errors import OutOfMemoryError
from ..tensor import Tensor

__all__ = ["empty_cache", "max_memory_allocated", "mem_get_info", "memory_allocated", "memory_reserved",
           "memory_summary", "reset_peak_memory_stats"]


class _Counter:
    """Bytes of one device that arrays hold.

    Arrays die at any moment, within the allocator too: a death only leaves a note in a queue, which the next count reads.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.held = self.peak = 0
        self.freed: deque[int] = deque()

    def add(self, size: int) -> int:
        with self.lock:
            while self.freed:
                self.held -= self.freed.popleft()
            self.held += size
            self.peak = max(self.peak, self.held)
            return self.held


class _Block:
    """What the pool gave, for as long as an array uses it."""

    __slots__ = ("given", "note", "size", "stream", "users")

    def __init__(self, given: Any, size: int, note: Callable[[int], None], stream: Any):
        self.given, self.size, self.note, self.stream = given, size, note, stream
        self.users: tuple[Any, ...] = ()  # other streams whose work uses it, beside the one it was taken on

    def __del__(self) -> None:
        for user in self.users:  # the pool gives it to who asks next on its stream, which has to wait for the others' work
            if self.stream.is_capturing():
                user.synchronize()
            else:
                self.stream.wait_event(user.record())
        self.note(self.size)


class Accounts:
    """CuPy's allocator, seen from here: takes the place of the one that was set before, and asks it."""

    def __init__(self, cupy: Any):
        self.cupy = cupy
        self.source = cupy.cuda.get_allocator()
        self.counters: dict[int, _Counter] = {}
        self.own = threading.local()  # .pool: where a capture takes its memory from
        cupy.cuda.set_allocator(self.allocate)

    def counter(self, device: int) -> _Counter:
        """The counter of a device."""
        return self.counters.get(device) or self.counters.setdefault(device, _Counter())

    def allocate(self, size: int) -> Any:
        """A pointer to new memory; OutOfMemoryError says what holds the rest."""
        cuda = self.cupy.cuda
        try:
            given = (getattr(self.own, "pool", None) or self.source)(size)
        except cuda.memory.OutOfMemoryError:
            raise OutOfMemoryError(f"cuda: out of memory: {_bytes(size)} were asked for.\n{self.summary(None)}\n"
                                   "Smaller batches, tg.no_grad() where no gradient is needed, or utils.checkpoint save memory; "
                                   "tg.cuda.empty_cache() returns to other programs what only the pool holds.") from None
        counter = self.counter(given.device_id)
        counter.add(size)
        block = _Block(given, size, counter.freed.append, cuda.get_current_stream())
        return cuda.MemoryPointer(cuda.UnownedMemory(given.ptr, size, block, given.device_id), 0)

    def private_pool(self) -> Any:
        """A pool for a graph, whose memory is never given to anybody else."""
        cuda = self.cupy.cuda

        def allocate(size: int) -> Any:
            try:
                return cuda.MemoryPointer(cuda.Memory(size), 0)
            except cuda.runtime.CUDARuntimeError as e:  # not CuPy's own error: on that its pool would free what graphs use
                raise OutOfMemoryError(f"cuda: out of memory while a graph is captured: {_bytes(size)} were asked for ({e}).\n"
                                       f"{self.summary(None)}") from None

        return cuda.MemoryPool(allocate)

    def summary(self, device: int | None) -> str:
        """The state of a device's memory, in lines."""
        cuda = self.cupy.cuda
        index = cuda.runtime.getDevice() if device is None else device
        with cuda.Device(index):
            free, total = cuda.runtime.memGetInfo()
        counter = self.counter(index)
        rows = (("arrays hold", counter.add(0)), ("at most they held", counter.peak), ("the pool holds", reserved(index)),
                ("free on the device", free), ("the device has", total))
        return "\n".join([f"cuda:{index}", *[f"  {name:<20} {_bytes(n):>10}" for name, n in rows]])


def record_stream(input: Tensor, stream: Any) -> None:
    """Say that another stream than the one a tensor was made on works with it: once nobody holds the tensor, its memory is not used again
    before the work that this stream has then is done. RuntimeError for a stream of another device. Other libraries keep their memory.
    """
    if not hasattr(stream, "made"):
        raise TypeError(f"record_stream: expected a tensorgrad.cuda.Stream, not a {type(stream).__name__}")
    if input.device != stream.device:
        raise RuntimeError(f"record_stream: the tensor is on {input.device}, the stream on {stream.device}")
    block = getattr(input.array.data.mem, "_owner", None)
    if isinstance(block, _Block) and stream.made != block.stream and stream.made not in block.users:
        block.users += (stream.made,)


Tensor.record_stream = record_stream  # type: ignore[attr-defined]


def _bytes(n: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.0f} B" if unit == "B" else f"{n:.2f} {unit}"
        n /= 1024
    return f"{n:.2f} GiB"


def _backend() -> Any:
    return backends.load("cuda")


def index_of(device: Any) -> int:
    """The index of a device given as None (the current one), an index, a name or a device."""
    from ..device import device as Device

    if device is None:
        return int(_backend().current())
    where = Device("cuda", device) if isinstance(device, int) else Device(device)
    if where.type != "cuda":
        raise ValueError(f"cuda: {where} is no CUDA device")
    return where.index or 0


def reserved(index: int) -> int:
    """What CuPy's pool holds of a device."""
    cupy = _backend().cupy
    with cupy.cuda.Device(index):
        return int(cupy.get_default_memory_pool().total_bytes())


def memory_allocated(device: Any = None) -> int:
    """Bytes that arrays hold now."""
    return _backend().accounts.counter(index_of(device)).add(0)


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that arrays have held since the start or `reset_peak_memory_stats`."""
    counter = _backend().accounts.counter(index_of(device))
    counter.add(0)
    return counter.peak


def memory_reserved(device: Any = None) -> int:
    """Bytes the pool has taken from the device: held by arrays, or kept for new ones."""
    return reserved(index_of(device))


def reset_peak_memory_stats(device: Any = None) -> None:
    """Begin `max_memory_allocated` anew."""
    counter = _backend().accounts.counter(index_of(device))
    counter.peak = counter.add(0)


def empty_cache() -> None:
    """Give the memory that only the pool holds back to the device, for other programs. Arrays and graphs keep theirs."""
    _backend().cupy.get_default_memory_pool().free_all_blocks()


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(bytes free, bytes in all) of a device."""
    cupy = _backend().cupy
    with cupy.cuda.Device(index_of(device)):
        free, total = cupy.cuda.runtime.memGetInfo()
    return int(free), int(total)


def memory_summary(device: Any = None) -> str:
    """What holds a device's memory, as text."""
    return _backend().accounts.summary(index_of(device))
