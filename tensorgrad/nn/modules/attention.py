"""Multi-head attention."""
from __future__ import annotations

from typing import Any

from ...creation import empty
from ...ops.multi_head_attention_forward import attend
from ...tensor import Tensor
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

    def forward(self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None, need_weights: bool = True,
                attn_mask: Tensor | None = None, average_attn_weights: bool = True,
                is_causal: bool = False) -> tuple[Tensor, Tensor | None]:
        """True in a boolean mask forbids a place; a floating mask is added to the scores. `is_causal` needs `attn_mask` besides."""
        separate = None if self._qkv_same_embed_dim else (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        return attend(query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight, self.in_proj_bias, separate,
                      (self.bias_k, self.bias_v), self.add_zero_attn, self.dropout if self.training else 0.0,
                      (self.out_proj.weight, self.out_proj.bias), key_padding_mask, need_weights, attn_mask, (None, None),
                      average_attn_weights, is_causal, self.batch_first)
