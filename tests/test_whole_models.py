"""Whole models in PyTorch's idiom, run by both packages with the same weights: loss, all gradients, printing, state_dict."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg

torch = pytest.importorskip("torch")


def resnet(pkg):
    """A residual network for 32 x 32 images."""
    nn, F = pkg.nn, pkg.nn.functional

    class Block(nn.Module):
        def __init__(self, width_in, width, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(width_in, width, kernel_size=3, stride=stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=1, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.shortcut = nn.Sequential()
            if stride != 1 or width_in != width:
                self.shortcut = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

        def forward(self, x):
            out = F.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            out += self.shortcut(x)
            return F.relu(out)

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
            self.layers = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 32, 1), Block(32, 64, 2))
            self.linear = nn.Linear(64, 10)

        def forward(self, x):
            out = self.layers(F.relu(self.bn1(self.conv1(x))))
            out = F.avg_pool2d(out, 8)
            return self.linear(out.view(out.size(0), -1))

    return ResNet()


def language_model(pkg):
    """A one-block GPT with tied embeddings and a causal mask kept as a buffer."""
    nn, F = pkg.nn, pkg.nn.functional
    vocabulary, length, width, heads = 50, 16, 32, 4

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.transformer = nn.ModuleDict({"wte": nn.Embedding(vocabulary, width), "wpe": nn.Embedding(length, width),
                                              "ln": nn.LayerNorm(width), "ln2": nn.LayerNorm(width)})
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.Tanh(), nn.Linear(4 * width, width), nn.Dropout(0.0))
            self.head = nn.Linear(width, vocabulary, bias=False)
            self.transformer.wte.weight = self.head.weight
            self.register_buffer("mask", pkg.tril(pkg.ones(length, length)).view(1, 1, length, length), persistent=False)
            self.apply(self.start)

        def start(self, module):
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, mean=0.0, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

        def forward(self, ids):
            b, t = ids.size()
            parts = self.transformer
            x = parts.wte(ids) + parts.wpe(pkg.arange(0, t, dtype=pkg.long))
            q, k, v = self.qkv(parts.ln(x)).split(width, dim=2)
            q, k, v = (p.view(b, t, heads, width // heads).transpose(1, 2) for p in (q, k, v))  # (B, H, T, D)
            scores = (q @ k.transpose(-2, -1)) * (1.0 / k.size(-1) ** 0.5)
            scores = scores.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf"))
            y = F.softmax(scores, dim=-1) @ v
            x = x + self.proj(y.transpose(1, 2).contiguous().view(b, t, width))
            x = x + self.mlp(parts.ln2(x))
            logits = self.head(x)
            return F.cross_entropy(logits.view(-1, logits.size(-1)), ids.view(-1), ignore_index=-1)

    return GPT()


def gan(pkg):
    """Generator and discriminator of a small DCGAN, one after the other."""
    nn = pkg.nn
    generator = nn.Sequential(
        nn.ConvTranspose2d(10, 16, 4, 1, 0, bias=False), nn.BatchNorm2d(16), nn.ReLU(True),
        nn.ConvTranspose2d(16, 3, 4, 2, 1, bias=False), nn.Tanh())
    discriminator = nn.Sequential(
        nn.Conv2d(3, 16, 4, 2, 1, bias=False), nn.ReLU(inplace=True), nn.Conv2d(16, 1, 4, 1, 0, bias=False), nn.Flatten(), nn.Sigmoid())
    return nn.Sequential(generator, discriminator)


RNG = np.random.default_rng(0)
MODELS = [(resnet, RNG.normal(size=(4, 3, 32, 32)).astype(np.float32)), (language_model, RNG.integers(0, 50, (3, 16))),
          (gan, RNG.normal(size=(5, 10, 1, 1)).astype(np.float32))]


@pytest.mark.parametrize(("make", "data"), MODELS, ids=lambda x: getattr(x, "__name__", ""))
def test_agrees_with_pytorch(make, data):
    torch.manual_seed(0)
    theirs, ours = make(torch), make(tg)
    assert str(ours) == str(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    for _ in range(2):
        a, b = ours(tg.tensor(data)).square().mean(), theirs(torch.tensor(data)).square().mean()
        a.backward()
        b.backward()
    assert abs(a.item() - b.item()) <= 1e-5 * abs(b.item())
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        want = q.grad.numpy()
        assert np.abs(p.grad.numpy() - want).max() <= 1e-4 * np.abs(want).max(), name
    for (name, p), q in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        assert np.allclose(p.numpy(), q.numpy(), rtol=1e-5), name
