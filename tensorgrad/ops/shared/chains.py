"""What the fused chains of element-wise operations share: how they take their tensors."""
from __future__ import annotations

from typing import Any

from ...op import Op
from ...pointwise import check_broadcast
from ...tensor import Tensor


def check_alike(op: Op, tensors: dict[str, Tensor]) -> list[Any]:
    """The arrays of named tensors of one floating dtype, on one device, that broadcast; RuntimeError names the one that is not."""
    (first, like), *rest = tensors.items()
    if not like.dtype.is_floating_point:
        raise RuntimeError(f"{op.name}: needs a floating tensor, got {like.dtype.name}; convert with .float()")
    for name, t in rest:
        if t.device is not like.device:
            raise RuntimeError(f"{op.name}: {first} is on {like.device} but {name} is on {t.device}; move one with .to(...)")
        if t.array.dtype != like.array.dtype:
            raise RuntimeError(f"{op.name}: {first} is {like.dtype.name} but {name} is {t.dtype.name}; convert one with .to(...)")
        check_broadcast(op.name, like.array.shape, t.array.shape)
    return [t.array for t in tensors.values()]
