"""Small networks of all kinds: MLP-Mixer, sentence CNN, style transfer, super-resolution, PatchGAN, spatial transformer, Q-learning."""
from __future__ import annotations

import functools

import tensorgrad as torch
import tensorgrad.nn as nn
import tensorgrad.nn.functional as F


class MixerBlock(nn.Module):
    """Tolstikhin et al., NeurIPS 2021."""

    def __init__(self, patches, dim, token_hidden, channel_hidden):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.tokens = nn.Sequential(nn.Conv1d(patches, token_hidden, 1), nn.GELU(), nn.Conv1d(token_hidden, patches, 1))
        self.channels = nn.Sequential(nn.Linear(dim, channel_hidden), nn.GELU(), nn.Linear(channel_hidden, dim))

    def forward(self, x):
        x = x + self.tokens(self.norm1(x))
        return x + self.channels(self.norm2(x))


class Mixer(nn.Module):
    def __init__(self, image=224, patch=16, dim=768, depth=12, token_hidden=384, channel_hidden=3072, classes=1000):
        super().__init__()
        self.stem = nn.Conv2d(3, dim, patch, patch)
        self.blocks = nn.ModuleList(MixerBlock((image // patch) ** 2, dim, token_hidden, channel_hidden) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, classes)

    def forward(self, x):
        x = self.stem(x).flatten(2).mT
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


class TextCNN(nn.Module):
    """Kim, EMNLP 2014."""

    def __init__(self, vocab, dim=128, kernels=(3, 4, 5), filters=100, classes=2):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.convs = nn.ModuleList([nn.Conv2d(1, filters, (k, dim)) for k in kernels])
        self.dropout, self.fc1 = nn.Dropout(0.5), nn.Linear(len(kernels) * filters, classes)

    def forward(self, x):  # (N, W)
        x = self.embed(x).unsqueeze(1)  # (N, 1, W, D)
        x = [F.relu(conv(x)).squeeze(3) for conv in self.convs]
        x = [F.max_pool1d(i, i.size(2)).squeeze(2) for i in x]
        return self.fc1(self.dropout(torch.cat(x, 1)))


class ConvLayer(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, upsample=None):
        super().__init__()
        self.upsample = upsample
        self.reflection_pad, self.conv2d = nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inputs, outputs, kernel, stride)

    def forward(self, x):
        x = F.interpolate(x, mode="nearest", scale_factor=self.upsample) if self.upsample else x
        return self.conv2d(self.reflection_pad(x))


class ResidualBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.in1 = ConvLayer(channels, channels, 3, 1), nn.InstanceNorm2d(channels, affine=True)
        self.conv2, self.in2 = ConvLayer(channels, channels, 3, 1), nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x):
        return self.in2(self.conv2(F.relu(self.in1(self.conv1(x))))) + x


class TransformerNet(nn.Module):
    """Fast style transfer. Johnson et al., ECCV 2016."""

    def __init__(self, w=32, blocks=5):
        super().__init__()
        self.conv1, self.in1 = ConvLayer(3, w, 9, 1), nn.InstanceNorm2d(w, affine=True)
        self.conv2, self.in2 = ConvLayer(w, 2 * w, 3, 2), nn.InstanceNorm2d(2 * w, affine=True)
        self.conv3, self.in3 = ConvLayer(2 * w, 4 * w, 3, 2), nn.InstanceNorm2d(4 * w, affine=True)
        self.blocks = nn.Sequential(*[ResidualBlock(4 * w) for _ in range(blocks)])
        self.deconv1, self.in4 = ConvLayer(4 * w, 2 * w, 3, 1, 2), nn.InstanceNorm2d(2 * w, affine=True)
        self.deconv2, self.in5 = ConvLayer(2 * w, w, 3, 1, 2), nn.InstanceNorm2d(w, affine=True)
        self.deconv3, self.relu = ConvLayer(w, 3, 9, 1), nn.ReLU()

    def forward(self, x):
        for conv, norm in ((self.conv1, self.in1), (self.conv2, self.in2), (self.conv3, self.in3)):
            x = self.relu(norm(conv(x)))
        x = self.blocks(x)
        x = self.relu(self.in5(self.deconv2(self.relu(self.in4(self.deconv1(x))))))
        return self.deconv3(x)


class SuperResolution(nn.Module):
    """Sub-pixel convolution. Shi et al., CVPR 2016."""

    def __init__(self, upscale=3, width=64):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, width, (5, 5), (1, 1), (2, 2)), nn.Conv2d(width, width, (3, 3), (1, 1), (1, 1))
        self.conv3, self.conv4 = nn.Conv2d(width, 32, (3, 3), (1, 1), (1, 1)), nn.Conv2d(32, upscale**2, (3, 3), (1, 1), (1, 1))
        self.pixel_shuffle = nn.PixelShuffle(upscale)
        for conv in (self.conv1, self.conv2, self.conv3):
            nn.init.orthogonal_(conv.weight, nn.init.calculate_gain("relu"))
        nn.init.orthogonal_(self.conv4.weight)

    def forward(self, x):
        x = F.relu(self.conv3(F.relu(self.conv2(F.relu(self.conv1(x))))))
        return self.pixel_shuffle(self.conv4(x))


