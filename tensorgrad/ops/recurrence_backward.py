"""recurrence_backward: the gradients of recurrence, step by step back through time."""
from __future__ import annotations

from typing import Any

from ..graph import Node
from ..op import Op, fn
from ..second_order import gradients_again
from ..tensor import Tensor, wrap
from .attention import wide
from .matmul import MATMUL
from .recurrence import GATES, KEPT, MODES, steps


class RecurrenceBackward(Op):
    """Those of the gradients of (gates, state, cell, weight, bias) that `needs` asks for.

    A step is one kernel (the gradients of the sums, from those of the states) and one product (with the weight, on to the step before).
    The gradients of weight and bias are one product and one sum over all steps. Its own backward differentiates the plain formula.
    """

    name = "recurrence_backward"
    function = method = False
    group = "recurrence"
    defaults = ("cuda/v00_step", "cpu/fused")
    tested_in = "tests/test_ops.py: the gradients of recurrence"

    def forward(self, ctx: Node, grad: Tensor, grad_cell: Tensor | None, gates: Tensor, state: Tensor, cell: Tensor | None, weight: Tensor,
                bias: Tensor | None, output: Tensor, memory: tuple, mode: str, reverse: bool, needs: tuple) -> tuple:
        device, xp = gates.device, gates.device.backend.xp
        out, w, start = output.array, xp.ascontiguousarray(weight.array), xp.ascontiguousarray(state.array)
        g, number, kind = xp.ascontiguousarray(grad.array), MODES.index(mode), wide(out)
        kept, cells, first = [None if m is None else m.astype(d, copy=False) for m, d in zip(memory, (out.dtype, kind, kind), strict=True)]
        dx = xp.empty(gates.array.shape, out.dtype)
        dy = xp.empty_like(dx) if mode == "gru" else None  # the state's share has another gradient only there
        sums = dx if dy is None else dy
        carry = xp.zeros(start.shape, kind) if KEPT[mode] else None
        if carry is not None and grad_cell is not None:
            carry[...] = grad_cell.array
        back, dh = xp.empty(start.shape, out.dtype), None
        order, run = steps(len(out), reverse), self.kernel(device, out)
        for t, before in reversed(order):
            h, c = (start, first) if before is None else (out[before], None if cells is None else cells[before])
            run(dx[t], None if dy is None else dy[t], carry, g[t], dh, None if kept is None else kept[t], out[t], h,
                None if cells is None else cells[t], c, number)
            dh = back
            MATMUL.multiply_into(device, dh, sums[t], w)
        made = [dx if needs[0] else None, None, None, None, None]
        if needs[1]:
            made[1] = (back + carry).astype(out.dtype) if mode == "gru" else back
        if needs[2] and carry is not None:
            made[2] = carry.astype(out.dtype)
        if needs[3]:
            made[3] = self.of_weight(device, sums, out, start, reverse)
        if needs[4]:
            made[4] = fn.sum(wrap(sums, device), (0, 1)).array
        ctx.save(grad, grad_cell, gates, state, cell, weight, bias)
        ctx.mode, ctx.reverse, ctx.wanted = mode, reverse, needs
        return tuple([wrap(m, device) for m in made if m is not None])

    @staticmethod
    def of_weight(device: Any, sums: Any, out: Any, start: Any, reverse: bool) -> Any:
        """The gradient of the weight: the sums' gradients times the states before, of the first step and of all others together."""
        width, hidden = sums.shape[2], out.shape[2]
        others, states = (sums[:-1], out[1:]) if reverse else (sums[1:], out[:-1])
        dw = MATMUL.multiply(device, sums[-1 if reverse else 0].T, start)
        if not len(others):
            return dw
        return MATMUL.multiply(device, others.reshape(-1, width).T, states.reshape(-1, hidden), dw, None, 1.0, 1.0, 0)

    def backward(self, ctx: Node, *u: Tensor) -> tuple:
        g, g_cell, *inputs = ctx.saved
        grads = (g,) if g_cell is None else (g, g_cell)

        def formula(*tensors: Any) -> tuple:
            return explicit(tensors, ctx.mode, ctx.reverse)

        d, rest = gradients_again(formula, inputs, grads, ctx.wanted, u)
        return d[0], d[1] if g_cell is not None else None, *rest, None


def explicit(tensors: Any, mode: str, reverse: bool) -> tuple:
    """The recurrence of (gates, state, cell, weight, bias) in plain operations, for second derivatives."""
    gates, state, cell, weight, bias = tensors
    outputs: dict[int, Tensor] = {}
    h, c, n = state, cell, GATES[mode]
    for t, _ in steps(gates.shape[0], reverse):
        x, y = gates[t], fn.linear(h, weight, bias)
        if mode == "lstm":
            i, f, g, o = (x + y).chunk(n, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        elif mode == "gru":
            (xr, xz, xn), (yr, yz, yn) = x.chunk(n, 1), y.chunk(n, 1)
            z, new = (xz + yz).sigmoid(), (xn + (xr + yr).sigmoid() * yn).tanh()
            h = new + z * (h - new)
        else:
            h = (x + y).tanh() if mode == "rnn_tanh" else (x + y).relu()
        outputs[t] = h
    out = fn.stack([outputs[t] for t in range(len(outputs))])
    return (out, c) if mode == "lstm" else (out,)
