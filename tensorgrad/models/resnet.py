"""Residual networks. He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2015 (arXiv:1512.03385).

A block computes relu(f(x) + x): where f has nothing to add, x passes as it is, and so does its gradient, so that depth does not hurt. The
plain twins lack the sum; beyond some depth they train worse (figure 1 of the paper). Names of parameters are torchvision's: its weights
load as they are.
"""
from __future__ import annotations

from collections.abc import Sequence

from tensorgrad import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions. Without `skip` it is their plain stack. `projection` is how x reaches another shape: a 1x1 convolution, or
    (option A of the paper, without parameters) every second pixel, and zeros as new channels."""

    expansion = 1

    def __init__(self, inplanes: int, planes: int, stride: int = 1, projection: bool = True, skip: bool = True):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = _shortcut(inplanes, planes, stride, projection) if skip else None
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.skip:
            out = out + (x if self.downsample is None else self.downsample(x))
        return self.relu(out)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions; the 3x3 one works on a quarter of the channels, and strides (as torchvision has it)."""

    expansion = 4

    def __init__(self, inplanes: int, planes: int, stride: int = 1, projection: bool = True, skip: bool = True):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * 4)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(inplanes, planes * 4, stride, projection) if skip else None
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.skip:
            out = out + (x if self.downsample is None else self.downsample(x))
        return self.relu(out)


class SubsampleAndPad(nn.Module):
    """Every `stride`-th pixel of every `stride`-th row, and `channels` channels, the new ones 0: a shortcut without parameters."""

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, ::self.stride, ::self.stride]  # (B, C, H / stride, W / stride)
        return nn.functional.pad(x, (0, 0, 0, 0, 0, self.channels - x.shape[1]))  # (B, channels, ...)


def _shortcut(inplanes: int, planes: int, stride: int, projection: bool) -> nn.Module | None:
    if stride == 1 and inplanes == planes:
        return None
    if not projection:
        return SubsampleAndPad(planes, stride)
    return nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))


class ResNet(nn.Module):
    """Stages of blocks on colour images of 224 x 224 (table 1): scores (B, classes) of (B, 3, H, W).

    `layers` says how many blocks each of the four stages has; each halves the size and doubles the channels.
    """

    def __init__(self, block: type[BasicBlock | Bottleneck], layers: Sequence[int], num_classes: int = 1000):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        inplanes = 64
        for i, blocks in enumerate(layers):
            planes, stride = 64 << i, 1 if i == 0 else 2
            self.add_module(f"layer{i + 1}", _stage(block, inplanes, planes, blocks, stride, projection=True, skip=True))
            inplanes = planes * block.expansion
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inplanes, num_classes)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (B, 64, H / 4, W / 4)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (B, C, H / 32, W / 32)
        return self.fc(self.avgpool(x).flatten(1))  # (B, classes)


class CifarResNet(nn.Module):
    """The networks of section 4.2, for images of 32 x 32: 6n + 2 layers, three stages of n blocks on 16, 32 and 64 channels.

    `skip=False` is the plain twin of the same depth; `projection=False` (option A, as in the paper) has shortcuts without parameters.
    """

    def __init__(self, depth: int = 20, num_classes: int = 10, channels: int = 3, projection: bool = False, skip: bool = True):
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"CifarResNet: the depth must be 6n + 2 (20, 32, 44, 56, 110), got {depth}")
        n = (depth - 2) // 6
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(BasicBlock, 16, 16, n, 1, projection, skip)
        self.layer2 = _stage(BasicBlock, 16, 32, n, 2, projection, skip)
        self.layer3 = _stage(BasicBlock, 32, 64, n, 2, projection, skip)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, num_classes)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))  # (B, 16, 32, 32)
        x = self.layer3(self.layer2(self.layer1(x)))  # (B, 64, 8, 8)
        return self.fc(self.avgpool(x).flatten(1))  # (B, classes)


def _stage(block: type[BasicBlock | Bottleneck], inplanes: int, planes: int, blocks: int, stride: int, projection: bool,
           skip: bool) -> nn.Sequential:
    first = block(inplanes, planes, stride, projection, skip)
    rest = [block(planes * block.expansion, planes, 1, projection, skip) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


def _initialise(model: nn.Module) -> None:
    """He et al., "Delving deep into rectifiers", 2015: normal weights of the deviation that keeps a ReLU network's variance."""
    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")


def resnet18(num_classes: int = 1000) -> ResNet:
    """11,689,512 parameters."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes)


def resnet34(num_classes: int = 1000) -> ResNet:
    """21,797,672 parameters."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes)


def resnet50(num_classes: int = 1000) -> ResNet:
    """25,557,032 parameters."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes)
