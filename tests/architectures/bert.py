"""BERT and DistilBERT encoders. Devlin et al., NAACL 2019; Sanh et al., arXiv:1910.01108."""
from __future__ import annotations

import math

import tensorgrad as torch
import tensorgrad.nn as nn


class BertEmbeddings(nn.Module):
    def __init__(self, vocab, dim, length, types):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab, dim, padding_idx=0)
        self.position_embeddings = nn.Embedding(length, dim)
        self.token_type_embeddings = nn.Embedding(types, dim)
        self.LayerNorm, self.dropout = nn.LayerNorm(dim, eps=1e-12), nn.Dropout(0.1)

    def forward(self, ids, types):
        places = torch.arange(ids.size(1), device=ids.device).expand_as(ids)
        x = self.word_embeddings(ids) + self.position_embeddings(places) + self.token_type_embeddings(types)
        return self.dropout(self.LayerNorm(x))


class BertSelfAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x, mask):
        q, k, v = (f(x).view(*x.shape[:2], self.heads, -1).permute(0, 2, 1, 3) for f in (self.query, self.key, self.value))
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(q.shape[-1]) + mask
        out = torch.matmul(self.dropout(nn.functional.softmax(scores, dim=-1)), v)
        return out.permute(0, 2, 1, 3).contiguous().view(x.shape)


class BertOutput(nn.Module):
    def __init__(self, inputs, dim):
        super().__init__()
        self.dense, self.LayerNorm, self.dropout = nn.Linear(inputs, dim), nn.LayerNorm(dim, eps=1e-12), nn.Dropout(0.1)

    def forward(self, hidden, x):
        return self.LayerNorm(self.dropout(self.dense(hidden)) + x)


class BertLayer(nn.Module):
    def __init__(self, dim, heads, hidden):
        super().__init__()
        self.attention = nn.ModuleDict({"self": BertSelfAttention(dim, heads), "output": BertOutput(dim, dim)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(dim, hidden)})
        self.output = BertOutput(hidden, dim)

    def forward(self, x, mask):
        x = self.attention["output"](self.attention["self"](x, mask), x)
        return self.output(nn.functional.gelu(self.intermediate["dense"](x)), x)


class BertModel(nn.Module):
    def __init__(self, vocab=30522, dim=768, layers=12, heads=12, hidden=3072, length=512, types=2):
        super().__init__()
        self.embeddings = BertEmbeddings(vocab, dim, length, types)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList([BertLayer(dim, heads, hidden) for _ in range(layers)])})
        self.pooler = nn.ModuleDict({"dense": nn.Linear(dim, dim)})

    def forward(self, ids, mask=None, types=None):
        mask = torch.ones_like(ids) if mask is None else mask
        x = self.embeddings(ids, torch.zeros_like(ids) if types is None else types)
        additive = (1.0 - mask[:, None, None, :].to(x.dtype)) * torch.finfo(x.dtype).min
        for layer in self.encoder["layer"]:
            x = layer(x, additive)
        return x, torch.tanh(self.pooler["dense"](x[:, 0]))


KEYS = "embeddings.word_embeddings.weight encoder.layer.0.attention.self.query.weight encoder.layer.11.attention.output.LayerNorm.bias " \
       "encoder.layer.5.intermediate.dense.bias encoder.layer.11.output.dense.weight pooler.dense.bias"
MODELS = {"bert_base_uncased": (BertModel, 109_482_240, KEYS)}
SMALL = {"bert": (lambda: BertModel(13, 16, 2, 2, 32, 12), ("int", 13, (2, 9)), (2, 9, 16))}
