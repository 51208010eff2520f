"""ConvNeXt. Liu et al., "A ConvNet for the 2020s", CVPR 2022."""
from __future__ import annotations

import functools

import tensorgrad as torch
import tensorgrad.nn as nn
import tensorgrad.nn.functional as F


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x):
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class Permute(nn.Module):
    def __init__(self, *dims):
        super().__init__()
        self.dims = dims

    def forward(self, x):
        return torch.permute(x, self.dims)


class CNBlock(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim, bias=True), Permute(0, 2, 3, 1), nn.LayerNorm(dim, eps=1e-6),
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim), Permute(0, 3, 1, 2))
        self.layer_scale = nn.Parameter(torch.ones(dim, 1, 1) * 1e-6)

    def forward(self, x):
        return x + self.layer_scale * self.block(x)


class ConvNeXt(nn.Module):
    def __init__(self, widths, depths, num_classes=1000):
        super().__init__()
        layers = [nn.Sequential(nn.Conv2d(3, widths[0], kernel_size=4, stride=4), LayerNorm2d(widths[0], eps=1e-6))]
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            layers.append(nn.Sequential(*[CNBlock(width) for _ in range(depth)]))
            if i + 1 < len(widths):
                layers.append(nn.Sequential(LayerNorm2d(width, eps=1e-6), nn.Conv2d(width, widths[i + 1], kernel_size=2, stride=2)))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(LayerNorm2d(widths[-1], eps=1e-6), nn.Flatten(1), nn.Linear(widths[-1], num_classes))

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)))


KEYS = "features.0.0.weight features.1.0.layer_scale features.5.8.block.5.bias features.6.1.weight classifier.0.bias classifier.2.weight"
MODELS = {"convnext_tiny": (functools.partial(ConvNeXt, (96, 192, 384, 768), (3, 3, 9, 3)), 28_589_128, KEYS),
          "convnext_small": (functools.partial(ConvNeXt, (96, 192, 384, 768), (3, 3, 27, 3)), 50_223_688, KEYS),
          "convnext_base": (functools.partial(ConvNeXt, (128, 256, 512, 1024), (3, 3, 27, 3)), 88_591_464, KEYS)}
SMALL = {"convnext": (lambda: ConvNeXt((8, 16), (1, 2), 5), (2, 3, 32, 24), (2, 5))}