class PatchGAN(nn.Module):
    """The discriminator of pix2pix. Isola et al., CVPR 2017."""

    def __init__(self, inputs=6, ndf=64, layers=3):
        super().__init__()
        parts, channels = [nn.Conv2d(inputs, ndf, 4, 2, 1), nn.LeakyReLU(0.2, True)], ndf
        for n in range(1, layers + 1):
            outputs = ndf * min(2**n, 8)
            parts += [nn.Conv2d(channels, outputs, 4, 2 if n < layers else 1, 1, bias=False), nn.BatchNorm2d(outputs),
                      nn.LeakyReLU(0.2, True)]
            channels = outputs
        self.model = nn.Sequential(*parts, nn.Conv2d(channels, 1, 4, 1, 1))

    def forward(self, x):
        return self.model(x)


class SpatialTransformer(nn.Module):
    """Jaderberg et al., NIPS 2015."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.conv2_drop = nn.Conv2d(1, 10, 5), nn.Conv2d(10, 20, 5), nn.Dropout2d()
        self.fc1, self.fc2 = nn.Linear(320, 50), nn.Linear(50, 10)
        self.localization = nn.Sequential(nn.Conv2d(1, 8, 7), nn.MaxPool2d(2, 2), nn.ReLU(True), nn.Conv2d(8, 10, 5), nn.MaxPool2d(2, 2),
                                          nn.ReLU(True))
        self.fc_loc = nn.Sequential(nn.Linear(10 * 3 * 3, 32), nn.ReLU(True), nn.Linear(32, 3 * 2))
        self.fc_loc[2].bias.data.copy_(torch.tensor([1, 0, 0, 0, 1, 0], dtype=torch.float))

    def forward(self, x):  # (N, 1, 28, 28)
        theta = self.fc_loc(self.localization(x).view(-1, 10 * 3 * 3)).view(-1, 2, 3)
        grid = F.affine_grid(theta, x.size(), align_corners=False)
        x = F.grid_sample(x, grid, align_corners=False)
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        return F.log_softmax(self.fc2(F.relu(self.fc1(x.view(-1, 320)))), dim=1)


class DQN(nn.Module):
    """Mnih et al., Nature 2015."""

    def __init__(self, actions=4, frames=4):
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(frames, 32, 8, stride=4), nn.ReLU(), nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(),
                                     nn.Conv2d(64, 64, 3, stride=1), nn.ReLU(), nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(),
                                     nn.Linear(512, actions))

    def forward(self, x):
        return self.network(x / 255.0)


MODELS = {"mixer_b16": (Mixer, 59_880_472, "stem.weight blocks.11.tokens.2.bias head.bias"),
          "text_cnn": (functools.partial(TextCNN, 20_000), None, "embed.weight convs.2.weight fc1.bias"),
          "style_transfer": (TransformerNet, 1_679_235, "conv1.conv2d.weight blocks.4.in2.weight deconv3.conv2d.bias"),
          "super_resolution": (SuperResolution, None, "conv1.weight conv4.bias"),
          "patchgan": (PatchGAN, 2_768_705, "model.0.weight model.8.weight model.11.bias"),
          "spatial_transformer": (SpatialTransformer, None, "localization.3.weight fc_loc.2.bias fc2.weight"),
          "dqn": (DQN, 1_686_180, "network.0.weight network.9.bias")}
SMALL = {"mixer": (functools.partial(Mixer, 8, 4, 8, 2, 6, 16, 5), (2, 3, 8, 8), (2, 5)),
         "text_cnn": (functools.partial(TextCNN, 9, 6, (2, 3), 4), ("int", 9, (3, 7)), (3, 2)),
         "style": (functools.partial(TransformerNet, 4, 1), (1, 3, 16, 20), (1, 3, 16, 20)),
         "super_resolution": (functools.partial(SuperResolution, 2, 8), (2, 1, 7, 6), (2, 1, 14, 12)),
         "patchgan": (functools.partial(PatchGAN, 3, 4), (1, 3, 48, 48), (1, 1, 4, 4)),
         "spatial_transformer": (SpatialTransformer, (2, 1, 28, 28), (2, 10))}
