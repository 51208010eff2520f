"""LeNet-5, the convolutional network that read cheques. LeCun et al., "Gradient-based learning applied to document recognition", 1998."""
from __future__ import annotations

from collections.abc import Callable

from tensorgrad import Tensor, nn


class LeNet(nn.Module):
    """Two convolutions and three dense layers: scores (B, classes) of (B, channels, 28, 28).

    `pool` and `activation` are the paper's by default, average pooling and tanh; `nn.MaxPool2d` and `nn.ReLU` are today's.
    """

    def __init__(self, classes: int = 10, channels: int = 1, pool: Callable[[int], nn.Module] = nn.AvgPool2d,
                 activation: Callable[[], nn.Module] = nn.Tanh):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=2), activation(), pool(2),  # (B, 6, 14, 14)
            nn.Conv2d(6, 16, 5), activation(), pool(2),  # (B, 16, 5, 5)
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(400, 120), activation(), nn.Linear(120, 84), activation(),
                                        nn.Linear(84, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))  # (B, classes)
