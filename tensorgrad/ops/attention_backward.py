"""attention_backward: the gradients of attention, from the saved ln(sum exp) of each query."""
from __future__ import annotations

from typing import Any

import numpy as np

from .. import dispatch
from ..autograd import grad
from ..grad_mode import enable_grad
from ..graph import MODE, Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .attention import grouped, like, weights
from .shared.attention import as_read, call_of, dropout_of, holds_heads, multipliers, wide

HEAD_BYTES = {"cuda/v01_flash": (1024, 512), "cuda/v02_flash_tensor_core": (512, 256), "cuda/v03_flash_hopper": (256, 0),
              "triton/v01_flash": (256, 256), "triton/v02_flash_tensor_core": (256, 256)}  # as in attention

QUERIES = 64  # rows of the blocks in csrc/cpu/attention_tile.h


class AttentionBackward(Op):
    """(dq, dk, dv): P = exp(scale q k^T + mask - lse); dv = P^T g; dS = P (g v^T - rowsum(g out)); dq = scale dS k; dk = scale dS^T q.

    With dropout, M being 1 / (1 - p) for a weight that attention keeps and 0 for others: dv = (P M)^T g; dS = P (M g v^T - rowsum(g out)).

    Its own backward differentiates the plain formula, with all scores in memory.
    """

    name = "attention_backward"
    function = method = False
    group = "attention"
    tested_in = "tests/test_attention.py"  # its arguments depend on each other
    defaults = ("cpu/flash", "cpu/naive", "cuda/v03_flash_hopper", "cuda/v02_flash_tensor_core", "cuda/v01_flash")

    def forward(self, ctx: Node, grad: Tensor, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, output: Tensor,
                lse: Tensor, is_causal: bool, scale: float, dropout_p: float = 0.0, state: tuple[int, int] = (0, 0)) -> tuple:
        device, xp = query.device, query.device.backend.xp
        q, k, v = as_read(device, query.array, key.array, value.array)
        g = grad.array if grad.array.strides[-1] == grad.array.itemsize else xp.ascontiguousarray(grad.array)
        dq, dk, dv = (like(xp, x, x.shape[3], True) for x in (q, k, v))
        b, h, n, e = q.shape
        blocks = b * h * ((n + QUERIES - 1) // QUERIES)
        workspace = xp.empty(blocks * QUERIES * (e + v.shape[3] + 2) + QUERIES, wide(q))
        mask = None if attn_mask is None else xp.broadcast_to(attn_mask.array, (b, h, n, k.shape[2]))
        run = self.kernel(device, q, *call_of(device, q, k, v, mask, dropout_p > 0, g))
        run(dq, dk, dv, workspace, g, q, k, v, output.array, lse.array, mask, int(is_causal), float(scale),
            *dropout_of(dropout_p, state))
        ctx.save(grad, query, key, value, attn_mask)
        ctx.options = is_causal, scale, dropout_p, state
        return wrap(dq, device), wrap(dk, device), wrap(dv, device)

    def backward(self, ctx: Node, *u: Tensor) -> tuple:
        g, q, k, v, mask = ctx.saved
        record = MODE.enabled
        with enable_grad():
            # Aliases, so that only the explicit dependence counts where one of these tensors was made from another.
            g, q, k, v = [t.reshape(tuple(t.shape)) if record and t.tracked else t.detach().requires_grad_() for t in (g, q, k, v)]
            first = grad(explicit(q, k, v, mask, *ctx.options), [q, k, v], g, create_graph=True)
            second = grad([d for d in first if d is not None], [g, q, k, v], u, create_graph=record, materialize_grads=True)
        return *second, None, None, None

    def supports(self, kernel: dispatch.Kernel, *info: Any) -> str | None:
        return holds_heads(kernel, info[0], HEAD_BYTES) if info else None

    @rung("cpu/naive", writes=(0, 1, 2, 3))
    def in_numpy(self, dq: Any, dk: Any, dv: Any, workspace: Any, g: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, mask: Any,
                 causal: int, scale: float, seed: int, block: int, limit: int, factor: float) -> None:
        p, _ = weights(q, grouped(k, q.shape[1]), mask, causal, scale)
        m = multipliers(p.shape, seed, block, limit, factor).astype(p.dtype)
        ds = p * (m * (g @ np.swapaxes(grouped(v, q.shape[1]), -1, -2)) - (g * out).sum(axis=-1, keepdims=True)) * scale
        dq[...] = ds @ grouped(k, q.shape[1])
        dk[...] = _group_sum(np.swapaxes(ds, -1, -2) @ q, k)
        dv[...] = _group_sum(np.swapaxes(p * m, -1, -2) @ g, v)

    def reference(self, g: Any, q: Any, k: Any, v: Any, mask: Any, out: Any, lse: Any, causal: bool, scale: float,
                  dropout_p: float = 0.0, state: tuple[int, int] = (0, 0)) -> Any:
        """Query by query; `out` and `lse` follow from the other arguments."""
        dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
        group = q.shape[1] // k.shape[1]
        m = multipliers((*q.shape[:3], k.shape[2]), *dropout_of(dropout_p, state))
        for b, h, i in np.ndindex(*q.shape[:3]):
            kb, vb = k[b, h // group], v[b, h // group]
            s = scale * (kb @ q[b, h, i]) + (0 if mask is None else np.broadcast_to(mask, (*q.shape[:3], len(kb)))[b, h, i])
            if causal:
                s[i + 1:] = -np.inf
            p = np.exp(s - s.max())
            p /= p.sum()
            dp = m[b, h, i] * (vb @ g[b, h, i])
            ds = p * (dp - p @ dp) * scale
            dq[b, h, i] = ds @ kb
            dk[b, h // group] += np.outer(ds, q[b, h, i])
            dv[b, h // group] += np.outer(p * m[b, h, i], g[b, h, i])
        return dq, dk, dv

    def cost(self, grad: Any, query: Any, key: Any, value: Any, attn_mask: Any, output: Any, lse: Any, is_causal: bool,
             scale: float, *_: Any) -> tuple[float, float]:
        flops, moved = fn.attention.op.cost(query, key, value, attn_mask, is_causal, scale)
        return 2.5 * flops, 2.0 * moved


def _group_sum(x: Any, like: Any) -> Any:
    """Gradients of repeated heads, summed over each group."""
    b, h, n, e = x.shape
    return x if h == like.shape[1] else x.reshape(b, like.shape[1], -1, n, e).sum(axis=2)


def explicit(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool, scale: float, dropout_p: float = 0.0,
             state: tuple[int, int] = (0, 0)) -> Tensor:
    """Attention in plain operations, with all scores in memory: for second derivatives and gradients of a mask."""
    b, h, n, _ = q.shape
    group = h // max(k.shape[1], 1)
    if group > 1:
        k, v = (t.unsqueeze(2).expand(b, t.shape[1], group, *t.shape[2:]).reshape(b, h, *t.shape[2:]) for t in (k, v))
    scores = (q * scale) @ k.transpose(-1, -2)  # (B, H, L, S)
    hidden = None
    if mask is not None and mask.dtype.is_floating_point:
        scores = scores + mask
        hidden = wrap(np.isneginf(mask.array.astype(np.float64)), q.device)
    elif mask is not None:
        hidden = ~mask
    if is_causal:
        later = wrap(~np.tri(n, k.shape[2], dtype=np.bool_), q.device)
        hidden = later if hidden is None else hidden | later
    if hidden is None:
        p = fn.softmax(scores, -1)
    else:
        hidden = hidden.expand(tuple(scores.shape))
        empty = wrap(hidden.array.all(axis=-1, keepdims=True), q.device)  # queries that see nothing get zeros
        p = fn.softmax(fn.where(empty, 0.0, fn.where(hidden, float("-inf"), scores)), -1)
        p = fn.where(empty, 0.0, p)
    if dropout_p:
        keys = p.shape[-1]  # a query's random numbers are whole blocks of four
        p = fn.drop.op.scaled("attention", fn.pad(p, (0, -keys % 4)), dropout_p, True, False, state=state).narrow(-1, 0, keys)
    return p @ v
