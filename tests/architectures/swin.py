"""Swin Transformer. Liu et al., ICCV 2021."""
from __future__ import annotations

import functools

import tensorgrad as torch
import tensorgrad.nn as nn
import tensorgrad.nn.functional as F


class Permute(nn.Module):
    def __init__(self, *dims):
        super().__init__()
        self.dims = dims

    def forward(self, x):
        return x.permute(*self.dims)


class PatchMerging(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(4 * dim)

    def forward(self, x):  # (B, H, W, C)
        x = torch.cat([x[..., 0::2, 0::2, :], x[..., 1::2, 0::2, :], x[..., 0::2, 1::2, :], x[..., 1::2, 1::2, :]], -1)
        return self.reduction(self.norm(x))


class ShiftedWindowAttention(nn.Module):
    def __init__(self, dim, window, shift, heads):
        super().__init__()
        self.window, self.shift, self.heads = window, shift, heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        coords = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        relative = (coords[:, :, None] - coords[:, None, :]).permute(1, 2, 0) + (window - 1)
        self.register_buffer("relative_position_index", (relative[..., 0] * (2 * window - 1) + relative[..., 1]).flatten())

    def forward(self, x):
        n, height, width, dim = x.shape
        w, count = self.window, self.window**2
        shift = 0 if w >= height else self.shift
        if shift:
            x = torch.roll(x, shifts=(-shift, -shift), dims=(1, 2))
        x = x.view(n, height // w, w, width // w, w, dim).permute(0, 1, 3, 2, 4, 5).reshape(-1, count, dim)  # (N windows, count, dim)
        q, k, v = self.qkv(x).reshape(-1, count, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        attn = (q * (dim // self.heads) ** -0.5) @ k.transpose(-2, -1)
        bias = self.relative_position_bias_table[self.relative_position_index].view(count, count, -1).permute(2, 0, 1).contiguous()
        attn = attn + bias.unsqueeze(0)
        if shift:
            region = x.new_zeros((height, width))
            cuts = ((0, -w), (-w, -shift), (-shift, None))
            for i, (a, b) in enumerate(cuts):
                for j, (c, d) in enumerate(cuts):
                    region[a:b, c:d] = 3 * i + j
            region = region.view(height // w, w, width // w, w).permute(0, 2, 1, 3).reshape(-1, count)
            apart = region.unsqueeze(1) - region.unsqueeze(2)
            mask = apart.masked_fill(apart != 0, -100.0).masked_fill(apart == 0, 0.0)
            attn = attn.view(n, -1, self.heads, count, count) + mask.unsqueeze(1).unsqueeze(0)
            attn = attn.view(-1, self.heads, count, count)
        x = F.softmax(attn, dim=-1).matmul(v).transpose(1, 2).reshape(-1, count, dim)
        x = self.proj(x).view(n, height // w, width // w, w, w, dim).permute(0, 1, 3, 2, 4, 5).reshape(n, height, width, dim)
        return torch.roll(x, shifts=(shift, shift), dims=(1, 2)) if shift else x


class SwinBlock(nn.Module):
    def __init__(self, dim, heads, window, shift):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = ShiftedWindowAttention(dim, window, shift, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(0.0), nn.Linear(4 * dim, dim), nn.Dropout(0.0))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class SwinTransformer(nn.Module):
    def __init__(self, dim, depths, heads, window=7, num_classes=1000):
        super().__init__()
        layers = [nn.Sequential(nn.Conv2d(3, dim, 4, 4), Permute(0, 2, 3, 1), nn.LayerNorm(dim))]
        for i, (depth, h) in enumerate(zip(depths, heads, strict=True)):
            layers.append(nn.Sequential(*[SwinBlock(dim * 2**i, h, window, 0 if j % 2 == 0 else window // 2) for j in range(depth)]))
            if i < len(depths) - 1:
                layers.append(PatchMerging(dim * 2**i))
        self.features = nn.Sequential(*layers)
        last = dim * 2 ** (len(depths) - 1)
        self.norm, self.permute = nn.LayerNorm(last), Permute(0, 3, 1, 2)
        self.avgpool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten(1)
        self.head = nn.Linear(last, num_classes)

    def forward(self, x):
        return self.head(self.flatten(self.avgpool(self.permute(self.norm(self.features(x))))))


KEYS = "features.0.0.weight features.1.0.attn.relative_position_bias_table features.1.1.attn.relative_position_index " \
       "features.2.reduction.weight features.7.1.mlp.3.bias norm.weight head.bias"
MODELS = {"swin_t": (functools.partial(SwinTransformer, 96, (2, 2, 6, 2), (3, 6, 12, 24)), 28_288_354, KEYS),
          "swin_s": (functools.partial(SwinTransformer, 96, (2, 2, 18, 2), (3, 6, 12, 24)), 49_606_258, KEYS)}
SMALL = {"swin": (lambda: SwinTransformer(8, (2, 2), (2, 4), 4, 5), (2, 3, 32, 32), (2, 5))}
