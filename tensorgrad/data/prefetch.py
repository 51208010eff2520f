"""Batches on their way to a device while the one before is worked on."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..cuda import streams
from ..device import device as Device
from ..tensor import Tensor, as_device


def moved(batch: Any, device: Device, non_blocking: bool = False) -> Any:
    """The tensors of a batch (in any nesting of tuples, lists and dicts) on `device`."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=non_blocking)
    if isinstance(batch, dict):
        return {k: moved(v, device, non_blocking) for k, v in batch.items()}
    if isinstance(batch, (list, tuple)):
        made = [moved(v, device, non_blocking) for v in batch]
        return type(batch)(*made) if hasattr(batch, "_fields") else type(batch)(made)
    return batch


def prefetch(batches: Iterable[Any], device: Any) -> Iterator[Any]:
    """The batches, their tensors on `device`: the next one is copied while the caller works on the last.

    On `cuda` copies run on a stream of their own, beside the kernels, if the batches lie in pinned memory (`DataLoader(pin_memory=True)`).
    """
    device = as_device(device)
    if device.type != "cuda":
        yield from (moved(batch, device) for batch in batches)
        return
    beside = streams.Stream(device)
    ahead: list[Any] = []
    for batch in batches:
        beside.wait_stream(streams.current_stream(device))  # the memory a copy is written to may be in use until then
        with streams.stream(beside):
            ahead.append(moved(batch, device, non_blocking=True))
        copied = beside.record_event()
        if len(ahead) > 1:
            yield ahead.pop(0)
        streams.current_stream(device).wait_event(copied)
    yield from ahead
