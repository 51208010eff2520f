"""U-Net with batch norm, transposed or bilinear. Ronneberger et al., MICCAI 2015."""
from __future__ import annotations

import functools

import tensorgrad as torch
import tensorgrad.nn as nn
import tensorgrad.nn.functional as F


class DoubleConv(nn.Module):
    def __init__(self, inputs, outputs, middle=None):
        super().__init__()
        middle = middle or outputs
        self.double_conv = nn.Sequential(
            nn.Conv2d(inputs, middle, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(middle), nn.ReLU(inplace=True),
            nn.Conv2d(middle, outputs, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))

    def forward(self, x):
        return self.double_conv(x)


class Up(nn.Module):
    def __init__(self, inputs, outputs, bilinear):
        super().__init__()
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = DoubleConv(inputs, outputs, inputs // 2)
        else:
            self.up = nn.ConvTranspose2d(inputs, inputs // 2, kernel_size=2, stride=2)
            self.conv = DoubleConv(inputs, outputs)

    def forward(self, x1, x2):
        x1 = self.up(x1)
        dy, dx = x2.size()[2] - x1.size()[2], x2.size()[3] - x1.size()[3]
        x1 = F.pad(x1, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.conv(torch.cat([x2, x1], dim=1))


class UNet(nn.Module):
    def __init__(self, channels=3, classes=1, bilinear=False, width=64):
        super().__init__()
        factor, w = (2 if bilinear else 1), width
        self.inc = DoubleConv(channels, w)
        self.down1, self.down2, self.down3, self.down4 = (
            nn.Sequential(nn.MaxPool2d(2), DoubleConv(a * w, b * w)) for a, b in ((1, 2), (2, 4), (4, 8), (8, 16 // factor)))
        self.up1, self.up2, self.up3 = (Up(2 * a * w, a * w // factor, bilinear) for a in (8, 4, 2))
        self.up4 = Up(2 * w, w, bilinear)
        self.outc = nn.Conv2d(w, classes, kernel_size=1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x4 = self.down3(x3)
        x = self.up1(self.down4(x4), x4)
        return self.outc(self.up4(self.up3(self.up2(x, x3), x2), x1))


MODELS = {"unet": (UNet, None, "inc.double_conv.0.weight up1.up.weight outc.bias"),
          "unet_bilinear": (functools.partial(UNet, 3, 2, True), None, "down4.1.double_conv.4.running_mean up4.conv.double_conv.3.weight")}
SMALL = {"transposed": (functools.partial(UNet, 1, 2, False, 4), (2, 1, 17, 22), (2, 2, 17, 22)),
         "bilinear": (functools.partial(UNet, 3, 1, True, 4), (2, 3, 16, 19), (2, 1, 16, 19))}
