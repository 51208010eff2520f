"""RegNet X and Y. Radosavovic et al., "Designing network design spaces", CVPR 2020."""
from __future__ import annotations

import functools
import math
from collections import OrderedDict

import tensorgrad.nn as nn


def conv_norm(inputs, outputs, kernel=3, stride=1, groups=1, activation=True):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if activation else []))


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, squeeze):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(channels, squeeze, 1), nn.Conv2d(squeeze, channels, 1)
        self.activation, self.scale_activation = nn.ReLU(), nn.Sigmoid()

    def forward(self, x):
        return self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x))))) * x


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, group_width, squeeze):
        super().__init__()
        self.proj = conv_norm(inputs, outputs, 1, stride, activation=False) if inputs != outputs or stride != 1 else None
        parts = OrderedDict(a=conv_norm(inputs, outputs, 1), b=conv_norm(outputs, outputs, 3, stride, outputs // group_width))
        if squeeze:
            parts["se"] = SqueezeExcitation(outputs, round(0.25 * inputs))
        parts["c"] = conv_norm(outputs, outputs, 1, activation=False)
        self.f, self.activation = nn.Sequential(parts), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.activation((x if self.proj is None else self.proj(x)) + self.f(x))


def stage_widths(depth, start, slope, factor, group_width):
    """The widths u_j = w_0 + w_a j, snapped to w_0 w_m^k and to multiples of 8: [(width, blocks of it), ...]."""
    widths = []
    for j in range(depth):
        step = round(math.log((start + slope * j) / start) / math.log(factor))
        widths.append(round(start * factor**step / 8) * 8)
    kept = sorted(set(widths))
    return [((w + g // 2) // g * g, widths.count(w)) for w, g in ((w, min(group_width, w)) for w in kept)]


class RegNet(nn.Module):
    def __init__(self, depth, start, slope, factor, group_width, squeeze=False, num_classes=1000, stem=32):
        super().__init__()
        self.stem, channels, stages = conv_norm(3, stem, stride=2), stem, OrderedDict()
        for i, (width, count) in enumerate(stage_widths(depth, start, slope, factor, group_width)):
            blocks = [(f"block{i + 1}-{j}", Block(width if j else channels, width, 1 if j else 2, min(group_width, width), squeeze))
                      for j in range(count)]
            stages[f"block{i + 1}"] = nn.Sequential(OrderedDict(blocks))
            channels = width
        self.trunk_output, self.avgpool, self.fc = nn.Sequential(stages), nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(channels, num_classes)

    def forward(self, x):
        return self.fc(self.avgpool(self.trunk_output(self.stem(x))).flatten(start_dim=1))


KEYS = "stem.0.weight trunk_output.block1.block1-0.proj.0.weight trunk_output.block4.block4-1.f.c.1.bias fc.bias"
MODELS = {"regnet_y_400mf": (functools.partial(RegNet, 16, 48, 27.89, 2.09, 8, True), 4_344_144,
                             KEYS + " trunk_output.block2.block2-0.f.se.fc1.bias"),
          "regnet_x_400mf": (functools.partial(RegNet, 22, 24, 24.48, 2.54, 16), 5_495_976, KEYS)}
SMALL = {"regnet": (lambda: nn.Sequential(Block(8, 16, 2, 4, True), Block(16, 16, 1, 8, False)), (2, 8, 9, 7), (2, 16, 5, 4))}
