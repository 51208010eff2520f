"""MobileNetV2. Sandler et al., CVPR 2018."""
from __future__ import annotations

import functools

import tensorgrad as torch
import tensorgrad.nn as nn


def conv_bn_relu6(inputs, outputs, kernel=3, stride=1, groups=1):
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
                         nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, stride, expand):
        super().__init__()
        hidden = round(inputs * expand)
        self.shortcut = stride == 1 and inputs == outputs
        layers = [conv_bn_relu6(inputs, hidden, 1)] if expand != 1 else []
        layers += [conv_bn_relu6(hidden, hidden, stride=stride, groups=hidden), nn.Conv2d(hidden, outputs, 1, bias=False),
                   nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.conv(x) if self.shortcut else self.conv(x)


STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class MobileNetV2(nn.Module):
    def __init__(self, num_classes=1000, stages=STAGES, last=1280):
        super().__init__()
        features, channels = [conv_bn_relu6(3, 32, stride=2)], 32
        for expand, outputs, count, stride in stages:
            for i in range(count):
                features.append(InvertedResidual(channels, outputs, stride if i == 0 else 1, expand))
                channels = outputs
        features.append(conv_bn_relu6(channels, last, 1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(p=0.2), nn.Linear(last, num_classes))

    def forward(self, x):
        x = nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(torch.flatten(x, 1))


MODELS = {"mobilenet_v2": (MobileNetV2, 3_504_872, "features.0.0.weight features.1.conv.0.0.weight features.18.1.bias classifier.1.bias")}
SMALL = {"mobilenet_v2": (functools.partial(MobileNetV2, 5, STAGES[:3], 32), (2, 3, 32, 32), (2, 5))}
