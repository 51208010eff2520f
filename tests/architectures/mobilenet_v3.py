"""MobileNetV3. Howard et al., ICCV 2019."""
from __future__ import annotations

import functools

import tensorgrad as torch
import tensorgrad.nn as nn


def divisible(v, by=8):
    new = max(by, int(v + by / 2) // by * by)
    return new + by if new < 0.9 * v else new


def conv_norm(inputs, outputs, kernel, stride=1, groups=1, activation=nn.Hardswish):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
              nn.BatchNorm2d(outputs, eps=0.001, momentum=0.01)]
    return nn.Sequential(*layers, *([activation(inplace=True)] if activation is not None else []))


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, squeeze):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeeze, 1)
        self.fc2 = nn.Conv2d(squeeze, channels, 1)
        self.activation = nn.ReLU()
        self.scale_activation = nn.Hardsigmoid()

    def forward(self, x):
        return x * self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))


class Block(nn.Module):
    def __init__(self, inputs, kernel, expanded, outputs, excite, hard, stride):
        super().__init__()
        self.shortcut, activation = stride == 1 and inputs == outputs, nn.Hardswish if hard else nn.ReLU
        layers = [conv_norm(inputs, expanded, 1, activation=activation)] if expanded != inputs else []
        layers.append(conv_norm(expanded, expanded, kernel, stride, expanded, activation))
        if excite:
            layers.append(SqueezeExcitation(expanded, divisible(expanded // 4)))
        layers.append(conv_norm(expanded, outputs, 1, activation=None))
        self.block = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.block(x) if self.shortcut else self.block(x)


# kernel, expanded, outputs, squeeze-and-excitation, hard swish, stride
LARGE = ((3, 16, 16, 0, 0, 1), (3, 64, 24, 0, 0, 2), (3, 72, 24, 0, 0, 1), (5, 72, 40, 1, 0, 2), (5, 120, 40, 1, 0, 1),
         (5, 120, 40, 1, 0, 1), (3, 240, 80, 0, 1, 2), (3, 200, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1),
         (3, 480, 112, 1, 1, 1), (3, 672, 112, 1, 1, 1), (5, 672, 160, 1, 1, 2), (5, 960, 160, 1, 1, 1), (5, 960, 160, 1, 1, 1))
LITTLE = ((3, 16, 16, 1, 0, 2), (3, 72, 24, 0, 0, 2), (3, 88, 24, 0, 0, 1), (5, 96, 40, 1, 1, 2), (5, 240, 40, 1, 1, 1),
          (5, 240, 40, 1, 1, 1), (5, 120, 48, 1, 1, 1), (5, 144, 48, 1, 1, 1), (5, 288, 96, 1, 1, 2), (5, 576, 96, 1, 1, 1),
          (5, 576, 96, 1, 1, 1))

class MobileNetV3(nn.Module):
    def __init__(self, blocks, hidden, num_classes=1000):
        super().__init__()
        features, channels = [conv_norm(3, 16, 3, 2)], 16
        for kernel, expanded, outputs, excite, hard, stride in blocks:
            features.append(Block(channels, kernel, expanded, outputs, excite, hard, stride))
            channels = outputs
        features.append(conv_norm(channels, 6 * channels, 1))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Linear(6 * channels, hidden), nn.Hardswish(inplace=True), nn.Dropout(p=0.2, inplace=True),
                                        nn.Linear(hidden, num_classes))

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


MODELS = {"mobilenet_v3_large": (functools.partial(MobileNetV3, LARGE, 1280), 5_483_032, "features.4.block.2.fc1.weight classifier.3.bias"),
          "mobilenet_v3_small": (functools.partial(MobileNetV3, LITTLE, 1024), 2_542_856, "features.1.block.1.fc2.bias classifier.3.bias")}
SMALL = {"mobilenet_v3": (functools.partial(MobileNetV3, LITTLE[:4], 16, 5), (2, 3, 64, 64), (2, 5))}
