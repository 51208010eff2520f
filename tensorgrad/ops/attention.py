"""attention: softmax(scale q k^T + mask) v on four-dimensional heads, and its fused backward."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .. import dispatch
from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .shared.attention import HEAD_BYTES, as_read, call_of, dropout_of, holds_heads, multipliers, parts_of, scores_at_a_time, wide


def like(xp: Any, x: Any, width: int, filled: bool = False) -> Any:
    """An array of x's shape but for the last dimension, laid out in x's order of heads and positions."""
    make = xp.zeros if filled else xp.empty
    b, h, n, _ = x.shape
    if x.strides[1] < x.strides[2]:
        return make((b, n, h, width), x.dtype).transpose(0, 2, 1, 3)
    return make((b, h, n, width), x.dtype)


def grouped(x: Any, heads: int) -> Any:
    """Keys or values repeated for each head of their group."""
    return x if x.shape[1] == heads else np.repeat(x, heads // max(x.shape[1], 1), axis=1)


def weights(q: Any, k: Any, mask: Any, causal: int, scale: float) -> Any:
    """(P, lse): softmax(scale q k^T + mask) with zeros where a query sees nothing."""
    s = scale * (q @ np.swapaxes(k, -1, -2))
    if mask is not None:
        s = np.where(mask, s, -np.inf) if mask.dtype == np.bool_ else s + mask
    if causal:
        s = np.where(np.tri(*s.shape[-2:], dtype=np.bool_), s, -np.inf)
    top = s.max(axis=-1, keepdims=True, initial=-np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.exp(s - np.where(top == -np.inf, 0, top))
        total = p.sum(axis=-1, keepdims=True)
        return p / np.where(total == 0, 1, total), (top + np.log(total))[..., 0]


class Attention(Op):
    """dropout(softmax(scale q k^T + mask)) v for q (B, H, L, E), k (B, Hk, S, E), v (B, Hk, S, Ev), with Hk a divisor of H.

    `mask` broadcasts to (B, H, L, S). Scores are made, used and forgotten block by block; ln(sum exp) of each query is kept.
    Dropout multiplies the weight of query i and key j by 1 / (1 - p) where word j % 4 of Philox's block
    n + ((b H + h) L + i) ceil(S / 4) + j // 4 is below (1 - p) 2^32, else by 0; (seed, n) is `state`. Backward draws the same again.
    Called by scaled_dot_product_attention. Dao, "FlashAttention-2", arXiv:2307.08691.
    """

    name = "attention"
    function = method = False
    defaults = ("cpu/flash", "cpu/naive", "cuda/decode", "cuda/v03_flash_hopper", "cuda/v02_flash_tensor_core", "cuda/v01_flash",
                "cuda/v00_naive", "triton/decode")

    def forward(self, ctx: Node, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, is_causal: bool,
                scale: float, dropout_p: float = 0.0, state: tuple[int, int] = (0, 0)) -> Tensor:
        xp = query.device.backend.xp
        q, k, v = as_read(query.device, query.array, key.array, value.array)
        out, lse = like(xp, q, v.shape[3]), xp.empty(q.shape[:3], wide(q))
        mask = None if attn_mask is None else xp.broadcast_to(attn_mask.array, (*q.shape[:3], k.shape[2]))
        run = self.kernel(query.device, q, *call_of(query.device, q, k, v, mask, dropout_p > 0))
        run(out, lse, q, k, v, mask, int(is_causal), float(scale), *dropout_of(dropout_p, state))
        result = wrap(out, query.device)
        ctx.save(query, key, value, attn_mask, result)
        ctx.lse, ctx.options = wrap(lse, query.device), (is_causal, scale, dropout_p, state)
        return result

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        q, k, v, mask, out = ctx.saved
        return *fn.attention_backward(g, q, k, v, mask, out.detach(), ctx.lse, *ctx.options), None

    def bind(self, path: str, call: Callable[..., Any], xp: Any) -> Callable[..., Any]:
        """The kernel, with the workspace of a rung that keeps scores, or results of parts of the keys, in memory."""
        def naive(out: Any, lse: Any, q: Any, k: Any, *rest: Any) -> None:
            call(out, lse, q, k, *rest, xp.empty(scores_at_a_time(q, k), wide(q)))

        def decode(out: Any, lse: Any, q: Any, k: Any, *rest: Any) -> None:
            without_dropout = rest[:-4]
            call(out, lse, q, k, *without_dropout, xp.empty((parts_of(q, k), lse.size, out.shape[3] + 2), np.float32))

        return {"cuda/v00_naive": naive, "cuda/decode": decode, "triton/decode": decode}.get(path, call)

    def supports(self, kernel: dispatch.Kernel, *info: Any) -> str | None:
        if info and kernel.path == "cuda/v03_flash_hopper" and info[0].head > 256 and (info[0].masked or info[0].dropping):
            return "takes masks and dropout for heads of up to 256 bytes only, these have more"
        if info and kernel.rung == "decode" and info[0].dropping:
            return "has no dropout"
        return holds_heads(kernel, info[0], HEAD_BYTES) if info else None

    def suits(self, kernel: dispatch.Kernel, *info: Any) -> bool:
        return kernel.rung != "decode" or info[0].few

    @rung("cpu/naive", writes=(0, 1))
    def in_numpy(self, out: Any, lse: Any, q: Any, k: Any, v: Any, mask: Any, causal: int, scale: float, seed: int,
                 block: int, limit: int, factor: float) -> None:
        p, lse[...] = weights(q, grouped(k, q.shape[1]), mask, causal, scale)
        p *= multipliers(p.shape, seed, block, limit, factor)
        out[...] = p @ grouped(v, q.shape[1])

    def reference(self, q: Any, k: Any, v: Any, mask: Any, causal: bool, scale: float, dropout_p: float = 0.0,
                  state: tuple[int, int] = (0, 0)) -> Any:
        times = multipliers((*q.shape[:3], k.shape[2]), *dropout_of(dropout_p, state))
        out = np.zeros((*q.shape[:3], v.shape[3]))
        group = q.shape[1] // max(k.shape[1], 1)
        for b, h, i in np.ndindex(*q.shape[:3]):
            seen = np.arange(k.shape[2]) <= i if causal else np.ones(k.shape[2], bool)
            s = scale * (k[b, h // group] @ q[b, h, i])
            if mask is not None:
                m = np.broadcast_to(mask, (*q.shape[:3], k.shape[2]))[b, h, i]
                s, seen = (s, seen & m) if m.dtype == np.bool_ else (s + m, seen & (m > -np.inf))
            e = np.exp(s[seen] - s[seen].max(initial=-np.inf))
            out[b, h, i] = (e / e.sum() * times[b, h, i][seen]) @ v[b, h // group][seen] if seen.any() else 0
        return out

    def cases(self) -> Iterable[Case]:
        for b, h, hk, n, s, e, ev in ((1, 1, 1, 1, 1, 1, 1), (2, 2, 1, 3, 5, 4, 3), (1, 4, 2, 7, 4, 5, 8), (1, 1, 1, 67, 70, 17, 19),
                                      (0, 1, 1, 2, 2, 2, 2), (1, 1, 1, 0, 3, 2, 2), (1, 1, 1, 2, 0, 2, 2)):
            for causal in (False, True):
                yield Case(T(b, h, n, e), T(b, hk, s, e), T(b, hk, s, ev), None, causal, 0.4, smooth=n < 10)
        qkv = T(2, 2, 5, 4), T(2, 2, 7, 4), T(2, 2, 7, 4)
        for mask in (T(5, 7, dtype="bool"), T(2, 1, 1, 7, dtype="bool"), T(2, 1, 5, 1, grad=False), T(2, 2, 5, 7, grad=False),
                     T(values=np.zeros((5, 7), bool), dtype="bool"), T(7, grad=False)):
            yield Case(*qkv, mask, False, 0.5)
        yield Case(*qkv, T(5, 7, grad=False), True, -0.3)
        yield Case(*qkv, None, True, 0.5, 0.4, (5, 2**32 - 3), torch=False)
        yield Case(T(2, 4, 5, 4), T(2, 2, 70, 4), T(2, 2, 70, 3), T(5, 70, dtype="bool"), False, 0.5, 0.3, (2**63 + 1, 7), torch=False)
        wide = T(1, 2, 130, 64, grad=False)
        yield from (Case(wide, wide, wide, None, causal, 0.125) for causal in (False, True))
        yield Case(wide, wide, wide, T(130, 130, dtype="bool"), True, 0.125)
        yield Case(wide, wide, wide, None, True, 0.125, 0.5, (1, 2), torch=False)

    def cost(self, query: Any, key: Any, value: Any, attn_mask: Any, is_causal: bool, scale: float, *_: Any) -> tuple[float, float]:
        b, h, n, e = query.shape
        flops = 2.0 * b * h * n * key.shape[2] * (e + value.shape[3]) * (0.5 if is_causal else 1.0)
        return flops, float(query.nbytes + key.nbytes + value.nbytes + b * h * n * value.shape[3] * query.array.itemsize)
