"""cat: tensors one behind the other along a dimension."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, check_dim, wrap


class Cat(Op):
    """The tensors joined along dim `dim`, all other sizes equal; in the dtype they promote to.

    Tensors of shape (0,) are skipped, whatever the others' shapes, as in PyTorch.
    """

    name = "cat"
    autocast = ("widest", "widest")
    aliases = ("concat", "concatenate")
    method = False

    def forward(self, ctx: Node, tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
        if isinstance(tensors, Tensor):
            raise TypeError(f"cat: expected a list of tensors, not one tensor of shape {tuple(tensors.shape)}")
        if not tensors:
            raise ValueError("cat: expected at least one tensor")
        arrays = [t.array for t in tensors]
        kept = [a for a in arrays if a.shape != (0,)] or arrays[:1]
        first, device = kept[0], tensors[0].device
        if first.ndim == 0:
            raise RuntimeError("cat: tensors without dimensions cannot be joined; use stack()")
        d = check_dim("cat", dim, first.ndim)
        kind, mixed = first.dtype, False
        for k, t in enumerate(tensors):
            a = t.array
            if t.device is not device:
                raise RuntimeError(f"cat: tensor 0 is on {device} but tensor {k} on {t.device}")
            if a.dtype is not kind and a.dtype != kind:
                kind, mixed = dtypes.promote_types(dtypes.BY_NUMPY[kind], dtypes.BY_NUMPY[a.dtype]).np, True
            if a.shape != first.shape and a.shape != (0,):
                self._check(k, a.shape, first.shape, d)
        if ctx.edges is not None:
            ctx.dim, ctx.sizes = d, [None if a.shape == (0,) else a.shape[d] for a in arrays]  # None: skipped
            ctx.kinds = [t.dtype for t in tensors] if mixed else None
        if mixed:
            kept = [a.astype(kind, copy=False) for a in kept]
        return wrap(device.backend.xp.concatenate(kept, axis=d), device)

    def _check(self, k: int, shape: tuple[int, ...], first: tuple[int, ...], d: int) -> None:
        if len(shape) != len(first):
            raise RuntimeError(f"cat: tensor {k} of shape {tuple(shape)} has {len(shape)} dimensions, the first {tuple(first)} has "
                               f"{len(first)}")
        for i, (n, m) in enumerate(zip(shape, first, strict=True)):
            if n != m and i != d:
                raise RuntimeError(f"cat: tensor {k} has size {n} in dim {i} of {tuple(shape)} but the first has {m} in "
                                   f"{tuple(first)}; only dim {d} may differ")

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        parts: list[Tensor | None] = []
        start = 0
        for k, (edge, n) in enumerate(zip(ctx.edges, ctx.sizes, strict=True)):
            part = None
            if edge is not None:
                part = g.new_zeros(0) if n is None else fn.narrow(g, ctx.dim, start, n)
                part = part if ctx.kinds is None else part.to(ctx.kinds[k])
            parts.append(part)
            start += n or 0
        return tuple(parts)

    def reference(self, arrays: Any, dim: int = 0) -> Any:
        return np.concatenate([a for a in arrays if a.shape != (0,)] or arrays[:1], dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case([T(2, 3), T(4, 3)]), Case([T(2, 3), T(2, 1), T(2, 0)], -1), Case([T(3)]), Case([T(0), T(2, 3)], dim=1))
        yield Case([T(0), T(0)])
        yield from (Case([T(2, 2, 3), T(2, 5, 3)], 1), Case([T(3), T(2, dtype="int64", high=5)]))
        yield Case([T(2, 3), T(2, 4)], error=(RuntimeError, "cat: tensor 1 has size 4 in dim 1 of (2, 4) but the first has 3 in (2, 3)"))
        yield Case([T(2, 3), T(2)], error=(RuntimeError, "cat: tensor 1 of shape (2,) has 1 dimensions"))
        yield Case([T(2, 3), T(2, 3)], 2, error=(IndexError, "cat: dim 2 is out of range"))
        yield Case([], error=(ValueError, "cat: expected at least one tensor"))
