"""SqueezeNet. Iandola et al., arXiv:1602.07360."""
from __future__ import annotations

import functools

import tensorgrad as torch
import tensorgrad.nn as nn


class Fire(nn.Module):
    def __init__(self, inputs, squeeze, expand):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.squeeze_activation(self.squeeze(x))
        return torch.cat([self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    def __init__(self, version, num_classes=1000):
        super().__init__()
        start, kernel, pools = {"1_0": (96, 7, (2, 6)), "1_1": (64, 3, (1, 3))}[version]  # the fire modules that a pool follows
        layers = [nn.Conv2d(3, start, kernel, stride=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True)]
        channels = start
        for i, squeeze in enumerate((16, 16, 32, 32, 48, 48, 64, 64)):
            layers.append(Fire(channels, squeeze, 4 * squeeze))
            channels = 8 * squeeze
            if i in pools:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(p=0.5), nn.Conv2d(512, num_classes, 1), nn.ReLU(inplace=True),
                                        nn.AdaptiveAvgPool2d((1, 1)))

    def forward(self, x):
        return torch.flatten(self.classifier(self.features(x)), 1)


MODELS = {"squeezenet1_0": (functools.partial(SqueezeNet, "1_0"), 1_248_424, "features.3.squeeze.weight features.12.expand3x3.bias"),
          "squeezenet1_1": (functools.partial(SqueezeNet, "1_1"), 1_235_496, "features.3.squeeze.weight features.12.expand3x3.bias")}
SMALL = {"squeezenet1_1": (lambda: SqueezeNet("1_1", 5), (2, 3, 48, 40), (2, 5))}
