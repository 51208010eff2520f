"""matmul: z = x @ y, of vectors, matrices and batches of matrices."""
from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..device import CPU
from ..dispatch import Kernel
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .shared.product import check_operands, for_blas, has_rows, kind_of, summed, with_parts

_INTEGERS = "int64 int32 int16 int8 uint8"


class Matmul(Op):
    """The matrix product z[..., m, n] = sum over k of x[..., m, k] y[..., k, n].

    A vector on the left is a row, on the right a column, and its dimension is missing from the result. Dimensions before the
    last two are batches and broadcast. Both operands have one dtype; integers multiply in that dtype and wrap around.
    """

    name = "matmul"
    autocast = ("lower", "lower")
    operators = ("__matmul__", "__rmatmul__")
    defaults = ("cpu/packed", "cpu/openblas", "cpu/numpy", "cuda/gemv", "cuda/split_k",
                "cuda/v09_hopper", "cuda/v08_tensor_core", "cuda/v07_double_buffered", "cuda/v02_shared",
                "triton/split_k", "triton/v10_persistent", "triton/v09_hopper", "triton/v08_tensor_core", "triton/v07_double_buffered")

    def forward(self, ctx: Node, input: Tensor, other: Tensor) -> Tensor:
        x, y = input.array, other.array
        check_operands(self.name, input, other)
        if ctx.edges is not None:
            ctx.save(input if ctx.edges[1] else None, other if ctx.edges[0] else None)
            ctx.shapes = (x.shape, y.shape)
        return wrap(self.multiply(input.device, x, y), input.device)

    def multiply(self, device: Any, x: Any, y: Any, *after: Any) -> Any:
        """The product of two arrays whose shapes fit; `after` it what gemm's kernels take: C0, bias, alpha, beta, activation."""
        xp = device.backend.xp
        if x.ndim == 2 and y.ndim == 2:
            out = xp.empty((x.shape[0], y.shape[1]), x.dtype)
            self.multiply_into(device, out, x, y, *after)
            return out
        row, column = x.ndim == 1, y.ndim == 1
        if row:
            x = x[None]
        if column:
            y = y[:, None]
        if after and (row or column):  # the product gets a dimension, so what is added to it does
            new = (..., None) if column else (..., None, slice(None))
            after = (*(a if a is None or a.ndim < len(new) - 1 else a[new] for a in after[:2]), *after[2:])
        if y.ndim == 2 and x.ndim > 2 and x.flags.c_contiguous and not has_rows(after):  # one tall product, not a batch of short ones
            out = xp.empty((*x.shape[:-1], y.shape[1]), x.dtype)
            rows = math.prod(x.shape[:-1])
            tall, x = out.reshape(rows, y.shape[1]), x.reshape(rows, x.shape[-1])
            self.multiply_into(device, tall, x, y, *after)
        else:
            batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
            out = xp.empty((*batch, x.shape[-2], y.shape[-1]), x.dtype)
            self.multiply_into(device, out, x, y, *after)
        if row:
            out = out[..., 0, :]
        return out[..., 0] if column else out

    def multiply_into(self, device: Any, out: Any, x: Any, y: Any, *after: Any) -> None:
        """The same for matrices, or batches of them, into an array that is there."""
        op = fn.gemm.op if after else self
        op.kernel_for(device, out, x)(out, x, y, *after)

    def kernel_for(self, device: Any, out: Any, x: Any) -> Callable[..., Any]:
        """The kernel for a product of this size: on a GPU the best rung depends on it."""
        return self.kernel(device, x) if device is CPU else self.kernel(device, x, kind_of(out, x))

    def bind(self, path: str, call: Callable[..., Any], xp: Any) -> Callable[..., Any]:
        return functools.partial(with_parts, call, xp) if path.endswith("/split_k") else call

    def suits(self, kernel: Kernel, *kind: str) -> bool:
        if kernel.rung in ("gemv", "split_k"):
            return kind == (kernel.rung,)
        return not kernel.rung.endswith("tf32")  # only where it is asked for

    @staticmethod
    @rung("cpu/openblas")
    def _openblas(out: Any, x: Any, y: Any) -> None:
        np.matmul(for_blas(x), for_blas(y), out=out)

    @staticmethod
    @rung("cpu/numpy", _INTEGERS)
    def _numpy(xp: Any, out: Any, x: Any, y: Any) -> None:
        out[...] = xp.matmul(x, y)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, y = ctx.saved
        return self.gradients(g, x, y, ctx.shapes, ctx.edges)

    def gradients(self, g: Tensor, x: Any, y: Any, shapes: Any, wanted: Any) -> tuple:
        """Of a product with operands of these shapes, those that are wanted: g y^T and x^T g."""
        left, right = len(shapes[0]), len(shapes[1])
        if left == 1:
            g = g.unsqueeze(-1 if right == 1 else -2)
        if right == 1:
            g = g.unsqueeze(-1)
        dx = dy = None
        if wanted[0]:
            y = y.unsqueeze(0) if right == 1 else fn.transpose(y, -2, -1)
            dx = summed(fn.matmul(g, y), shapes[0])
        if wanted[1]:
            if right <= 2 < left:  # y was shared by the batch: the sum over the batch is one product
                rows = math.prod(x.array.shape[:-1])
                x, g = x.reshape(rows, x.array.shape[-1]), g.reshape(rows, g.array.shape[-1])
            x = x.unsqueeze(-1) if left == 1 else fn.transpose(x, -2, -1)
            dy = summed(fn.matmul(x, g), shapes[1])
        return dx, dy

    def reference(self, x: Any, y: Any) -> Any:
        return np.dot(x, y) if x.ndim <= 2 and y.ndim <= 2 else np.matmul(x, y)

    def cases(self) -> Iterable[Case]:
        for x, y in (
            ((3, 5), (5, 2)), ((1, 1), (1, 1)), ((7, 13), (13, 11)), ((5,), (5,)), ((5,), (5, 3)), ((3, 5), (5,)), ((2, 3, 5), (5, 2)),
            ((2, 3, 5), (5,)), ((5,), (2, 5, 3)), ((3, 5), (2, 5, 2)), ((2, 1, 3, 4), (3, 4, 2)), ((4, 2, 3), (4, 3, 2)),
            ((0, 5), (5, 3)), ((3, 0), (0, 2)), ((3, 5), (5, 0)), ((0, 2, 3), (3, 4)), ((0, 2, 3), (0, 3, 4)), ((0,), (0,)),
            ((2, 3, 0), (0,)), ((1, 3, 2), (5, 2, 3)), ((33, 70), (70, 49)),
        ):
            yield Case(T(*x), T(*y))
        yield Case(T(3, 4, dtype="int64", low=-9, high=9), T(4, 2, dtype="int64", low=-9, high=9))
        yield Case(T(2, 3), T(4, 5), error=(RuntimeError, "matmul: dim 1 of (2, 3) is 3 but dim 0 of (4, 5) is 4"))
        yield Case(T(2, 3), T(4), error=(RuntimeError, "matmul: dim 1 of (2, 3) is 3 but dim 0 of (4,) is 4"))
        yield Case(T(2, 2, 3), T(5, 3, 2), error=(RuntimeError, "matmul: the batches of (2, 2, 3) and (5, 3, 2) do not broadcast"))
        yield Case(T(), T(3), error=(RuntimeError, "matmul: input of shape () has no dimension"))
        yield Case(T(2, 2), T(2, 2, dtype="int64"), error=(RuntimeError, "matmul: input is float32 but other is int64"))

    def cost(self, input: Any, other: Any) -> tuple[float, float]:
        x, y = input.shape, other.shape
        m, n = x[-2] if len(x) > 1 else 1, y[-1] if len(y) > 1 else 1
        batch = int(np.prod(np.broadcast_shapes(x[:-2], y[:-2])))
        moved = input.nbytes + other.nbytes + batch * m * n * input.dtype.itemsize
        return 2.0 * batch * m * n * x[-1], float(moved)


MATMUL: Any = fn.matmul.op
