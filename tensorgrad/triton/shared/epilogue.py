"""What follows a sum of products on its way to memory: y = act(alpha sum + beta D + E), in float32, rounded once.

The addends D and E are matrices or None; one that is broadcast has steps of 0.
"""
from __future__ import annotations

import triton.language as tl

from ..runtime import device_function


@device_function
def activate(x, ACTIVATION: tl.constexpr):
    # The numbers of ops/gemm.py: none, relu, gelu, gelu_tanh, silu.
    if ACTIVATION == 1:
        return tl.where(x < 0.0, 0.0, x)  # NaN stays NaN
    elif ACTIVATION == 2:
        return 0.5 * x * (1.0 + tl.erf(x * 0.70710678118654752))
    elif ACTIVATION == 3:
        return x / (1.0 + tl.exp(-x * (1.5957691216057308 + 0.07135481627260025 * x * x)))
    elif ACTIVATION == 4:
        return x / (1.0 + tl.exp(-x))
    else:
        return x


@device_function
def finished(total, D, E, row, column, there, dm, dn, em, en, alpha, beta, ACTIVATION: tl.constexpr):
    # alpha is None where there is nothing to do but to store
    if alpha is not None:
        total = total * alpha
        if D is not None:
            d = tl.load(D + row.to(tl.int64)[:, None] * dm + column.to(tl.int64)[None, :] * dn, mask=there, other=0.0)
            total += beta * d.to(tl.float32)
        if E is not None:
            e = tl.load(E + row.to(tl.int64)[:, None] * em + column.to(tl.int64)[None, :] * en, mask=there, other=0.0)
            total += e.to(tl.float32)
        total = activate(total, ACTIVATION)
    return total
