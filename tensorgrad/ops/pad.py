"""pad: more elements at the ends of dimensions."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..arguments import is_number
from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap

MODES = ("constant", "reflect", "replicate", "circular")


class Pad(Op):
    """`pad` = (left, right) of the last dim, then of the one before it, and so on; negative numbers crop.

    mode "constant" fills with `value` (0 by default), "reflect" mirrors without repeating the edge (pad < size), "replicate" repeats
    the edge, "circular" wraps around (pad <= size). RuntimeError where a pad does not fit.
    """

    name = "pad"
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
        shape = input.array.shape
        pads = tuple([int(p) for p in pad])
        if len(pads) % 2 or len(pads) > 2 * len(shape):
            raise RuntimeError(f"pad: {len(pads)} numbers {pads} for a tensor of {len(shape)} dimensions of shape {tuple(shape)}; "
                               "give two for each dim, the last dim first")
        if mode not in MODES:
            raise NotImplementedError(f"pad: mode {mode!r} is none of {', '.join(MODES)}")
        for k in range(len(pads) // 2):
            d, low, high = len(shape) - 1 - k, pads[2 * k], pads[2 * k + 1]
            if shape[d] + low + high < 0:
                raise RuntimeError(f"pad: ({low}, {high}) leaves a negative size in dim {d} of {tuple(shape)}")
        if mode == "constant":
            return fn.pad_constant(input, pads, 0.0 if value is None else value)
        if value is not None:
            raise ValueError(f"pad: value is for mode 'constant' only, not for {mode!r}")
        if mode == "circular" and min(pads, default=0) < 0:  # what is cropped does not come back
            input = fn.pad_constant(input, tuple([min(p, 0) for p in pads]), 0.0)
            shape, pads = input.array.shape, tuple([max(p, 0) for p in pads])
        for k in range(len(pads) // 2):
            d = len(shape) - 1 - k
            if pads[2 * k] or pads[2 * k + 1]:
                index = self._places(mode, d, shape, pads[2 * k], pads[2 * k + 1])
                input = fn.index_select(input, d, wrap(input.device.backend.constant(index), input.device))
        return input

    def _places(self, mode: str, d: int, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
        n = shape[d]
        limit = {"reflect": n - 1, "circular": n}.get(mode)
        if n == 0 or (limit is not None and max(low, high) > limit):
            raise RuntimeError(f"pad: mode {mode!r} can add at most {max(limit or 0, 0)} at each end of dim {d} of size {n} in "
                               f"{tuple(shape)}, got ({low}, {high})")
        i = np.arange(-low, n + high)
        if mode == "circular":
            return i % n
        if mode == "replicate":
            return i.clip(0, n - 1)
        return np.where(i < 0, -i, np.where(i >= n, 2 * (n - 1) - i, i))

    def reference(self, x: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
        if not pad:
            return x
        widths = [(0, 0)] * (x.ndim - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
        grown = [(max(a, 0), max(b, 0)) for a, b in widths]
        kind = {"reflect": "reflect", "replicate": "edge", "circular": "wrap", "constant": "constant"}[mode]
        fill: dict[str, Any] = {"constant_values": value or 0} if mode == "constant" else {}
        y = np.pad(x, grown, mode=kind, **fill)  # type: ignore[call-overload]
        return y[tuple(slice(max(-a, 0), y.shape[d] - max(-b, 0)) for d, (a, b) in enumerate(widths))]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), (1, 2)), Case(T(3, 5), (1, 0, 2, 3), value=1.5), Case(T(2, 3, 5), [0, -2, -1, 1]), Case(T(3), ()))
        yield Case(T(0, 3), (1, 1))
        yield from (Case(T(2, 3, 5), (2, 1), mode="reflect"), Case(T(1, 2, 4, 5), (2, 4, 3, 1), "reflect"))
        yield Case(T(2, 3, 5), (7, 1), "replicate")
        yield from (Case(T(1, 2, 4, 5), (2, 5, 4, 1), "circular"), Case(T(1, 2, 4, 5), (-1, 2, 0, 1), "replicate"))
        yield Case(T(3, 5), (1,), error=(RuntimeError, "pad: 1 numbers (1,) for a tensor of 2 dimensions"))
        yield Case(T(3, 5), (-3, -3), error=(RuntimeError, "pad: (-3, -3) leaves a negative size in dim 1 of (3, 5)"))
        yield Case(T(2, 3, 5), (5, 0), "reflect",
                   error=(RuntimeError, "pad: mode 'reflect' can add at most 4 at each end of dim 2 of size 5"))
        yield Case(T(3, 5), (1, 1), "mirror", error=(NotImplementedError, "pad: mode 'mirror' is none of constant"))


class PadConstant(Op):
    """`pad` in mode "constant"."""

    name = "pad_constant"
    function = method = False

    def forward(self, ctx: Node, input: Tensor, pad: tuple[int, ...], value: float) -> Tensor:
        x = input.array
        if not is_number(value):
            raise TypeError(f"pad: value must be a number, not a {type(value).__name__}")
        lead = x.ndim - len(pad) // 2
        widths = [(0, 0)] * lead + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
        shape = tuple([n + a + b for n, (a, b) in zip(x.shape, widths, strict=True)])
        xp = input.device.backend.xp
        out = xp.full(shape, value, x.dtype) if value else xp.zeros(shape, x.dtype)
        inside = tuple([slice(max(a, 0), m - max(b, 0)) for m, (a, b) in zip(shape, widths, strict=True)])
        kept = tuple([slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True)])
        out[(*inside, ...)] = x[kept]
        ctx.pad = pad
        return wrap(out, input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.pad_constant(g, tuple([-p for p in ctx.pad]), 0.0)

    def reference(self, x: Any, pad: Any, value: Any) -> Any:
        return Pad.reference(self, x, pad, "constant", value)  # type: ignore[arg-type]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), (1, -2, -1, 3), 2.0), Case(T(), (), 1.0))
