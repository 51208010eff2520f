"""A small convolutional network for images: conv, pool, flatten, dense, softmax. After LeCun et al., 1998."""
from __future__ import annotations

from collections.abc import Sequence

from .. import nn
from ..grad_mode import no_grad
from ..tensor import Tensor


class CNN(nn.Module):
    """Blocks of convolution, batch norm, ReLU and 2x2 max-pooling, then two dense layers.

    Takes (B, channels, size, size) and gives scores (B, classes), for `cross_entropy`; `predict` gives probabilities. Each entry
    of `widths` is a block's number of channels and halves the size: 8 -> 4 -> 2 for the small digits, 28 -> 14 -> 7 for MNIST.
    """

    def __init__(self, size: int = 28, channels: int = 1, classes: int = 10, widths: Sequence[int] = (32, 64), dense: int = 128,
                 dropout: float = 0.25):
        super().__init__()
        last = size >> len(widths)
        if last < 1:
            raise ValueError(f"CNN: images of {size} x {size} cannot be halved {len(widths)} times; use fewer widths")
        self.size, self.channels = size, channels
        blocks: list[nn.Module] = []
        for width in widths:
            blocks += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
            channels = width
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (B, last width * last * last)
            nn.Linear(channels * last * last, dense),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(dense, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != (self.channels, self.size, self.size):
            raise ValueError(f"CNN: images have shape {tuple(x.shape)}, expected (B, {self.channels}, {self.size}, {self.size})")
        return self.classifier(self.features(x))  # (B, classes)

    def predict(self, x: Tensor) -> Tensor:
        """Class probabilities (B, classes), in evaluation mode."""
        before = self.training
        self.eval()
        with no_grad():
            p = nn.functional.softmax(self(x), dim=1)
        self.train(before)
        return p
