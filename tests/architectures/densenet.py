"""DenseNet. Huang et al., "Densely connected convolutional networks", CVPR 2017."""
from __future__ import annotations

import functools
from collections import OrderedDict

import tensorgrad as torch
import tensorgrad.nn as nn
import tensorgrad.nn.functional as F


class DenseLayer(nn.Module):
    def __init__(self, inputs, growth, bn_size):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(inputs, bn_size * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bn_size * growth)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(bn_size * growth, growth, 3, padding=1, bias=False)

    def forward(self, features):
        x = self.conv1(self.relu1(self.norm1(torch.cat(features, 1))))
        return self.conv2(self.relu2(self.norm2(x)))


class DenseBlock(nn.ModuleDict):
    def __init__(self, count, inputs, growth, bn_size):
        super().__init__()
        for i in range(count):
            self.add_module(f"denselayer{i + 1}", DenseLayer(inputs + i * growth, growth, bn_size))

    def forward(self, x):
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, 1)


class DenseNet(nn.Module):
    def __init__(self, growth=32, blocks=(6, 12, 24, 16), start=64, bn_size=4, num_classes=1000):
        super().__init__()
        self.features = nn.Sequential(OrderedDict([
            ("conv0", nn.Conv2d(3, start, 7, 2, 3, bias=False)), ("norm0", nn.BatchNorm2d(start)), ("relu0", nn.ReLU(inplace=True)),
            ("pool0", nn.MaxPool2d(3, 2, 1))]))
        channels = start
        for i, count in enumerate(blocks):
            self.features.add_module(f"denseblock{i + 1}", DenseBlock(count, channels, growth, bn_size))
            channels += count * growth
            if i < len(blocks) - 1:
                self.features.add_module(f"transition{i + 1}", nn.Sequential(OrderedDict([
                    ("norm", nn.BatchNorm2d(channels)), ("relu", nn.ReLU(inplace=True)),
                    ("conv", nn.Conv2d(channels, channels // 2, 1, bias=False)), ("pool", nn.AvgPool2d(2, 2))])))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x):
        x = F.relu(self.features(x), inplace=True)
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))


KEYS = "features.denseblock1.denselayer1.norm1.weight features.transition3.conv.weight features.norm5.running_mean classifier.bias"
MODELS = {
    "densenet121": (DenseNet, 7_978_856, KEYS),
    "densenet161": (functools.partial(DenseNet, 48, (6, 12, 36, 24), 96), 28_681_000, KEYS),
    "densenet169": (functools.partial(DenseNet, 32, (6, 12, 32, 32)), 14_149_480, KEYS),
    "densenet201": (functools.partial(DenseNet, 32, (6, 12, 48, 32)), 20_013_928, KEYS),
}
SMALL = {"densenet": (lambda: DenseNet(4, (2, 2), 8, 2, 5), (2, 3, 48, 48), (2, 5))}
