"""What the normalisations share: checking their arguments, and the formula of their gradients in ops."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ... import dtypes
from ...dispatch import Kernel
from ...op import fn
from ...tensor import Tensor

_HALF = (dtypes.float16, dtypes.bfloat16)


def check_parameter(op: str, name: str, t: Tensor | None, shape: Sequence[int], input: Tensor) -> None:
    """Refuse a weight, bias or statistic of another shape, device or dtype (float32 beside a half-precision input is fine)."""
    if t is None:
        return
    if t.array.shape != tuple(shape):
        raise RuntimeError(f"{op}: {name} has shape {tuple(t.array.shape)} but input of shape {tuple(input.array.shape)} "
                           f"needs {tuple(shape)}")
    if t.device is not input.device:
        raise RuntimeError(f"{op}: {name} is on {t.device} but input is on {input.device}")
    if t.array.dtype != input.array.dtype and not (input.dtype in _HALF and t.dtype is dtypes.float32):
        raise RuntimeError(f"{op}: {name} is {t.dtype.name} but input is {input.dtype.name}; convert one with .to(...)")


def check_eps(op: str, eps: float) -> float:
    """`eps` as a float; RuntimeError unless it is a number >= 0."""
    value = float(eps)
    if not value >= 0:
        raise RuntimeError(f"{op}: eps must not be negative, got {eps}")
    return value


def normalized(op: str, input: Tensor, normalized_shape: Sequence[int]) -> tuple[tuple[int, ...], int, int]:
    """(normalized_shape as a tuple, rows, elements a row); it must be how the input's shape ends."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(int(s) for s in normalized_shape)
    full = input.array.shape
    if not shape or len(shape) > len(full) or full[len(full) - len(shape):] != shape:
        raise RuntimeError(f"{op}: normalized_shape {shape} is not how the shape {tuple(full)} of input ends")
    return shape, math.prod(full[: len(full) - len(shape)]), math.prod(shape)


def row_bytes(x: Any, n: int) -> int:
    """The bytes of a row in the dtype it is computed in, rounded up to whole 16 kB: what the choice of a rung depends on."""
    return -(-n * max(x.dtype.itemsize, 4) // 16384) * 16384


def holds_row(kernel: Kernel, size: int, most: int) -> str | None:
    """Why the registers of a block do not hold a row of this many bytes."""
    too_long = kernel.path == "cuda/v02_persistent" and size > most
    return f"holds rows of up to {most} bytes in the dtype they are computed in, these have more" if too_long else None


def dtype_of_gradient(kind: Any, x: Any) -> Any:
    """Of what dtype a kernel writes a gradient: the input's, or what is asked for beside half precision, where float32 may stand."""
    return kind if x.dtype.itemsize == 2 else x.dtype


def flat(t: Tensor | None, xp: Any) -> Any:
    """A parameter as one contiguous line; None stays None."""
    return None if t is None else xp.ascontiguousarray(t.array).reshape(-1)


def gradient_formula(g: Tensor, x: Tensor, w: Tensor | None, dims: Sequence[int], eps: float, *,
                     centred: bool = True) -> tuple[Tensor, Tensor]:
    """(dx, g * xhat) of y = xhat * w with xhat = (x - mean) / sqrt(var + eps) over `dims`; `w` broadcasts against x.

    dx = rstd (gw - mean(gw) - xhat mean(gw xhat)) with gw = g w; without centring, mean(gw) and the mean of x stay out.
    """
    d = list(dims)
    centred_x = x - fn.mean(x, d, True) if centred else x
    rstd = fn.rsqrt(fn.mean(centred_x * centred_x, d, True) + eps)
    xhat = centred_x * rstd
    gw = g if w is None else g * w
    inner = gw - xhat * fn.mean(gw * xhat, d, True)
    if centred:
        inner = inner - fn.mean(gw, d, True)
    return rstd * inner, g * xhat
