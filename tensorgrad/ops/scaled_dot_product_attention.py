"""scaled_dot_product_attention: dropout(softmax(q k^T / sqrt(E) + mask)) v."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .attention_backward import explicit
from .shared.attention import reserved


class ScaledDotProductAttention(Op):
    """(M softmax(scale q k^T + mask)) v for query (..., H, L, E), key (..., Hk, S, E), value (..., Hk, S, Ev).

    The scale is 1 / sqrt(E) by default. `attn_mask` broadcasts to (..., H, L, S): True where a query may look, or a float added to the
    scores. `is_causal` lets query i see keys 0 to i, besides the mask where there is one. `enable_gqa` shares each key head among
    H / Hk query heads. A query that sees nothing gets zeros.
    M multiplies element by element: 0 with probability `dropout_p`, else 1 / (1 - dropout_p). It is a function of the default
    generator's state and of the element's place, the same on every device; `attention` says which.
    Memory grows with L + S, not L S, but for a mask that wants a gradient and second derivatives.
    Vaswani et al., "Attention is all you need", NeurIPS 2017; Dao, "FlashAttention-2", arXiv:2307.08691.
    """

    name = "scaled_dot_product_attention"
    autocast = ("lower", "lower")
    function = method = False
    functional = True
    composite = True

    def forward(self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
                is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False) -> Tensor:
        scores = check(query, key, value, attn_mask, dropout_p, enable_gqa)  # (..., H, L, S)
        lead, shape, e = scores[:-3], (*scores[:-1], value.shape[-1]), query.shape[-1]
        query, key, value = (_four_dims(t, lead) for t in (query, key, value))
        if not enable_gqa and len({t.shape[1] for t in (query, key, value)}) > 1:
            query, key, value = (t.expand(-1, scores[-3], -1, -1) for t in (query, key, value))
        if attn_mask is not None and len(lead) > 1 and attn_mask.ndim > 3:
            attn_mask = attn_mask.expand(scores).reshape(-1, *scores[-3:])
        scale = (1.0 / e**0.5 if e else 1.0) if scale is None else float(scale)
        attend = explicit if attn_mask is not None and attn_mask.requires_grad else fn.attention
        state = reserved(self.name, query.device, scores) if dropout_p else (0, 0)
        out = attend(query, key, value, attn_mask, is_causal, scale, dropout_p, state)
        return out if out.array.shape == shape else out.reshape(shape)

    def reference(self, q: Any, k: Any, v: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
                  scale: float | None = None, enable_gqa: bool = False) -> Any:
        if enable_gqa:
            k, v = (np.repeat(x, q.shape[-3] // x.shape[-3], axis=-3) for x in (k, v))
        s = (q.shape[-1] ** -0.5 if scale is None else scale) * (q @ np.swapaxes(k, -1, -2))
        if attn_mask is not None:
            s = np.where(attn_mask, s, -np.inf) if attn_mask.dtype == np.bool_ else s + attn_mask
        if is_causal:
            s = np.where(np.tri(*s.shape[-2:], dtype=np.bool_), s, -np.inf)
        e = np.exp(s - np.maximum(s.max(axis=-1, keepdims=True), -1e300))
        return (e / np.maximum(e.sum(axis=-1, keepdims=True), 1e-300)) @ v

    def cases(self) -> Iterable[Case]:
        q, k, v = T(2, 4, 5, 8), T(2, 4, 7, 8), T(2, 4, 7, 3)
        yield from (Case(q, k, v), Case(q, k, v, is_causal=True), Case(q, k, v, scale=0.7), Case(q, k, v, T(5, 7, dtype="bool")))
        yield Case(q, k, v, T(2, 1, 5, 7))  # a mask with a gradient
        yield Case(q, T(2, 2, 7, 8), T(2, 2, 7, 3), enable_gqa=True, is_causal=True)
        yield Case(T(5, 8), T(7, 8), T(7, 3), T(5, 7, grad=False))
        yield Case(T(4, 5, 8), T(4, 7, 8), T(4, 7, 3), T(1, 7, dtype="bool"))
        yield Case(T(2, 3, 2, 5, 8), T(2, 3, 2, 7, 8), T(2, 3, 2, 7, 3), T(2, 1, 1, 5, 7, grad=False))
        yield Case(T(2, 3, 5, 8), T(1, 1, 7, 8), T(1, 1, 7, 3))
        name = self.name
        yield Case(q, T(2, 4, 7, 9), v, error=(RuntimeError, f"{name}: query has size 8 (dim 3 of (2, 4, 5, 8)) but key 9 (dim 3 of"))
        yield Case(q, k, T(2, 4, 6, 3), error=(RuntimeError, f"{name}: key has 7 positions (dim 2 of (2, 4, 7, 8)) but value 6"))
        yield Case(q, T(2, 3, 7, 8), T(2, 3, 7, 3), error=(RuntimeError, f"{name}: the sizes before the last two do not broadcast"))
        yield Case(q, T(2, 3, 7, 8), T(2, 3, 7, 3), enable_gqa=True, error=(RuntimeError, "4 query heads cannot share 3 key heads"))
        yield Case(q, k, v, T(5, 6, dtype="bool"), error=(RuntimeError, "attn_mask of shape (5, 6) does not broadcast to the scores"))
        yield Case(q, k, v, T(5, 7, dtype="int64"), error=(RuntimeError, f"{name}: attn_mask must be bool or of query's dtype"))
        for p in (1.5, -0.1):
            says = f"{name}: dropout probability has to be between 0 and 1, but got {p}"
            yield Case(q, k, v, dropout_p=p, error=(ValueError, says), torch=False)
        yield Case(T(8), k, v, error=(RuntimeError, f"{name}: query needs at least 2 dimensions"))


def _four_dims(t: Tensor, lead: tuple[int, ...]) -> Tensor:
    """(B, H, L, E), with missing dimensions added and the leading ones broadcast and joined."""
    if t.ndim == 2:
        t = t.unsqueeze(0)
    if tuple(t.shape[:-3]) != lead:
        t = t.expand(*lead, *t.shape[-3:])
    return t if len(lead) == 1 else t.reshape(-1 if t.numel() else int(np.prod(lead)), *t.shape[-3:])


def check(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float, enable_gqa: bool) -> tuple[int, ...]:
    """The shape of the scores; refuses shapes, dtypes and devices that do not fit, by name."""
    op = ScaledDotProductAttention.name
    for name, t in (("query", q), ("key", k), ("value", v)):
        if t.ndim < 2:
            raise RuntimeError(f"{op}: {name} needs at least 2 dimensions, (..., positions, size), it has shape {tuple(t.shape)}")
        if not t.dtype.is_floating_point or t.dtype is not q.dtype:
            raise RuntimeError(f"{op}: query, key and value must share a floating dtype; query is {q.dtype.name}, {name} {t.dtype.name}")
        if t.device is not q.device:
            raise RuntimeError(f"{op}: query is on {q.device} but {name} on {t.device}; move one with .to(...)")
    if q.shape[-1] != k.shape[-1]:
        raise RuntimeError(f"{op}: query has size {q.shape[-1]} (dim {q.ndim - 1} of {tuple(q.shape)}) but key {k.shape[-1]} "
                           f"(dim {k.ndim - 1} of {tuple(k.shape)})")
    if k.shape[-2] != v.shape[-2]:
        raise RuntimeError(f"{op}: key has {k.shape[-2]} positions (dim {k.ndim - 2} of {tuple(k.shape)}) but value {v.shape[-2]} "
                           f"(dim {v.ndim - 2} of {tuple(v.shape)})")
    leads = [tuple(t.shape[:-2]) for t in (q, k, v)]
    if enable_gqa:
        if min(t.ndim for t in (q, k, v)) < 3 or k.shape[-3] != v.shape[-3]:
            raise RuntimeError(f"{op}: enable_gqa needs heads, the same number in key {tuple(k.shape)} and value {tuple(v.shape)}")
        if k.shape[-3] == 0 or q.shape[-3] % k.shape[-3]:
            raise RuntimeError(f"{op}: {q.shape[-3]} query heads cannot share {k.shape[-3]} key heads evenly (dim -3 of {tuple(q.shape)} "
                               f"and {tuple(k.shape)})")
        leads = [s[:-1] for s in leads]
    try:
        lead = np.broadcast_shapes(*leads)
    except ValueError:
        raise RuntimeError(f"{op}: the sizes before the last two do not broadcast: query {tuple(q.shape)}, key {tuple(k.shape)}, value "
                           f"{tuple(v.shape)}; enable_gqa=True shares key heads among query heads") from None
    if not 0.0 <= dropout_p <= 1.0:
        raise ValueError(f"{op}: dropout probability has to be between 0 and 1, but got {dropout_p}")
    scores = (*lead, *q.shape[-3 if enable_gqa else -2:-1], k.shape[-2])
    if mask is None:
        return scores
    if mask.dtype.name != "bool" and mask.dtype is not q.dtype:
        raise RuntimeError(f"{op}: attn_mask must be bool or of query's dtype {q.dtype.name}, it is {mask.dtype.name}")
    try:
        fits = np.broadcast_shapes(mask.shape, scores) == scores
    except ValueError:
        fits = False
    if not fits:
        raise RuntimeError(f"{op}: attn_mask of shape {tuple(mask.shape)} does not broadcast to the scores' {tuple(scores)}")
    return scores
