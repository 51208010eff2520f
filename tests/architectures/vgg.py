"""VGG. Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015."""
from __future__ import annotations

import functools

import tensorgrad as torch
import tensorgrad.nn as nn

DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # convolutions of each stage


class VGG(nn.Module):
    def __init__(self, depth, batch_norm=False, num_classes=1000, width=64, hidden=4096):
        super().__init__()
        layers, channels = [], 3
        for count, factor in zip(DEPTHS[depth], (1, 2, 4, 8, 8), strict=True):
            for _ in range(count):
                layers.append(nn.Conv2d(channels, factor * width, 3, padding=1))
                channels = factor * width
                if batch_norm:
                    layers.append(nn.BatchNorm2d(channels))
                layers.append(nn.ReLU(inplace=True))
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(channels * 7 * 7, hidden), nn.ReLU(True), nn.Dropout(p=0.5),
            nn.Linear(hidden, hidden), nn.ReLU(True), nn.Dropout(p=0.5), nn.Linear(hidden, num_classes))
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                if m.bias is not None:
                    nn.init.constant_(m.bias, 0)

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


COUNTS = {11: (132_863_336, 132_868_840), 13: (133_047_848, 133_053_736), 16: (138_357_544, 138_365_992), 19: (143_667_240, 143_678_248)}
MODELS = {f"vgg{depth}{'_bn' * bn}": (functools.partial(VGG, depth, bool(bn)), COUNTS[depth][bn], "features.0.weight classifier.6.bias")
          for depth in DEPTHS for bn in (0, 1)}
SMALL = {"vgg11_bn": (lambda: VGG(11, True, 5, 4, 16), (2, 3, 40, 32), (2, 5))}
