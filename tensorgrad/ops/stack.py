"""stack: tensors along a new dimension."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, check_dim, wrap


class Stack(Op):
    """The tensors, all of one shape, along a new dim `dim`; in the dtype they promote to."""

    name = "stack"
    autocast = ("widest", "widest")
    method = False

    def forward(self, ctx: Node, tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
        if isinstance(tensors, Tensor):
            raise TypeError(f"stack: expected a list of tensors, not one tensor of shape {tuple(tensors.shape)}; unbind() makes one")
        if not tensors:
            raise ValueError("stack: expected at least one tensor")
        arrays = [t.array for t in tensors]
        device, shape, kind, mixed = tensors[0].device, arrays[0].shape, tensors[0].dtype, False
        for k, t in enumerate(tensors):
            if t.array.shape != shape:
                raise RuntimeError(f"stack: tensor {k} has shape {tuple(t.shape)} but the first has {tuple(shape)}; all must be equal")
            if t.device is not device:
                raise RuntimeError(f"stack: tensor 0 is on {device} but tensor {k} on {t.device}")
            if t.dtype is not kind:
                kind, mixed = dtypes.promote_types(kind, t.dtype), True
        d = check_dim("stack", dim, len(shape) + 1)
        if ctx.edges is not None:
            ctx.dim, ctx.kinds = d, [t.dtype for t in tensors]
        if mixed:
            arrays = [a.astype(kind.np, copy=False) for a in arrays]
        lead = (slice(None),) * d + (None,)
        return wrap(device.backend.xp.concatenate([a[lead] for a in arrays], axis=d), device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        wanted = zip(ctx.edges, ctx.kinds, strict=True)
        return tuple([fn.select(g, ctx.dim, i).to(kind) if edge is not None else None for i, (edge, kind) in enumerate(wanted)])

    def reference(self, arrays: Any, dim: int = 0) -> Any:
        return np.stack(arrays, dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case([T(2, 3), T(2, 3)]), Case([T(2, 3), T(2, 3), T(2, 3)], -1), Case([T(), T()]), Case([T(0, 3)], 1))
        yield Case([T(2, 3), T(2, 3)], dim=1)
        yield Case([T(2), T(2, dtype="int64", high=5)])
        yield Case([T(2, 3), T(3, 2)], error=(RuntimeError, "stack: tensor 1 has shape (3, 2) but the first has (2, 3)"))
        yield Case([T(2), T(2)], 3, error=(IndexError, "stack: dim 3 is out of range"))
