"""ResNet, ResNeXt, wide ResNet. He et al., CVPR 2016; Xie et al., CVPR 2017; Zagoruyko and Komodakis, BMVC 2016."""
from __future__ import annotations

import functools

import tensorgrad as torch
import tensorgrad.nn as nn


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inplanes, planes, stride=1, downsample=None, groups=1, base_width=64):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inplanes, planes, stride=1, downsample=None, groups=1, base_width=64):
        super().__init__()
        width = int(planes * (base_width / 64.0)) * groups
        self.conv1 = nn.Conv2d(inplanes, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, planes * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, block, layers, num_classes=1000, groups=1, base_width=64, width=64):
        super().__init__()
        self.inplanes, self.groups, self.base_width = width, groups, base_width
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for i, count in enumerate(layers):
            setattr(self, f"layer{i + 1}", self._make_layer(block, width * 2**i, count, 1 if i == 0 else 2))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8 * width * block.expansion, num_classes)

    def _make_layer(self, block, planes, count, stride):
        downsample = None
        if stride != 1 or self.inplanes != planes * block.expansion:
            downsample = nn.Sequential(nn.Conv2d(self.inplanes, planes * block.expansion, 1, stride, bias=False),
                                       nn.BatchNorm2d(planes * block.expansion))
        blocks = [block(self.inplanes, planes, stride, downsample, self.groups, self.base_width)]
        self.inplanes = planes * block.expansion
        blocks += [block(self.inplanes, planes, groups=self.groups, base_width=self.base_width) for _ in range(1, count)]
        return nn.Sequential(*blocks)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def model(parameters, block, layers, **options):
    last = "conv3" if block is Bottleneck else "conv2"
    return functools.partial(ResNet, block, layers, **options), parameters, f"conv1.weight layer4.2.{last}.weight fc.bias" if (
        layers[3] > 2) else f"layer4.1.{last}.weight layer2.0.downsample.1.running_var fc.bias"


MODELS = {
    "resnet18": model(11_689_512, BasicBlock, (2, 2, 2, 2)), "resnet34": model(21_797_672, BasicBlock, (3, 4, 6, 3)),
    "resnet50": model(25_557_032, Bottleneck, (3, 4, 6, 3)), "resnet101": model(44_549_160, Bottleneck, (3, 4, 23, 3)),
    "resnet152": model(60_192_808, Bottleneck, (3, 8, 36, 3)),
    "resnext50_32x4d": model(25_028_904, Bottleneck, (3, 4, 6, 3), groups=32, base_width=4),
    "resnext101_32x8d": model(88_791_336, Bottleneck, (3, 4, 23, 3), groups=32, base_width=8),
    "wide_resnet50_2": model(68_883_240, Bottleneck, (3, 4, 6, 3), base_width=128),
    "wide_resnet101_2": model(126_886_696, Bottleneck, (3, 4, 23, 3), base_width=128),
}
SMALL = {"basic": (lambda: ResNet(BasicBlock, (1, 2, 1, 1), 5, width=8), (2, 3, 64, 64), (2, 5)),
         "resnext": (lambda: ResNet(Bottleneck, (1, 1, 1, 1), 5, groups=2, base_width=32, width=8), (2, 3, 64, 64), (2, 5))}
