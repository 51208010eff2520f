"""nn.Transformer with sinusoidal positions for translation. Vaswani et al., NeurIPS 2017."""
from __future__ import annotations

import math

import tensorgrad as torch
import tensorgrad.nn as nn


class PositionalEncoding(nn.Module):
    def __init__(self, dim, dropout, length=5000):
        super().__init__()
        den = torch.exp(-torch.arange(0, dim, 2) * math.log(10000) / dim)
        pos = torch.arange(0, length).reshape(length, 1)
        table = torch.zeros((length, dim))
        table[:, 0::2] = torch.sin(pos * den)
        table[:, 1::2] = torch.cos(pos * den)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("pos_embedding", table.unsqueeze(-2))

    def forward(self, x):
        return self.dropout(x + self.pos_embedding[:x.size(0), :])


class Seq2SeqTransformer(nn.Module):
    def __init__(self, layers, dim, heads, src_vocab, tgt_vocab, hidden, dropout=0.1, length=5000):
        super().__init__()
        self.transformer = nn.Transformer(dim, heads, layers, layers, hidden, dropout)
        self.generator = nn.Linear(dim, tgt_vocab)
        self.src_tok_emb, self.tgt_tok_emb = nn.Embedding(src_vocab, dim), nn.Embedding(tgt_vocab, dim)
        self.positional_encoding = PositionalEncoding(dim, dropout, length)
        self.scale = math.sqrt(dim)

    def forward(self, tokens):  # source and target, each (T, N), one after the other
        src, tgt = tokens.chunk(2, 0)
        mask = nn.Transformer.generate_square_subsequent_mask(tgt.size(0), device=tokens.device)
        padding = (src == 1).transpose(0, 1)
        a, b = (self.positional_encoding(e(t.long()) * self.scale) for e, t in ((self.src_tok_emb, src), (self.tgt_tok_emb, tgt)))
        floating = torch.zeros_like(padding, dtype=mask.dtype).masked_fill_(padding, float("-inf"))
        out = self.transformer(a, b, None, mask, None, floating, None, floating)
        return self.generator(out)


MODELS = {"nn_transformer": (nn.Transformer, 44_140_544, "encoder.layers.5.self_attn.in_proj_weight "
                             "decoder.layers.0.multihead_attn.out_proj.bias encoder.norm.weight decoder.norm.bias "
                             "decoder.layers.5.linear2.weight")}
SMALL = {"translation": (lambda: Seq2SeqTransformer(2, 16, 2, 9, 11, 24, 0.0, 20), ("int", 9, (10, 3)), (5, 3, 11))}
