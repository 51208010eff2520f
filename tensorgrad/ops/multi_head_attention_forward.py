"""multi_head_attention_forward: what `nn.MultiheadAttention` computes, its parameters given as arguments."""
from __future__ import annotations

from typing import Any

from ..op import Op, fn
from ..tensor import Tensor


class MultiHeadAttentionForward(Op):
    """out_proj(softmax(q k^T / sqrt(D) + masks) v) in `num_heads` heads, q, k and v projected: (output, attention weights or None).

    query (L, N, E), key (S, N, kdim) and value (S, N, vdim), or without N. One `in_proj_weight` (3 E, E), or three separate ones with
    `use_separate_proj_weight`; `in_proj_bias` (3 E,). True in a boolean mask forbids a place, a floating mask is added to the scores;
    `attn_mask` is (L, S) or (N num_heads, L, S), `key_padding_mask` (N, S). `bias_k`, `bias_v` and `add_zero_attn` are further keys.
    `static_k`, `static_v` (N num_heads, S, D) stand in for the projected ones. Vaswani et al., NeurIPS 2017.
    """

    name = "multi_head_attention_forward"
    function = method = False
    functional = True
    composite = True
    group = "attention"
    tested_in = "tests/test_nn.py: MultiheadAttention"

    def forward(self, query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int, in_proj_weight: Tensor | None,
                in_proj_bias: Tensor | None, bias_k: Tensor | None, bias_v: Tensor | None, add_zero_attn: bool, dropout_p: float,
                out_proj_weight: Tensor, out_proj_bias: Tensor | None, training: bool = True, key_padding_mask: Tensor | None = None,
                need_weights: bool = True, attn_mask: Tensor | None = None, use_separate_proj_weight: bool = False,
                q_proj_weight: Tensor | None = None, k_proj_weight: Tensor | None = None, v_proj_weight: Tensor | None = None,
                static_k: Tensor | None = None, static_v: Tensor | None = None, average_attn_weights: bool = True,
                is_causal: bool = False) -> Any:
        separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
        return attend(query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, separate, (bias_k, bias_v),
                      add_zero_attn, dropout_p if training else 0.0, (out_proj_weight, out_proj_bias), key_padding_mask, need_weights,
                      attn_mask, (static_k, static_v), average_attn_weights, is_causal)


def attend(query: Tensor, key: Tensor, value: Tensor, features: int, num_heads: int, in_proj_weight: Tensor | None,
           in_proj_bias: Tensor | None, separate: Any, bias_kv: Any, add_zero_attn: bool, p: float, out_proj: Any,
           key_padding_mask: Tensor | None, need_weights: bool, attn_mask: Tensor | None, static: Any, average_attn_weights: bool,
           is_causal: bool, batch_first: bool = False) -> tuple[Tensor, Tensor | None]:
    """The same with (N, L, E) instead of (L, N, E) where `batch_first` says so; the masks do not change."""
    name, batched = "multi_head_attention_forward", query.ndim == 3
    if is_causal and attn_mask is None:
        raise RuntimeError(f"{name}: is_causal is a hint that attn_mask is the causal mask; pass attn_mask too")
    if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
        raise ValueError(f"{name}: query, key and value must all have 2 or all 3 dimensions, they have shapes {tuple(query.shape)}, "
                         f"{tuple(key.shape)}, {tuple(value.shape)}")
    if query.shape[-1] != features or features % num_heads:
        raise ValueError(f"{name}: query has {query.shape[-1]} features, expected {features}, divisible by {num_heads} heads")
    q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias, separate)
    if not batched:
        q, k, v = (fn.unsqueeze(t, 0) for t in (q, k, v))
        key_padding_mask = None if key_padding_mask is None else fn.unsqueeze(key_padding_mask, 0)
    elif not batch_first:
        q, k, v = (fn.transpose(t, 0, 1) for t in (q, k, v))  # (N, L, E)
    n, length, width = q.shape
    depth = width // num_heads
    added = 0  # places that masks do not know of
    if bias_kv[0] is not None and bias_kv[1] is not None:
        k, v = (fn.cat([t, fn.expand(b, n, 1, width)], 1) for t, b in zip((k, v), bias_kv, strict=True))
        added += 1
    q, k, v = (fn.transpose(fn.reshape(t, n, t.shape[1], num_heads, depth), 1, 2) for t in (q, k, v))  # (N, H, L, D)
    k, v = (t if s is None else fn.reshape(s, n, num_heads, -1, depth) for t, s in zip((k, v), static, strict=True))
    if add_zero_attn:
        k, v = fn.pad(k, (0, 0, 0, 1)), fn.pad(v, (0, 0, 0, 1))
        added += 1
    mask = _mask(attn_mask, key_padding_mask, q, k.shape[2], added)
    weights = None
    if need_weights:
        scores = q @ fn.transpose(k, -2, -1) * depth**-0.5
        weights = fn.softmax(scores if mask is None else scores + mask, -1)  # (N, H, L, S)
        weights = fn.dropout(weights, p) if p else weights
        out = weights @ v
        weights = weights.mean(1) if average_attn_weights else weights
        weights = weights if batched else fn.squeeze(weights, 0)
    else:
        out = fn.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=p)
    turned = batched and not batch_first
    out = fn.reshape(fn.permute(out, (2, 0, 1, 3) if turned else (0, 2, 1, 3)), *((length, n) if turned else (n, length)), width)
    out = fn.linear(out, *out_proj)
    return (out if batched else fn.squeeze(out, 0)), weights


