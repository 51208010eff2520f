"""MnasNet. Tan et al., CVPR 2019."""
from __future__ import annotations

import functools

import tensorgrad.nn as nn


def round_to_8(value):
    new = max(8, int(value + 4) // 8 * 8)
    return new if new >= 0.9 * value else new + 8


def norm(channels):
    return nn.BatchNorm2d(channels, momentum=1 - 0.9997)


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, expand):
        super().__init__()
        hidden = inputs * expand
        self.apply_residual = inputs == outputs and stride == 1
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, hidden, 1, bias=False), norm(hidden), nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2, stride=stride, groups=hidden, bias=False), norm(hidden),
            nn.ReLU(inplace=True), nn.Conv2d(hidden, outputs, 1, bias=False), norm(outputs))

    def forward(self, x):
        return self.layers(x) + x if self.apply_residual else self.layers(x)


class MNASNet(nn.Module):
    def __init__(self, alpha, num_classes=1000, last=1280):
        super().__init__()
        depths = [round_to_8(d * alpha) for d in (32, 16, 24, 40, 80, 96, 192, 320)]
        layers = [nn.Conv2d(3, depths[0], 3, padding=1, stride=2, bias=False), norm(depths[0]), nn.ReLU(inplace=True),
                  nn.Conv2d(depths[0], depths[0], 3, padding=1, groups=depths[0], bias=False), norm(depths[0]), nn.ReLU(inplace=True),
                  nn.Conv2d(depths[0], depths[1], 1, bias=False), norm(depths[1])]
        stages = ((3, 2, 3, 3), (5, 2, 3, 3), (5, 2, 6, 3), (3, 1, 6, 2), (5, 2, 6, 4), (3, 1, 6, 1))  # kernel, stride, expansion, count
        for inputs, outputs, (kernel, stride, expand, count) in zip(depths[1:], depths[2:], stages, strict=False):
            blocks = [InvertedResidual(inputs, outputs, kernel, stride, expand)]
            layers.append(nn.Sequential(*blocks, *[InvertedResidual(outputs, outputs, kernel, 1, expand) for _ in range(count - 1)]))
        layers += [nn.Conv2d(depths[7], last, 1, bias=False), norm(last), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(p=0.2, inplace=True), nn.Linear(last, num_classes))

    def forward(self, x):
        return self.classifier(self.layers(x).mean([2, 3]))


KEYS = "layers.0.weight layers.8.0.layers.3.weight layers.13.0.layers.7.bias layers.14.weight classifier.1.bias"
MODELS = {f"mnasnet{alpha}".replace(".", "_"): (functools.partial(MNASNet, alpha), count, KEYS)
          for alpha, count in ((0.5, 2_218_512), (0.75, 3_170_208), (1.0, 4_383_312), (1.3, 6_282_256))}
SMALL = {"mnasnet": (lambda: nn.Sequential(InvertedResidual(4, 8, 5, 2, 3), InvertedResidual(8, 8, 3, 1, 2)), (2, 4, 9, 9), (2, 8, 5, 5))}
