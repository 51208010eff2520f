"""Vision Transformer. Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021."""
from __future__ import annotations

import functools
from collections import OrderedDict

import tensorgrad as torch
import tensorgrad.nn as nn


class MLP(nn.Sequential):
    def __init__(self, dim, hidden):
        super().__init__(nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(0.0), nn.Linear(hidden, dim), nn.Dropout(0.0))


class EncoderBlock(nn.Module):
    def __init__(self, heads, dim, hidden):
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(dim, heads, dropout=0.0, batch_first=True)
        self.dropout = nn.Dropout(0.0)
        self.ln_2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = MLP(dim, hidden)

    def forward(self, input):
        x = self.ln_1(input)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.dropout(x) + input
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    def __init__(self, length, layers, heads, dim, hidden):
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.empty(1, length, dim).normal_(std=0.02))
        self.dropout = nn.Dropout(0.0)
        self.layers = nn.Sequential(OrderedDict((f"encoder_layer_{i}", EncoderBlock(heads, dim, hidden)) for i in range(layers)))
        self.ln = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x):
        return self.ln(self.layers(self.dropout(x + self.pos_embedding)))


class VisionTransformer(nn.Module):
    def __init__(self, image, patch, layers, heads, dim, hidden, num_classes=1000):
        super().__init__()
        self.conv_proj = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.encoder = Encoder((image // patch) ** 2 + 1, layers, heads, dim, hidden)
        self.heads = nn.Sequential(OrderedDict(head=nn.Linear(dim, num_classes)))

    def forward(self, x):
        n = x.shape[0]
        x = self.conv_proj(x).flatten(2).permute(0, 2, 1)  # (N, patches, dim)
        x = torch.cat([self.class_token.expand(n, -1, -1), x], dim=1)
        return self.heads(self.encoder(x)[:, 0])


KEYS = "class_token conv_proj.weight encoder.pos_embedding encoder.layers.encoder_layer_11.self_attention.in_proj_weight " \
       "encoder.layers.encoder_layer_0.mlp.3.bias encoder.ln.weight heads.head.bias"
MODELS = {"vit_b_16": (functools.partial(VisionTransformer, 224, 16, 12, 12, 768, 3072), 86_567_656, KEYS),
          "vit_b_32": (functools.partial(VisionTransformer, 224, 32, 12, 12, 768, 3072), 88_224_232, KEYS),
          "vit_l_16": (functools.partial(VisionTransformer, 224, 16, 24, 16, 1024, 4096), 304_326_632, KEYS)}
SMALL = {"vit": (lambda: VisionTransformer(16, 4, 2, 2, 16, 32, 5), (2, 3, 16, 16), (2, 5))}
