"""Generative adversarial networks: a generator makes pictures of noise, a discriminator tells them from real ones, and each learns of
the other.

Goodfellow et al., "Generative adversarial nets", 2014 (`MLPGenerator`, `MLPDiscriminator`); Radford, Metz, Chintala, "Unsupervised
representation learning with deep convolutional generative adversarial networks", 2016 (`Generator`, `Discriminator`). Pictures are
between -1 and 1.
"""
from __future__ import annotations

import math

from tensorgrad import Tensor, nn


class MLPGenerator(nn.Module):
    """(B, noise) to (B, channels, size, size) through dense layers."""

    def __init__(self, noise: int = 100, size: int = 28, channels: int = 1, width: int = 256):
        super().__init__()
        self.shape = (channels, size, size)
        self.main = nn.Sequential(nn.Linear(noise, width), nn.LeakyReLU(0.2), nn.Linear(width, 2 * width), nn.LeakyReLU(0.2),
                                  nn.Linear(2 * width, 4 * width), nn.LeakyReLU(0.2), nn.Linear(4 * width, math.prod(self.shape)),
                                  nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.main(z).reshape(-1, *self.shape)  # (B, channels, size, size)


class MLPDiscriminator(nn.Module):
    """(B, channels, size, size) to scores (B,), above 0 for what it takes as real."""

    def __init__(self, size: int = 28, channels: int = 1, width: int = 256, dropout: float = 0.3):
        super().__init__()
        self.main = nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, 4 * width), nn.LeakyReLU(0.2), nn.Dropout(dropout),
                                  nn.Linear(4 * width, 2 * width), nn.LeakyReLU(0.2), nn.Dropout(dropout), nn.Linear(2 * width, width),
                                  nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x).squeeze(1)  # (B,)


class Generator(nn.Module):
    """(B, noise) to (B, channels, size, size): transposed convolutions that double the size, from 4 (7 for 28, 2 for 8) up.

    `width` channels before the last layer, twice as many before each earlier one; batch norm and ReLU between, tanh at the end.
    """

    def __init__(self, noise: int = 100, size: int = 64, channels: int = 3, width: int = 64):
        super().__init__()
        self.noise = noise
        start, doublings = _halvings(size)
        wide = width << (doublings - 1)
        layers: list[nn.Module] = [nn.ConvTranspose2d(noise, wide, start, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]  # 1 -> start
        for i in range(doublings - 1, 0, -1):
            layers += [nn.ConvTranspose2d(width << i, width << (i - 1), 4, 2, 1, bias=False), nn.BatchNorm2d(width << (i - 1)), nn.ReLU()]
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Tanh())
        _initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.main(z.reshape(-1, self.noise, 1, 1))  # (B, channels, size, size)


class Discriminator(nn.Module):
    """(B, channels, size, size) to scores (B,): strided convolutions that halve the size, leaky ReLU, batch norm but at both ends.

    `norm=False` leaves batch norm out, as a critic with a gradient penalty wants it (Gulrajani et al., 2017, section 4).
    """

    def __init__(self, size: int = 64, channels: int = 3, width: int = 64, norm: bool = True):
        super().__init__()
        last, halvings = _halvings(size)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for i in range(1, halvings):
            layers += [nn.Conv2d(width << (i - 1), width << i, 4, 2, 1, bias=not norm), *([nn.BatchNorm2d(width << i)] if norm else []),
                       nn.LeakyReLU(0.2)]
        self.main = nn.Sequential(*layers, nn.Conv2d(width << (halvings - 1), 1, last))  # last -> 1
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x).flatten()  # (B,)


def _halvings(size: int) -> tuple[int, int]:
    """(the size after halving while it is even and more than 4, how often): 64 is 4 after 4, 28 is 7 after 2, 8 is 4 after 1."""
    count = 0
    while size % 2 == 0 and size > 4:
        size, count = size // 2, count + 1
    if count == 0 or size > 8:
        raise ValueError(f"DCGAN: the size must be 3 to 8, doubled once or more (8, 16, 28, 32, 64); halving left {size}")
    return size, count


def _initialise(model: nn.Module) -> None:
    """Normal weights of deviation 0.02, as in the paper; those of batch norm around 1."""
    for m in model.modules():
        if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(m.weight, 0.0, 0.02)
        elif isinstance(m, nn.BatchNorm2d):
            nn.init.normal_(m.weight, 1.0, 0.02)
            nn.init.zeros_(m.bias)
