"""recurrence: a layer of recurrent cells over a whole sequence, given its input's share of the gates."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .attention import wide
from .matmul import MATMUL

MODES = ("rnn_tanh", "rnn_relu", "lstm", "gru")  # in the order of csrc/core/formulas/cells.h
GATES = dict(zip(MODES, (1, 1, 4, 3), strict=True))
KEPT = dict(zip(MODES, (0, 0, 4, 4), strict=True))  # numbers of a unit that backward needs beside the states


def steps(length: int, reverse: bool) -> list[tuple[int, int | None]]:
    """(step, the one before it or None) in the order they are taken."""
    order = range(length - 1, -1, -1) if reverse else range(length)
    return list(zip(order, [None, *order], strict=False))


class Recurrence(Op):
    """Output (T, N, H), and for "lstm" the last cell (N, H), of a layer whose input gave `gates` = x W_ih^T + b_ih, (T, N, G H).

    With state h (N, H), weight (G H, H), bias (G H,) or None, y_t = h_{t-1} weight^T + bias, and * element by element:
        rnn_tanh, rnn_relu   h = tanh(x + y), relu(x + y)
        lstm                 i, f, o = sigmoid(x + y), g = tanh(x + y); c = f * c + i * g; h = o * tanh(c);       gates i, f, g, o
        gru                  r, z = sigmoid(x + y), n = tanh(x_n + r * y_n); h = (1 - z) * n + z * h;            gates r, z, n
    A step is one product and one kernel. `reverse` goes from the last step to the first.
    Hochreiter and Schmidhuber, "Long short-term memory", 1997; Cho et al., arXiv:1406.1078, with PyTorch's place for r.
    """

    name = "recurrence"
    autocast = ("lower", "lower")
    function = method = False
    defaults = ("cuda/v00_step", "cpu/fused")

    def forward(self, ctx: Node, gates: Tensor, state: Tensor, cell: Tensor | None, weight: Tensor, bias: Tensor | None, mode: str,
                reverse: bool = False) -> tuple:
        check(gates, state, cell, weight, bias, mode)
        device, xp = gates.device, gates.device.backend.xp
        length, rows, width = gates.array.shape
        hidden, number = state.array.shape[1], MODES.index(mode)
        x, w, start = (xp.ascontiguousarray(t.array) for t in (gates, weight, state))
        keep = ctx.edges is not None
        out, kind = xp.empty((length, rows, hidden), x.dtype), wide(x)
        kept = xp.empty((length, rows, KEPT[mode] * hidden), x.dtype) if keep and KEPT[mode] else None
        cells = None if cell is None else xp.empty((length if keep else 1, rows, hidden), kind)
        first = None if cell is None else xp.ascontiguousarray(cell.array.astype(kind, copy=False))
        shares, run = xp.empty((rows, width), x.dtype), self.kernel(device, x)
        for t, before in steps(length, reverse):
            h = start if before is None else out[before]
            MATMUL.multiply_into(device, shares, h, w.T, *(() if bias is None else (None, bias.array, 1.0, 1.0, 0)))
            at, past = None, first
            if cells is not None:
                at, past = cells[t if keep else 0], first if before is None else cells[before if keep else 0]
            run(out[t], at, None if kept is None else kept[t], x[t], shares, h, past, number)
        ctx.save(gates, state, cell, weight, bias, result := wrap(out, device))
        ctx.memory, ctx.mode, ctx.reverse = (kept, cells, first), mode, reverse
        if cells is None:
            return (result,)
        return result, wrap(cells[(0 if reverse else length - 1) if keep else 0].astype(x.dtype), device)

    def backward(self, ctx: Node, g: Tensor, g_cell: Tensor | None = None) -> tuple:
        *inputs, out = ctx.saved
        made = iter(fn.recurrence_backward(g, g_cell, *inputs, out.detach(), ctx.memory, ctx.mode, ctx.reverse, ctx.needs))
        return tuple([next(made) if need else None for need in ctx.needs])

    def reference(self, x: Any, h: Any, c: Any, w: Any, b: Any, mode: str, reverse: bool = False) -> Any:
        def sigmoid(v: Any) -> Any:
            return 1 / (1 + np.exp(-v))

        out = np.empty((len(x), *h.shape))
        for t in range(len(x))[::-1 if reverse else 1]:
            y = h @ w.T + (0 if b is None else b)
            if mode == "lstm":
                i, f, g, o = np.split(x[t] + y, 4, 1)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            elif mode == "gru":
                (xr, xz, xn), (yr, yz, yn) = np.split(x[t], 3, 1), np.split(y, 3, 1)
                z, n = sigmoid(xz + yz), np.tanh(xn + sigmoid(xr + yr) * yn)
                h = (1 - z) * n + z * h
            else:
                h = np.tanh(x[t] + y) if mode == "rnn_tanh" else np.maximum(x[t] + y, 0)
            out[t] = h
        return (out, c) if mode == "lstm" else (out,)

    def cases(self) -> Iterable[Case]:
        for mode, n in GATES.items():
            for (length, rows, hidden), reverse, biased in (((3, 2, 3), False, True), ((2, 3, 5), True, False), ((1, 1, 1), False, True),
                                                            ((2, 2, 16), True, True), ((2, 0, 3), False, True), ((2, 5, 19), False, True)):
                small = length * rows * hidden <= 30
                yield Case(T(length, rows, n * hidden, grad=small), T(rows, hidden, grad=small),
                           T(rows, hidden, grad=small) if mode == "lstm" else None, T(n * hidden, hidden, low=-1, high=1, grad=small),
                           T(n * hidden, grad=small) if biased else None, mode, reverse)
        good = (T(3, 2, 8), T(2, 2), T(2, 2), T(8, 2), None)
        yield Case(*good, "elman", error=(ValueError, "recurrence: there is no mode 'elman'; there are rnn_tanh, rnn_relu, lstm, gru"))
        yield Case(*good[:2], None, *good[3:], "lstm", error=(RuntimeError, "recurrence: lstm needs a cell state"))
        yield Case(*good[:3], T(8, 3), None, "lstm",
                   error=(RuntimeError, "recurrence: weight has shape (8, 3), lstm with 2 units needs (8, 2)"))
        yield Case(T(0, 2, 8), *good[1:], "lstm", error=(RuntimeError, "recurrence: the sequence has no steps"))

    def cost(self, gates: Any, state: Any, cell: Any, weight: Any, *args: Any, **kwargs: Any) -> tuple[float, float]:
        length, rows, width = gates.shape
        moved = gates.nbytes + length * state.nbytes + 2 * state.nbytes + weight.nbytes
        return 2.0 * length * rows * width * state.shape[1], float(moved)


def check(gates: Tensor, state: Tensor, cell: Tensor | None, weight: Tensor, bias: Tensor | None, mode: str) -> None:
    """Refuse an unknown mode, tensors that do not fit each other, a sequence of no steps."""
    if mode not in MODES:
        raise ValueError(f"recurrence: there is no mode {mode!r}; there are {', '.join(MODES)}")
    if state.ndim != 2 or gates.ndim != 3:
        raise RuntimeError(f"recurrence: gates must be (T, N, gates x H) and state (N, H), they are {tuple(gates.shape)} and "
                           f"{tuple(state.shape)}")
    if (cell is not None) != (mode == "lstm"):
        raise RuntimeError(f"recurrence: {mode} {'needs a' if mode == 'lstm' else 'has no'} cell state")
    rows, hidden = state.array.shape
    width = GATES[mode] * hidden
    wanted: Sequence[tuple[str, Tensor | None, tuple]] = (
        ("gates", gates, (gates.shape[0], rows, width)), ("cell", cell, (rows, hidden)), ("weight", weight, (width, hidden)),
        ("bias", bias, (width,)))
    for name, t, shape in wanted:
        if t is not None and tuple(t.shape) != shape:
            raise RuntimeError(f"recurrence: {name} has shape {tuple(t.shape)}, {mode} with {hidden} units needs {shape}")
        if t is not None and (t.dtype is not state.dtype or t.device is not state.device):
            raise RuntimeError(f"recurrence: {name} is {t.dtype.name} on {t.device} but the state is {state.dtype.name} on {state.device}")
    if not gates.shape[0]:
        raise RuntimeError("recurrence: the sequence has no steps")
