"""Where a tensor lives and computes: `cpu`, `emu` (CUDA kernels under the emulator), `cuda:N`."""
from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from . import backends


class device:
    """A device by name: `device("cpu")`, `device("cuda", 1)`, `device("cuda:1")`. One instance per device.

    `with device("cuda"):` makes it the one where new tensors are made that name none.
    """

    type: str
    index: int | None
    backend: Any
    _known: dict[tuple[str, int | None], device] = {}
    _defaults: list[device] = []  # the last is where new tensors go; empty: cpu

    def __new__(cls, name: str | device, index: int | None = None) -> device:
        if isinstance(name, device):
            return name
        if not isinstance(name, str):
            raise TypeError(f"device: expected a name such as 'cpu', got {name!r}")
        kind, colon, number = name.partition(":")
        if colon:
            if index is not None or not number.isdigit():
                raise ValueError(f"device: cannot read {name!r}; write 'cpu', 'cuda' or 'cuda:1'")
            index = int(number)
        if kind not in backends.NAMES:
            raise ValueError(f"device: this installation has no device {kind!r}; it has: {', '.join(backends.NAMES)}")
        known = cls._known.get((kind, index))
        if known is None:
            backend = backends.load(kind)
            index = backend.check(index)  # "cuda" is the device that is the current one now
            known = cls._known.get((kind, index))
            if known is None:
                known = object.__new__(cls)
                known.type, known.index = kind, index
                known.backend = backend.at(index) if hasattr(backend, "at") else backend
                cls._known[kind, index] = known
        return known

    def __enter__(self) -> device:
        device._defaults.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        device._defaults.pop()

    def active(self) -> AbstractContextManager[None]:
        """A `with` block in which this is the thread's current one of several GPUs: for work on storage outside of an op."""
        found: AbstractContextManager[None] = self.backend.active() if self.index is not None else nullcontext()
        return found

    def __repr__(self) -> str:
        return f"device(type='{self.type}'" + (f", index={self.index})" if self.index is not None else ")")

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __reduce__(self) -> tuple:
        return (device, (str(self),))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return str(self) == other
        return self is other

    __hash__ = object.__hash__  # one instance per device


CPU = device("cpu")


def get_default_device() -> device:
    """Where new tensors are made that name no device."""
    return device._defaults[-1] if device._defaults else CPU


def set_default_device(device: Any) -> None:
    """Make new tensors that name no device there; None is cpu."""
    known = _device("cpu" if device is None else device)
    known._defaults[:1] = [known]


_device = device


def moved(array: Any, source: device, target: device, non_blocking: bool = False) -> Any:
    """Storage of one device as storage of another: through the host, or from GPU to GPU."""
    if source.type != target.type:
        array = source.backend.to_numpy(array, non_blocking)
    return target.backend.asarray(array, non_blocking)
