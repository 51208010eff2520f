"""grouped_mm: matrix products of groups, whose sizes along one dimension are data."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..device import CPU
from ..dtypes import dtype as DType
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .matmul import MATMUL
from .shared.groups import ends_of_groups


class GroupedMm(Op):
    """The products of G groups, a (M, K) or (G, M, K) by b (K, N) or (G, K, N). Group g is what lies from offs[g - 1] to offs[g].

    a (M, K), b (G, K, N): rows of a are divided, y[i] = a[i] b[g], as tokens among the experts of a mixture; y is (M, N).
    a (G, M, K), b (K, N): columns of b are, y[:, j] = a[g] b[:, j]; y is (M, N).
    a (M, K), b (K, N): the inner dimension is, y[g] = a[:, group] b[group]; y is (G, M, N): the gradient of the experts' weights.
    a (G, M, K), b (G, K, N): nothing is, and `offs` is None; y is (G, M, N).

    `offs` (G,) of int32: where each group ends, never less than the one before. What lies beyond the last is not read, and its results
    are zeros (PyTorch leaves them unset). As in PyTorch 2.13 `bias` must be None and `out_dtype` the operands' dtype; float64, which its
    tests need, is taken here alone.
    """

    name = "grouped_mm"
    function = method = False
    functional = True
    defaults = ("cpu/slices", "cuda/v00_shared", "triton/v10_persistent", "triton/v07_double_buffered")

    def forward(self, ctx: Node, mat_a: Tensor, mat_b: Tensor, *, offs: Tensor | None = None, bias: Tensor | None = None,
                out_dtype: DType | None = None) -> Tensor:
        ends = ends_of_groups(self.name, mat_a, mat_b, offs, bias, out_dtype)
        ctx.save(mat_a, mat_b)
        ctx.offs = offs
        a, b, device = mat_a.array, mat_b.array, mat_a.device
        if ends is None:
            return wrap(MATMUL.multiply(device, a, b), device)
        shape = (a.shape[-2], b.shape[-1])
        out = device.backend.xp.empty((len(ends), *shape) if a.ndim == b.ndim else shape, a.dtype)
        run = self.kernel(device, a)
        if a.ndim == 3:  # the transposes: rows are divided
            run(out.T, b.T, a.transpose(0, 2, 1), ends)
        else:
            run(out, a, b, ends)
        return wrap(out, device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        a, b = ctx.saved
        da = fn.grouped_mm(g, b.transpose(-2, -1), offs=ctx.offs) if ctx.needs[0] else None
        db = fn.grouped_mm(a.transpose(-2, -1), g, offs=ctx.offs) if ctx.needs[1] else None
        return da, db, None, None

    @staticmethod
    @rung("cpu/slices")
    def _slices(out: Any, a: Any, b: Any, ends: Any) -> None:
        begin = 0
        if b.ndim == 2:
            out[...] = 0  # a group of nothing
        for i, end in enumerate(ends.tolist()):
            rows = slice(begin, end)
            if b.ndim == 2:
                MATMUL.multiply_into(CPU, out[i], a[:, rows], b[rows])
            elif out.strides[1] == out.itemsize:
                MATMUL.multiply_into(CPU, out[rows], a[rows], b[i])
            else:  # columns were divided
                out[rows] = MATMUL.multiply(CPU, b[i].T, a[rows].T).T
            begin = end
        if b.ndim == 3:
            out[begin:] = 0

    def reference(self, a: Any, b: Any, offs: Any = None, bias: Any = None, out_dtype: Any = None) -> Any:
        if offs is None:
            return np.matmul(a, b)
        groups = [slice(begin, end) for begin, end in zip((0, *offs), offs, strict=False)]
        if a.ndim == b.ndim:
            return np.stack([a[:, g] @ b[g] for g in groups])
        y = np.zeros((a.shape[-2], b.shape[-1]))
        for i, g in enumerate(groups):
            if b.ndim == 3:
                y[g] = a[g] @ b[i]
            else:
                y[:, g] = a[i] @ b[:, g]
        return y

    def cases(self) -> Iterable[Case]:
        def ends(*offs: int) -> T:
            return T(values=offs, dtype="int32")

        for offs in (ends(3, 3, 7), ends(0, 0, 0), ends(2, 5, 6)):
            yield Case(T(7, 5), T(3, 5, 3), offs=offs, torch=False)
            yield Case(T(3, 2, 5), T(5, 7), offs=offs, torch=False)
            yield Case(T(5, 7), T(7, 3), offs=offs, torch=False)
        yield Case(T(2, 3, 5), T(2, 5, 4), torch=False)
        yield Case(T(70, 33), T(2, 33, 37), offs=ends(33, 69), torch=False)
        yield Case(T(33, 70), T(70, 37), offs=ends(33, 69), torch=False)
        for a, b in (((0, 5), (2, 5, 3)), ((4, 0), (2, 0, 3)), ((4, 3), (2, 3, 0)), ((0, 4), (4, 3))):
            yield Case(T(*a), T(*b), offs=ends(0, a[0]) if len(b) == 3 else ends(0, 4), torch=False)
        x, y, name = T(8, 4), T(2, 4, 3), "grouped_mm: "
        for given, bias, message in ((None, None, "mat_a (8, 4) and mat_b (2, 4, 3) need offs, where each group ends"),
                                     (ends(1, 2, 8), None, "mat_a (8, 4), mat_b (2, 4, 3) and offs (3,) have 2 and 3 groups"),
                                     (T(values=[1, 8], dtype="int64"), None, "offs must be int32 of one dimension, it is int64"),
                                     (ends(1, 8), T(3), "bias is not supported, as in PyTorch")):
            yield Case(x, y, offs=given, bias=bias, error=(RuntimeError, name + message), torch=False)
        yield Case(x, y, offs=ends(5, 4), error=(IndexError, name + "offs[1] is 4, which is not from 5 to 8"), torch=False)
        yield Case(x, y, offs=ends(5, 9), error=(IndexError, name + "offs[1] is 9, which is not from 5 to 8"), torch=False)
        yield Case(T(2, 8, 4), y, offs=ends(1, 2), error=(RuntimeError, "are divided into groups already: offs must be None"), torch=False)
        yield Case(x, T(2, 8, 3), offs=ends(1, 8), error=(RuntimeError, name + "dim 1 of mat_a (8, 4) is 4 but dim 1 of mat_b (2, 8, 3)"),
                   torch=False)

    def cost(self, mat_a: Any, mat_b: Any, *, offs: Any = None, **_: Any) -> tuple[float, float]:
        a, b = mat_a.shape, mat_b.shape
        groups = len(offs) if len(a) == len(b) == 2 else a[0] if len(a) == len(b) else 1
        flops = 2.0 * a[-2] * a[-1] * b[-1] * (groups if offs is None else 1)
        return flops, float(mat_a.nbytes + mat_b.nbytes + groups * a[-2] * b[-1] * mat_a.dtype.itemsize)
