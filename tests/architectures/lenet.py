"""LeNet-5. LeCun et al., "Gradient-based learning applied to document recognition", 1998."""
from __future__ import annotations

import tensorgrad as torch
import tensorgrad.nn as nn
import tensorgrad.nn.functional as F


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):  # (B, 1, 28, 28)
        x = F.max_pool2d(torch.tanh(self.conv1(x)), 2)
        x = F.max_pool2d(torch.tanh(self.conv2(x)), 2)
        x = x.view(-1, self.fc1.in_features)
        x = torch.tanh(self.fc1(x))
        return self.fc3(torch.tanh(self.fc2(x)))


MODELS = {"lenet": (LeNet, 61_706, "conv1.weight conv2.bias fc3.bias")}
SMALL = {"lenet": (LeNet, (3, 1, 28, 28), (3, 10))}
