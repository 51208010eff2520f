"""ctc_alignments and its gradient: the forward-backward recursion behind ctc_loss."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap


class CTCAlignments(Op):
    """-ln of what all paths through the states have together, (N,), for `log_probs` (T, N, C).

    `states` (N, L) are classes, `skips` says which of them may follow the one two before, `lengths` and `sizes` (N,) how many steps and
    labels each row has. alpha_t(s), what the paths that are in state s at step t have by then, is a sum of up to three of step t - 1;
    all rows and states of a step at once, in float64.
    """

    name = "ctc_alignments"
    function = method = False
    tested_in = "tests/test_ctc.py"

    def forward(self, ctx: Node, log_probs: Tensor, states: Any, skips: Any, lengths: Any, sizes: Any, zero_infinity: bool) -> Tensor:
        xp = log_probs.device.backend.xp
        shares = _of_states(xp, log_probs.array, states)
        length, rows, _ = shares.shape
        alpha = xp.full(shares.shape, -np.inf)
        if length:
            alpha[0, :, :2] = shares[0, :, :2]
        for t in range(1, length):
            alpha[t] = shares[t] + _steps(xp, alpha[t - 1], skips)
        total = xp.where(sizes == 0, 0.0, -np.inf)  # of no steps
        if length:
            row = xp.arange(rows)
            last = alpha[xp.maximum(lengths - 1, 0), row]
            ends = xp.logaddexp(last[row, 2 * sizes], xp.where(sizes > 0, last[row, xp.maximum(2 * sizes - 1, 0)], -np.inf))
            total = xp.where(lengths > 0, ends, total)
        ctx.save(log_probs)
        ctx.memory = (alpha, total, states, skips, lengths, sizes, zero_infinity)
        return wrap((-total).astype(log_probs.array.dtype), log_probs.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (log_probs,) = ctx.saved
        return fn.ctc_alignments_backward(g, log_probs, ctx.memory)


class CTCAlignmentsBackward(Op):
    """g (e^log_probs - the share of the paths that are in each class at each step), (T, N, C).

    beta_t(s), what the paths from state s at step t on have, mirrors alpha; alpha + beta counts step t twice.
    """

    name = "ctc_alignments_backward"
    function = method = False
    tested_in = "tests/test_ctc.py"

    def forward(self, ctx: Node, g: Tensor, log_probs: Tensor, memory: Any) -> Tensor:
        alpha, total, states, skips, lengths, sizes, zero_infinity = memory
        xp, x = g.device.backend.xp, log_probs.array
        shares = _of_states(xp, x, states)
        length, rows, count = shares.shape
        s, row, fits = xp.arange(count), xp.arange(rows), xp.isfinite(total)[:, None]  # (N, 1)
        ends = ((s == 2 * sizes[:, None]) | (s == 2 * sizes[:, None] - 1))  # (N, L)
        mirrored = xp.zeros_like(skips)
        mirrored[:, 2:] = skips[:, ::-1][:, :-2]  # whether the state two later may follow
        beta = xp.full((rows, count), -np.inf)
        grad = xp.exp(x.astype(np.float64))
        for t in range(length - 1, -1, -1):
            after = _steps(xp, beta[:, ::-1], mirrored)[:, ::-1]
            beta = shares[t] + xp.where((lengths == t + 1)[:, None], xp.where(ends, 0.0, -np.inf), after)
            both = xp.exp(alpha[t] + beta - xp.where(fits, shares[t] + xp.where(fits, total[:, None], 0.0), 0.0))
            for k in range(count):  # one state of each row at a time: states of one class add up in order
                grad[t, row, states[:, k]] -= both[:, k]
        grad = xp.where(fits, grad, 0.0 if zero_infinity else np.nan)
        grad = xp.where((xp.arange(length)[:, None] < lengths)[..., None], grad, 0.0)
        return wrap((grad * g.array[:, None].astype(np.float64)).astype(x.dtype), g.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        raise NotImplementedError("ctc_loss: there are no second derivatives")


def _of_states(xp: Any, log_probs: Any, states: Any) -> Any:
    """The log-probability of each state's class, (T, N, L), in float64."""
    wide = log_probs.astype(np.float64)
    return xp.take_along_axis(wide, xp.broadcast_to(states, (len(wide), *states.shape)), 2)


def _steps(xp: Any, before: Any, skips: Any) -> Any:
    """ln of the sum over what stays, what comes from one state before, and from two before where that may be."""
    moved = xp.full((2, *before.shape), -np.inf)
    moved[0, :, 1:] = before[:, :-1]
    moved[1, :, 2:] = before[:, :-2]
    return xp.logaddexp(xp.logaddexp(before, moved[0]), xp.where(skips, moved[1], -np.inf))
