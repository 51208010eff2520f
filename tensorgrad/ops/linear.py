"""linear: y = x @ w.T + b."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..device import CPU
from ..graph import MODE, Node
from ..op import OBSERVERS, Op, fn
from ..tensor import Tensor, wrap
from .matmul import MATMUL
from .sum import SUM


class Linear(Op):
    """y[..., o] = sum over i of input[..., i] weight[o, i] + bias[o]: the affine map of a dense layer.

    input (..., in), weight (out, in) or (in,), bias (out,) or () (which PyTorch refuses beside a vector). All of one floating
    dtype. Runs on the kernel chosen for matmul, which adds the bias where it can (gemm).
    """

    name = "linear"
    autocast = ("lower", "lower")
    function = method = False
    functional = True

    def forward(self, ctx: Node, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        check_affine("linear", input, weight, bias)
        x, w = input.array, weight.array
        y = MATMUL.multiply(input.device, x, w.T, *(() if bias is None else (None, bias.array, 1.0, 1.0, 0)))
        if ctx.edges is not None:
            ctx.save(input if ctx.edges[1] else None, weight if ctx.edges[0] else None)
            ctx.outputs_dim = w.ndim - 1
        return wrap(y, input.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, w = ctx.saved
        if g.device is CPU and ctx.outputs_dim and not MODE.enabled and not OBSERVERS:
            return self.unrecorded(ctx.edges, g.array, x, w)
        dx = dw = db = None
        vector = ctx.outputs_dim == 0
        if vector:  # one output without a dimension of its own
            g = g.unsqueeze(-1)
        if ctx.edges[0]:
            dx = fn.matmul(g, w.unsqueeze(0) if vector else w)
        if ctx.edges[1]:
            flat = _rows(g)
            dw = fn.matmul(fn.transpose(flat, 0, 1), _rows(x))
            dw = dw.squeeze(0) if vector else dw
        if ctx.edges[2]:
            db = _rows(g).sum(0)
            db = db.squeeze(0) if vector else db
        return dx, dw, db

    def unrecorded(self, wanted: tuple, g: Any, x: Tensor | None, w: Tensor | None) -> tuple:
        """`backward` by the same kernels without the ops around them, which take a small layer longer than its products."""
        dx = dw = db = None
        if w is not None and wanted[0]:
            dx = wrap(MATMUL.multiply(CPU, g, w.array))
        flat = g if g.ndim == 2 else g.reshape(math.prod(g.shape[:-1]), g.shape[-1])
        if x is not None and wanted[1]:
            rows = x.array if x.array.ndim == 2 else x.array.reshape(flat.shape[0], x.array.shape[-1])
            dw = wrap(MATMUL.multiply(CPU, flat.T, rows))
        if wanted[2]:
            db = wrap(SUM.kernel(CPU, flat)(flat, (0,), False, flat.dtype))
        return dx, dw, db

    def reference(self, x: Any, w: Any, b: Any = None) -> Any:
        y = x @ w.T
        return y if b is None else y + b

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(2, 5), T(2)), Case(T(3, 5), T(2, 5)), Case(T(5), T(2, 5), T(2)), Case(T(2, 3, 5), T(4, 5), T(4)),
                    Case(T(0, 5), T(2, 5), T(2)), Case(T(3, 0), T(2, 0), T(2)), Case(T(3, 5), T(5), T(), torch=False),
                    Case(T(1, 1), T(1, 1), T(1)), Case(T(37, 101), T(53, 101), T(53)))
        yield Case(T(3, 4), T(2, 5),
                   error=(RuntimeError, "linear: input has 4 features (dim 1 of (3, 4)) but weight expects 5 (dim 1 of (2, 5))"))
        yield Case(T(3, 5), T(2, 5), T(3), error=(RuntimeError, "linear: bias has shape (3,)"))
        yield Case(T(3, 5, dtype="int64"), T(2, 5), error=(RuntimeError, "linear: input is int64 but weight is float32"))
        yield Case(T(3, 5), T(2, 5, 1), error=(RuntimeError, "linear: weight must have 1 or 2 dimensions"))

    def cost(self, input: Any, weight: Any, bias: Any = None) -> tuple[float, float]:
        outputs = math.prod(input.shape[:-1]) * (weight.shape[0] if weight.ndim == 2 else 1)
        read = input.nbytes + weight.nbytes + (0 if bias is None else bias.nbytes)
        return 2.0 * outputs * input.shape[-1], float(read + outputs * input.dtype.itemsize)


def check_affine(op: str, input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """RuntimeError unless input (..., in), weight (out, in) or (in,) and bias (out,) or () fit each other."""
    x, w = input.array, weight.array
    if w.ndim not in (1, 2):
        raise RuntimeError(f"{op}: weight must have 1 or 2 dimensions, (out, in) or (in,), but its shape is {tuple(w.shape)}")
    if x.ndim == 0:
        raise RuntimeError(f"{op}: input of shape () has no dimension of features")
    if x.dtype != w.dtype:
        raise RuntimeError(f"{op}: input is {input.dtype.name} but weight is {weight.dtype.name}; convert one with .to(...)")
    if input.device is not weight.device:
        raise RuntimeError(f"{op}: input is on {input.device} but weight is on {weight.device}; move one with .to(...)")
    if x.shape[-1] != w.shape[-1]:
        raise RuntimeError(f"{op}: input has {x.shape[-1]} features (dim {x.ndim - 1} of {tuple(x.shape)}) but weight expects "
                           f"{w.shape[-1]} (dim {w.ndim - 1} of {tuple(w.shape)})")
    if bias is None:
        return
    b = bias.array
    if b.shape != w.shape[:-1] or b.dtype != x.dtype or bias.device is not input.device:
        raise RuntimeError(f"{op}: bias has shape {tuple(b.shape)} and is {bias.dtype.name} on {bias.device} but weight "
                           f"{tuple(w.shape)} of {weight.dtype.name} expects {tuple(w.shape[:-1])} of the same dtype, on {input.device}")


def _rows(t: Tensor) -> Tensor:
    """The tensor as a matrix of its last dimension."""
    if t.array.ndim == 2:
        return t
    rows = 1
    for n in t.array.shape[:-1]:
        rows *= n
    return t.reshape(rows, t.array.shape[-1])