def _projected(query: Tensor, key: Tensor, value: Tensor, weight: Tensor | None, bias: Tensor | None, separate: Any) -> Any:
    """The three inputs through their projections; one product where they are the same tensor."""
    if separate is None and query is key and key is value:
        return fn.chunk(fn.linear(query, weight, bias), 3, -1)
    if separate is None and weight is None:
        raise ValueError("multi_head_attention_forward: in_proj_weight is None; pass it, or three weights and use_separate_proj_weight")
    weights = separate if separate is not None else fn.chunk(weight, 3, 0)
    biases = fn.chunk(bias, 3, 0) if bias is not None else (None,) * 3
    for what, x, w in zip(("query", "key", "value"), (query, key, value), weights, strict=True):
        if w is None or x.shape[-1] != w.shape[1]:
            raise ValueError(f"multi_head_attention_forward: {what} has {x.shape[-1]} features, its projection "
                             f"{'is None' if w is None else f'takes {w.shape[1]}'}")
    return [fn.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]


def _mask(attn_mask: Tensor | None, key_padding_mask: Tensor | None, q: Tensor, places: int, added: int) -> Tensor | None:
    """Both masks as one that is added to the scores, (N or 1, H or 1, L, S)."""
    (n, heads, length, _), known, total = q.shape, places - added, None
    if attn_mask is not None:
        wanted = ((length, known), (n * heads, length, known))
        if tuple(attn_mask.shape) not in wanted:
            raise RuntimeError(f"multi_head_attention_forward: attn_mask has shape {tuple(attn_mask.shape)}, expected {wanted[0]} or "
                               f"{wanted[1]}")
        total = fn.reshape(_additive(attn_mask, q), *((1, 1) if attn_mask.ndim == 2 else (n, heads)), length, known)
    if key_padding_mask is not None:
        if tuple(key_padding_mask.shape) != (n, known):
            raise RuntimeError(f"multi_head_attention_forward: key_padding_mask has shape {tuple(key_padding_mask.shape)}, expected "
                               f"{(n, known)}")
        padding = fn.reshape(_additive(key_padding_mask, q), n, 1, 1, known)
        total = padding if total is None else total + padding
    return fn.pad(total, (0, added)) if added and total is not None else total


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype.is_floating_point:
        return mask.to(like.dtype)
    return like.new_zeros(mask.shape).masked_fill_(mask.bool(), float("-inf"))
