"""Multi-head attention."""
from __future__ import annotations

from typing import Any

from ...creation import empty
from ...op import fn
from ...tensor import Tensor
from .. import functional as F
from .. import init
from ..parameter import Parameter
from .linear import NonDynamicallyQuantizableLinear
from .module import Module


class MultiheadAttention(Module):
    """softmax(q k^T / sqrt(D)) v in `num_heads` heads, with projections before and after. Vaswani et al., NeurIPS 2017.

    query (L, N, E), key (S, N, kdim), value (S, N, vdim); (N, L, E) ... with `batch_first`; (L, E) ... without a batch.
    Returns the output and, with `need_weights`, the attention weights (N, L, S), averaged over the heads or not.
    """

    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
                 add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
                 device: Any = None, dtype: Any = None):
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ValueError(f"MultiheadAttention: embed_dim {embed_dim} must be divisible by num_heads {num_heads}, both positive")
        make = {"device": device, "dtype": dtype}
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim, self.vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        separate = {"q_proj_weight": embed_dim, "k_proj_weight": self.kdim, "v_proj_weight": self.vdim}
        for name, width in separate.items():
            self.register_parameter(name, None if self._qkv_same_embed_dim else Parameter(empty(embed_dim, width, **make)))
        joint = self._qkv_same_embed_dim
        self.register_parameter("in_proj_weight", Parameter(empty(3 * embed_dim, embed_dim, **make)) if joint else None)
        self.register_parameter("in_proj_bias", Parameter(empty(3 * embed_dim, **make)) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, **make)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, Parameter(empty(1, 1, embed_dim, **make)) if add_bias_kv else None)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The three inputs through their projections; one product where they are the same tensor."""
        e, bias = self.embed_dim, self.in_proj_bias
        if self._qkv_same_embed_dim and query is key and key is value:
            return F.linear(query, self.in_proj_weight, bias).chunk(3, -1)
        if self._qkv_same_embed_dim:
            weights = self.in_proj_weight.chunk(3, 0)
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        biases = bias.chunk(3, 0) if bias is not None else (None,) * 3
        if query.shape[-1] != e or key.shape[-1] != self.kdim or value.shape[-1] != self.vdim:
            raise ValueError(f"MultiheadAttention: the last dims of query, key and value are {query.shape[-1]}, {key.shape[-1]}, "
                             f"{value.shape[-1]}; expected {e}, {self.kdim}, {self.vdim}")
        q, k, v = (F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True))
        return q, k, v

    def forward(self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None, need_weights: bool = True,
                attn_mask: Tensor | None = None, average_attn_weights: bool = True,
                is_causal: bool = False) -> tuple[Tensor, Tensor | None]:
        """True in a boolean mask forbids a place; a floating mask is added to the scores. `is_causal` needs `attn_mask` besides."""
        if is_causal and attn_mask is None:
            raise RuntimeError("MultiheadAttention: is_causal is a hint that attn_mask is the causal mask; pass attn_mask too")
        batched = query.ndim == 3
        if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
            raise ValueError(f"MultiheadAttention: query, key and value must all have 2 or all 3 dimensions, they have shapes "
                             f"{tuple(query.shape)}, {tuple(key.shape)}, {tuple(value.shape)}")
        q, k, v = self._project(query, key, value)
        if not batched:
            q, k, v = q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0)
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            q, k, v = q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)  # (N, L, E)
        n, length = q.shape[0], q.shape[1]
        added = 0  # places that masks do not know of
        if self.bias_k is not None and self.bias_v is not None:
            k = fn.cat([k, self.bias_k.expand(n, 1, self.embed_dim)], 1)
            v = fn.cat([v, self.bias_v.expand(n, 1, self.embed_dim)], 1)
            added += 1
        if self.add_zero_attn:
            zero = k.new_zeros((n, 1, self.embed_dim))
            k, v = fn.cat([k, zero], 1), fn.cat([v, zero], 1)
            added += 1
        q, k, v = (x.reshape(n, x.shape[1], self.num_heads, self.head_dim).transpose(1, 2) for x in (q, k, v))  # (N, H, L, D)
        mask = self._mask(attn_mask, key_padding_mask, q, k.shape[2], added)
        p = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = q @ k.transpose(-2, -1) * self.head_dim**-0.5
            weights = F.softmax(scores if mask is None else scores + mask, -1)  # (N, H, L, S)
            weights = F.dropout(weights, p) if p else weights
            out = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights if batched else weights.squeeze(0)
        else:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=p)
        out = self.out_proj(out.transpose(1, 2).reshape(n, length, self.embed_dim))  # (N, L, E)
        if not batched:
            return out.squeeze(0), weights
        return (out if self.batch_first else out.transpose(0, 1)), weights

    def _mask(self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, q: Tensor, places: int, added: int) -> Tensor | None:
        """Both masks as one that is added to the scores, (N or 1, H or 1, L, S)."""
        n, length, known = q.shape[0], q.shape[2], places - added
        total = None
        if attn_mask is not None:
            wanted = ((length, known), (n * self.num_heads, length, known))
            if tuple(attn_mask.shape) not in wanted:
                raise RuntimeError(f"MultiheadAttention: attn_mask has shape {tuple(attn_mask.shape)}, expected {wanted[0]} or {wanted[1]}")
            shape = (1, 1, length, known) if attn_mask.ndim == 2 else (n, self.num_heads, length, known)
            total = self._additive(attn_mask, q).reshape(shape)
        if key_padding_mask is not None:
            if tuple(key_padding_mask.shape) != (n, known):
                raise RuntimeError(f"MultiheadAttention: key_padding_mask has shape {tuple(key_padding_mask.shape)}, expected {(n, known)}")
            padding = self._additive(key_padding_mask, q).reshape(n, 1, 1, known)
            total = padding if total is None else total + padding
        return F.pad(total, (0, added)) if added and total is not None else total

    @staticmethod
    def _additive(mask: Tensor, like: Tensor) -> Tensor:
        if mask.dtype.is_floating_point:
            return mask.to(like.dtype)
        return like.new_zeros(mask.shape).masked_fill_(mask.bool(), float("-inf"))
