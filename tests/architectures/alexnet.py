"""AlexNet with one stream. Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014."""
from __future__ import annotations

import tensorgrad as torch
import tensorgrad.nn as nn


class AlexNet(nn.Module):
    def __init__(self, num_classes=1000, width=64, hidden=4096):
        super().__init__()
        w = width
        self.features = nn.Sequential(
            nn.Conv2d(3, w, kernel_size=11, stride=4, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(w, 3 * w, kernel_size=5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(3 * w, 6 * w, kernel_size=3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(6 * w, 4 * w, kernel_size=3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(4 * w, 4 * w, kernel_size=3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(kernel_size=3, stride=2))
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(4 * w * 6 * 6, hidden), nn.ReLU(inplace=True),
            nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, num_classes))

    def forward(self, x):
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


MODELS = {"alexnet": (AlexNet, 61_100_840, "features.0.weight features.10.bias classifier.1.weight classifier.6.bias")}
SMALL = {"alexnet": (lambda: AlexNet(7, 4, 16), (2, 3, 96, 80), (2, 7))}
