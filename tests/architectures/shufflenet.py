"""ShuffleNetV2. Ma et al., ECCV 2018."""
from __future__ import annotations

import functools

import tensorgrad as torch
import tensorgrad.nn as nn


def channel_shuffle(x, groups):
    n, channels, height, width = x.size()
    x = x.view(n, groups, channels // groups, height, width)
    return torch.transpose(x, 1, 2).contiguous().view(n, channels, height, width)


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.stride, half = stride, outputs // 2
        self.branch1 = nn.Sequential(*((*self.depthwise(inputs, stride), *self.pointwise(inputs, half)) if stride > 1 else ()))
        self.branch2 = nn.Sequential(*self.pointwise(inputs if stride > 1 else half, half), *self.depthwise(half, stride),
                                     *self.pointwise(half, half))

    @staticmethod
    def depthwise(channels, stride):
        return nn.Conv2d(channels, channels, 3, stride, 1, bias=False, groups=channels), nn.BatchNorm2d(channels)

    @staticmethod
    def pointwise(inputs, outputs):
        return nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)

    def forward(self, x):
        if self.stride == 1:
            x1, x2 = x.chunk(2, dim=1)
            out = torch.cat((x1, self.branch2(x2)), dim=1)
        else:
            out = torch.cat((self.branch1(x), self.branch2(x)), dim=1)
        return channel_shuffle(out, 2)


class ShuffleNetV2(nn.Module):
    def __init__(self, channels, num_classes=1000, repeats=(4, 8, 4)):
        super().__init__()
        start, *stages, last = channels
        self.conv1 = nn.Sequential(nn.Conv2d(3, start, 3, 2, 1, bias=False), nn.BatchNorm2d(start), nn.ReLU(inplace=True))
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        inputs = start
        for i, (count, outputs) in enumerate(zip(repeats, stages, strict=True)):
            blocks = [InvertedResidual(inputs, outputs, 2), *[InvertedResidual(outputs, outputs, 1) for _ in range(count - 1)]]
            setattr(self, f"stage{i + 2}", nn.Sequential(*blocks))
            inputs = outputs
        self.conv5 = nn.Sequential(nn.Conv2d(inputs, last, 1, 1, 0, bias=False), nn.BatchNorm2d(last), nn.ReLU(inplace=True))
        self.fc = nn.Linear(last, num_classes)

    def forward(self, x):
        x = self.stage4(self.stage3(self.stage2(self.maxpool(self.conv1(x)))))
        return self.fc(self.conv5(x).mean([2, 3]))


KEYS = "conv1.0.weight stage2.0.branch1.0.weight stage4.3.branch2.6.bias conv5.1.bias fc.bias"
MODELS = {"shufflenet_v2_x0_5": (functools.partial(ShuffleNetV2, (24, 48, 96, 192, 1024)), 1_366_792, KEYS),
          "shufflenet_v2_x1_0": (functools.partial(ShuffleNetV2, (24, 116, 232, 464, 1024)), 2_278_604, KEYS),
          "shufflenet_v2_x1_5": (functools.partial(ShuffleNetV2, (24, 176, 352, 704, 1024)), 3_503_624, KEYS),
          "shufflenet_v2_x2_0": (functools.partial(ShuffleNetV2, (24, 244, 488, 976, 2048)), 7_393_996, KEYS)}
SMALL = {"shufflenet": (lambda: ShuffleNetV2((4, 8, 16, 24, 16), 5, (2, 2, 2)), (2, 3, 64, 64), (2, 5))}
