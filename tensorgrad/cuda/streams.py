"""Streams, events and the current device, each thread having its own. CuPy and the compiled kernels are told of the same stream."""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import backends
from .memory import index_of

__all__ = ["Event", "Stream", "current_device", "current_stream", "default_stream", "device", "set_device", "set_stream", "stream",
           "synchronize"]

_launching: list[Any] = []  # the modules that launch kernels: tensorgrad._cuda and Triton's launcher, where they were built


class _Own(threading.local):
    graph: Any = None  # the graph that this thread is capturing


own = _Own()


def capturing() -> bool:
    """Whether this thread is capturing a graph."""
    return own.graph is not None


def refuse_capture(what: str, instead: str) -> None:
    """RuntimeError where a graph is being captured."""
    if own.graph is not None:
        raise RuntimeError(f"cuda.graph: {what} cannot be captured: {instead}")


def kernels_follow(*modules: Any) -> None:
    """From now on the kernels of these modules are launched on the stream that is set here."""
    _launching[:] = [m for m in modules if m is not None]


def _cupy() -> Any:
    return backends.load("cuda").cupy


def _tell_kernels() -> None:
    for module in _launching:
        module.set_stream(_cupy().cuda.get_current_stream().ptr)


@contextmanager
def on(index: int) -> Iterator[None]:
    """Another device as the current one of this thread, with its stream."""
    cupy = _cupy()
    if cupy.cuda.runtime.getDevice() == index:
        yield
        return
    with cupy.cuda.Device(index):
        _tell_kernels()
        yield
    _tell_kernels()


def current_device() -> int:
    """The index of this thread's current device: what "cuda" without an index means."""
    return int(backends.load("cuda").current())


def set_device(device: Any) -> None:
    """Make a device (an index or a name) the current one of this thread. `with device(...)` does it for a while."""
    _cupy().cuda.runtime.setDevice(index_of(device))
    _tell_kernels()


class device:
    """`with device(1):` makes a device the current one of this thread for a while."""

    def __init__(self, device: Any):
        self.index = index_of(device)

    def __enter__(self) -> device:
        self._inside = on(self.index)
        self._inside.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._inside.__exit__(*exc)


def synchronize(device: Any = None) -> None:
    """Wait until a device has done all that was asked of it."""
    refuse_capture("synchronize", "wait for the stream that replays the graph")
    with waiting():
        _cupy().cuda.Device(index_of(device)).synchronize()


@contextmanager
def waiting() -> Iterator[None]:
    """Where the host waits for a device, errors of kernels launched long before come to light: say so."""
    try:
        yield
    except _cupy().cuda.runtime.CUDARuntimeError as e:
        raise RuntimeError(f"cuda: something launched earlier has failed ({e}); TG_SYNC=1 waits after each op and names the one") from e


class Stream:
    """Work in order, beside that of other streams. `with tg.cuda.stream(s):` launches on it.

    What one stream writes another may read after `wait_stream`; a tensor that another stream still uses must be kept until that is done.
    """

    def __init__(self, device: Any = None, priority: int | None = None, *, made: Any = None):
        self.index = index_of(device)
        if made is None:
            with on(self.index):
                made = _cupy().cuda.Stream(non_blocking=True, priority=priority)
        self.made = made

    @property
    def cuda_stream(self) -> int:
        """CUDA's handle, as a number."""
        return int(self.made.ptr)

    @property
    def device(self) -> Any:
        """The device."""
        from ..device import device as Device

        return Device("cuda", self.index)

    def synchronize(self) -> None:
        """Wait until all of its work is done."""
        refuse_capture("synchronize", "wait for the stream that replays the graph")
        with waiting():
            self.made.synchronize()

    def query(self) -> bool:
        """Whether all of its work is done."""
        refuse_capture("a query of a stream", "ask after a replay")
        return bool(self.made.done)

    def wait_event(self, event: Event) -> None:
        """Let what is launched on it from here on wait for an event."""
        if event.made is not None:  # one that was never recorded holds nobody up
            self.made.wait_event(event.made)

    def wait_stream(self, stream: Stream) -> None:
        """Let what is launched on it from here on wait for all that another stream has now."""
        self.wait_event(stream.record_event())

    def record_event(self, event: Event | None = None) -> Event:
        """An event that takes place when all the work it has now is done."""
        event = event or Event()
        event.record(self)
        return event

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (other.index, other.cuda_stream) == (self.index, self.cuda_stream)

    def __hash__(self) -> int:
        return hash((self.index, self.cuda_stream))

    def __repr__(self) -> str:
        return f"<tensorgrad.cuda.Stream device=cuda:{self.index} cuda_stream={self.cuda_stream:#x}>"


class Event:
    """A moment in a stream's work. Two with `enable_timing` give the time between them."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False):
        self.timed, self.blocking, self.interprocess = enable_timing, blocking, interprocess
        self.made: Any = None  # an event belongs to the device of the stream it is first recorded on

    def record(self, stream: Stream | None = None) -> None:
        """Take place when all the work that `stream` (the current one) has now is done."""
        stream = stream or current_stream()
        with on(stream.index):
            if self.made is None:
                self.made = _cupy().cuda.Event(block=self.blocking, disable_timing=not self.timed, interprocess=self.interprocess)
            self.made.record(stream.made)

    def wait(self, stream: Stream | None = None) -> None:
        """Let what `stream` (the current one) is given from here on wait for this event."""
        (stream or current_stream()).wait_event(self)

    def query(self) -> bool:
        """Whether it has taken place."""
        refuse_capture("a query of an event", "ask after a replay")
        return self.made is None or bool(self.made.done)

    def synchronize(self) -> None:
        """Wait until it has taken place."""
        refuse_capture("synchronize", "wait for the stream that replays the graph")
        if self.made is not None:
            with waiting():
                self.made.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to another; both must have taken place."""
        if not (self.timed and end_event.timed):
            raise ValueError("Event.elapsed_time: both events must be made with enable_timing=True")
        if self.made is None or end_event.made is None:
            raise ValueError("Event.elapsed_time: both events must be recorded first")
        return float(_cupy().cuda.get_elapsed_time(self.made, end_event.made))


def current_stream(device: Any = None) -> Stream:
    """The stream that this thread's work on a device goes to."""
    index = index_of(device)
    return Stream(index, made=_cupy().cuda.get_current_stream(index))


def default_stream(device: Any = None) -> Stream:
    """The stream that work goes to where no other is set."""
    return Stream(device, made=_cupy().cuda.Stream.null)


def set_stream(stream: Stream) -> None:
    """Let this thread's work on the stream's device go to it from here on. `with stream(...)` does it for a while."""
    with on(stream.index):
        stream.made.use()
        _tell_kernels()


@contextmanager
def stream(stream: Stream | None) -> Iterator[Stream | None]:
    """`with stream(s):` lets this thread's work go to a stream, whose device becomes the current one."""
    if stream is None:
        yield None
        return
    with on(stream.index):
        before = current_stream()
        set_stream(stream)
        try:
            yield stream
        finally:
            set_stream(before)
