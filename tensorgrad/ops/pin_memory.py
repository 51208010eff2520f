"""pin_memory and is_pinned: memory of the host that a GPU reads by itself."""
from __future__ import annotations

from .. import backends
from ..op import Op
from ..tensor import Tensor, wrap


class PinMemory(Op):
    """A copy in pinned memory of a CPU tensor, or the tensor itself where it is there: `to("cuda", non_blocking=True)` then runs beside the
    caller. Needs a GPU."""

    name = "pin_memory"
    function = False
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        from ..cuda import transfers

        if input.device.type == "cuda":
            raise RuntimeError(f"pin_memory: only memory of the host is pinned, this tensor is on {input.device}")
        if input.requires_grad:
            raise RuntimeError("pin_memory: the tensor requires grad; use detach()")
        if transfers.is_pinned(input.array):
            return input
        pinned = transfers.pinned_like(backends.load("cuda").cupy, input.array)
        pinned[...] = input.array
        return wrap(pinned, input.device)


class IsPinned(Op):
    """Whether a tensor lies in pinned memory of the host."""

    name = "is_pinned"
    function = False
    composite = True

    def forward(self, input: Tensor) -> bool:
        from ..cuda import transfers

        return transfers.is_pinned(input.array)
