"""EfficientNet. Tan and Le, ICML 2019."""
from __future__ import annotations

import functools
import math

import tensorgrad as torch
import tensorgrad.nn as nn

# expansion, kernel, stride, inputs, outputs, count
STAGES = ((1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3), (6, 5, 1, 80, 112, 3),
          (6, 5, 2, 112, 192, 4), (6, 3, 1, 192, 320, 1))


def divisible(v, by=8):
    new = max(by, int(v + by / 2) // by * by)
    return new + by if new < 0.9 * v else new


def conv_norm(inputs, outputs, kernel, stride=1, groups=1, activation=True):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.SiLU(inplace=True)] if activation else []))


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, squeeze):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(channels, squeeze, 1), nn.Conv2d(squeeze, channels, 1)
        self.activation, self.scale_activation = nn.SiLU(inplace=True), nn.Sigmoid()

    def forward(self, x):
        return self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x))))) * x


class StochasticDepth(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        keep = torch.rand(x.size(0), *[1] * (x.dim() - 1), device=x.device) >= self.p
        return x * keep.to(x.dtype) / (1 - self.p)


class MBConv(nn.Module):
    def __init__(self, expand, kernel, stride, inputs, outputs, depth_p):
        super().__init__()
        hidden = divisible(inputs * expand)
        layers = [conv_norm(inputs, hidden, 1)] if hidden != inputs else []
        layers += [conv_norm(hidden, hidden, kernel, stride, hidden), SqueezeExcitation(hidden, max(1, inputs // 4)),
                   conv_norm(hidden, outputs, 1, activation=False)]
        self.block, self.shortcut = nn.Sequential(*layers), stride == 1 and inputs == outputs
        self.stochastic_depth = StochasticDepth(depth_p)

    def forward(self, x):
        return self.stochastic_depth(self.block(x)) + x if self.shortcut else self.block(x)


class EfficientNet(nn.Module):
    def __init__(self, width=1.0, depth=1.0, dropout=0.2, num_classes=1000, stages=STAGES):
        super().__init__()
        features = [conv_norm(3, divisible(32 * width), 3, 2)]
        for expand, kernel, stride, inputs, outputs, count in stages:
            a, b = divisible(inputs * width), divisible(outputs * width)
            features.append(nn.Sequential(*[MBConv(expand, kernel, 1 if i else stride, b if i else a, b, 0.2 * len(features) / 8)
                                            for i in range(math.ceil(count * depth))]))
        features.append(conv_norm(b, 4 * b, 1))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout, inplace=True), nn.Linear(4 * b, num_classes))

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


KEYS = "features.0.0.weight features.1.0.block.1.fc1.weight features.2.0.block.3.1.bias features.8.1.running_var classifier.1.bias"
MODELS = {"efficientnet_b0": (EfficientNet, 5_288_548, KEYS),
          "efficientnet_b1": (functools.partial(EfficientNet, 1.0, 1.1), 7_794_184, KEYS),
          "efficientnet_b2": (functools.partial(EfficientNet, 1.1, 1.2, 0.3), 9_109_994, KEYS),
          "efficientnet_b3": (functools.partial(EfficientNet, 1.2, 1.4, 0.3), 12_233_232, KEYS),
          "efficientnet_b4": (functools.partial(EfficientNet, 1.4, 1.8, 0.4), 19_341_616, KEYS)}
SMALL = {"efficientnet": (lambda: EfficientNet(0.5, 1.0, 0.0, 5, STAGES[:3]), (2, 3, 32, 32), (2, 5))}
