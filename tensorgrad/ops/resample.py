"""resample: weighted sums along the last two dims; average pooling and interpolation are made of it."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dispatch import Kernel
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .shared.windows import Taps, adaptive_taps, average_taps, channels_last, empty_like, laid_out, supports


class Resample(Op):
    """y = R x C^T over the last two dims, with sparse matrices `rows` (HO, H) and `cols` (WO, W); None leaves a dim as it is.

    Linear: its gradient is itself with the matrices transposed, to any order.
    """

    name = "resample"
    function = method = False
    defaults = ("cpu/taps", "cpu/numpy", "cuda/v01_channels_last", "cuda/v02_tile", "cuda/v00_direct",
                "triton/v01_channels_last", "triton/v00_direct")

    def forward(self, ctx: Node, input: Tensor, rows: Taps | None, cols: Taps | None) -> Tensor:
        x = input.array
        for taps, n in ((rows, x.shape[-2]), (cols, x.shape[-1])):
            if taps is not None and taps.columns != n:
                raise RuntimeError(f"resample: a matrix with {taps.columns} columns does not fit a dim of {n} in {tuple(x.shape)}")
        xp = input.device.backend.xp
        h, w = (x.shape[-2] if rows is None else rows.rows), (x.shape[-1] if cols is None else cols.rows)
        kernel = self.chosen(input.device, x, channels_last(x))
        y = empty_like(kernel, x, (*x.shape[:-2], h, w), x.dtype, xp)
        kernel.run(laid_out(kernel, y, xp), laid_out(kernel, x, xp), *self._arrays(rows, input.device), *self._arrays(cols, input.device))
        ctx.rows, ctx.cols = rows, cols
        return wrap(y, input.device)

    @staticmethod
    def _arrays(taps: Taps | None, device: Any) -> tuple:
        return (None, None, None) if taps is None else taps.arrays(device)

    @staticmethod
    @rung("cpu/numpy")
    def dense(y: Any, x: Any, *taps: Any) -> None:
        """With the matrices written out: two products, easy to read and slow."""
        (rows, cols) = (None if start is None else Taps(n, start, source, weight).dense()
                        for n, (start, source, weight) in ((x.shape[1], taps[:3]), (x.shape[2], taps[3:])))
        x = x if rows is None else np.einsum("oh,phw->pow", rows, x)
        y[...] = x if cols is None else np.einsum("ow,phw->pho", cols, x)

    def supports(self, kernel: Kernel, last: bool = True) -> str | None:
        return supports(kernel, last)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.resample(g, None if ctx.rows is None else ctx.rows.transposed, None if ctx.cols is None else ctx.cols.transposed)

    def reference(self, x: Any, rows: Any, cols: Any) -> Any:
        x = x if rows is None else np.swapaxes(np.swapaxes(x, -1, -2) @ rows.dense().T, -1, -2)
        return x if cols is None else x @ cols.dense().T

    def cases(self) -> Iterable[Case]:
        pool, edges, odd = average_taps(20, 10, 2, 2, 0, True, False), average_taps(23, 12, 3, 2, 1, True, False), adaptive_taps(7, 3)
        yield from (Case(T(2, 7, 20), odd, pool), Case(T(2, 23, 7), edges, None), Case(T(3, 5, 23), None, edges))
        yield from (Case(T(0, 7, 7), odd, odd), Case(T(7, 7), odd, odd.transposed if odd.rows == 7 else odd))
        yield Case(T(1, 10, 12), pool.transposed, edges.transposed)
        yield Case(T(2, 3, 5), None, odd, error=(RuntimeError, "resample: a matrix with 7 columns does not fit a dim of 5"))

    def cost(self, input: Any, rows: Any, cols: Any) -> tuple[float, float]:
        h, w = input.shape[-2:]
        ho, wo = (h if rows is None else rows.rows), (w if cols is None else cols.rows)
        planes = float(np.prod(input.shape[:-2]))
        flops = (0 if rows is None else 2 * len(rows.source) * w) + (0 if cols is None else 2 * len(cols.source) * ho)
        return planes * flops, planes * (h * w + ho * wo) * input.dtype.itemsize
