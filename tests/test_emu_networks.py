"""Whole networks on the device `emu`: five training steps end at the losses of `cpu`."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn
from tensorgrad.nn import functional as F

pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)


class Residual(nn.Module):
    """A basic block: two 3 x 3 convolutions beside a shortcut, with batch norm."""

    def __init__(self, width_in, width, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.shortcut(x))


class Transformer(nn.Module):
    """A causal language model of one block with an embedding."""

    def __init__(self, vocabulary=19, width=16, heads=2):
        super().__init__()
        self.heads = heads
        self.embedding, self.norm1, self.norm2 = nn.Embedding(vocabulary, width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens):
        x = self.embedding(tokens)  # (B, T, C)
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, T, D)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(batch, length, width)
        x = x + self.project(y)
        x = x + self.mlp(self.norm2(x))
        return self.head(x)


def cnn():
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 9, 3), nn.ReLU(), nn.AvgPool2d(2),
                         nn.Flatten(), nn.Linear(9 * 2 * 2, 10))


def resnet():
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), Residual(8, 8, 1), Residual(8, 16, 2),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


def generator():
    return nn.Sequential(nn.ConvTranspose2d(8, 16, 4, 1, 0, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
                         nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Tanh())


def discriminator():
    return nn.Sequential(nn.Conv2d(1, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 4, 1, 0), nn.Flatten())


def to_device(rng, device, *shape):
    return tg.tensor(rng.standard_normal(shape).astype(np.float32), device=device)


def train_classifier(make, device, *shape):
    """Losses of five AdamW steps on a batch of random images."""
    tg.manual_seed(0)
    model, rng = make().to(device), np.random.default_rng(0)
    optimizer = tg.optim.AdamW(model.parameters(), lr=1e-2)
    x, y = to_device(rng, device, *shape), tg.tensor(rng.integers(0, 10, shape[0]), device=device)
    return [step(optimizer, lambda: F.cross_entropy(model(x), y)) for _ in range(5)]


def train_transformer(device):
    tg.manual_seed(0)
    model, rng = Transformer().to(device), np.random.default_rng(0)
    optimizer = tg.optim.Adam(model.parameters(), lr=1e-2)
    tokens = tg.tensor(rng.integers(0, 19, (3, 12)), device=device)
    return [step(optimizer, lambda: F.cross_entropy(model(tokens[:, :-1]).reshape(-1, 19), tokens[:, 1:].reshape(-1))) for _ in range(5)]


def train_gan(device):
    """Both losses of five rounds: the discriminator's step, then the generator's."""
    tg.manual_seed(0)
    g, d, rng = generator().to(device), discriminator().to(device), np.random.default_rng(0)
    for_g = tg.optim.Adam(g.parameters(), lr=1e-3, betas=(0.5, 0.999))
    for_d = tg.optim.Adam(d.parameters(), lr=1e-3, betas=(0.5, 0.999))
    real, one, zero = to_device(rng, device, 4, 1, 8, 8), tg.ones(4, 1, device=device), tg.zeros(4, 1, device=device)
    losses = []
    for _ in range(5):
        noise = to_device(rng, device, 4, 8, 1, 1)
        fake = g(noise)
        losses.append(step(for_d, lambda fake=fake: F.binary_cross_entropy_with_logits(d(real), one)
                           + F.binary_cross_entropy_with_logits(d(fake.detach()), zero)))
        losses.append(step(for_g, lambda fake=fake: F.binary_cross_entropy_with_logits(d(fake), one)))
    return losses


def step(optimizer, loss_of):
    optimizer.zero_grad()
    loss = loss_of()
    loss.backward()
    optimizer.step()
    return loss.item()


TRAIN = {"cnn": lambda device: train_classifier(cnn, device, 4, 1, 12, 12),
         "resnet": lambda device: train_classifier(resnet, device, 4, 3, 8, 8),
         "transformer": train_transformer, "dcgan": train_gan}


@pytest.mark.parametrize("network", TRAIN)
def test_five_steps_on_emu_are_those_on_cpu(network):
    want, got = TRAIN[network]("cpu"), TRAIN[network]("emu")
    assert network == "dcgan" or want[-1] < want[0]
    np.testing.assert_allclose(got, want, rtol=2e-5)
