"""DCGAN. Radford et al., ICLR 2016."""
from __future__ import annotations

import functools

import tensorgrad.nn as nn


def weights_init(m):
    name = m.__class__.__name__
    if name.find("Conv") != -1:
        nn.init.normal_(m.weight.data, 0.0, 0.02)
    elif name.find("BatchNorm") != -1:
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        nn.init.constant_(m.bias.data, 0)


class Generator(nn.Module):
    def __init__(self, nz=100, ngf=64, nc=3):
        super().__init__()
        layers, channels = [], nz
        for factor, stride, padding in ((8, 1, 0), (4, 2, 1), (2, 2, 1), (1, 2, 1)):
            layers += [nn.ConvTranspose2d(channels, factor * ngf, 4, stride, padding, bias=False), nn.BatchNorm2d(factor * ngf),
                       nn.ReLU(True)]
            channels = factor * ngf
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False), nn.Tanh())
        self.apply(weights_init)

    def forward(self, z):  # (B, nz, 1, 1)
        return self.main(z)


class Discriminator(nn.Module):
    def __init__(self, ndf=64, nc=3):
        super().__init__()
        layers, channels = [nn.Conv2d(nc, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)], ndf
        for factor in (2, 4, 8):
            layers += [nn.Conv2d(channels, factor * ndf, 4, 2, 1, bias=False), nn.BatchNorm2d(factor * ndf),
                       nn.LeakyReLU(0.2, inplace=True)]
            channels = factor * ndf
        self.main = nn.Sequential(*layers, nn.Conv2d(channels, 1, 4, 1, 0, bias=False), nn.Sigmoid())
        self.apply(weights_init)

    def forward(self, x):
        return self.main(x).view(-1)


MODELS = {"dcgan_generator": (Generator, 3_576_704, "main.0.weight main.12.weight main.10.running_var"),
          "dcgan_discriminator": (Discriminator, 2_765_568, "main.0.weight main.11.weight main.9.num_batches_tracked")}
SMALL = {"generator": (functools.partial(Generator, 6, 4), (2, 6, 1, 1), (2, 3, 64, 64)),
         "discriminator": (functools.partial(Discriminator, 4), (2, 3, 64, 64), (2,))}
