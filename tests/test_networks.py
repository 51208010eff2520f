"""The networks in models/, next to PyTorch: their source runs there too, so outputs, gradients and training are compared one by one.

Sizes and names are those that papers and published weights have.
"""
from __future__ import annotations

import functools
import importlib
import itertools
import math
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.models import gan, gpt, lenet, resnet, transformer

RNG = np.random.default_rng(0)
SMALL_GPT = {"vocab_size": 11, "context": 12, "layers": 2, "heads": 2, "width": 8}
SMALL_TRANSFORMER = {"source_vocabulary": 9, "target_vocabulary": 11, "layers": 2, "heads": 2, "width": 8, "inside": 16, "dropout": 0.0,
                     "longest": 12}


def images(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def tokens(high: int, *shape: int) -> np.ndarray:
    return RNG.integers(1, high, shape)


# a network of the module, its inputs, and how many classes its outputs have
NETWORKS: dict[str, tuple[str, Callable[[Any], Any], tuple[np.ndarray, ...]]] = {
    "LeNet": ("lenet", lambda m: m.LeNet(), (images(4, 1, 28, 28),)),
    "basic blocks": ("resnet", lambda m: m.ResNet(m.BasicBlock, (1, 1, 1, 1), 7), (images(2, 3, 64, 64),)),
    "bottlenecks": ("resnet", lambda m: m.ResNet(m.Bottleneck, (1, 1, 1, 1), 7), (images(2, 3, 64, 64),)),
    "ResNet-8": ("resnet", lambda m: m.CifarResNet(8, 5), (images(3, 3, 16, 16),)),
    "ResNet-8, projected": ("resnet", lambda m: m.CifarResNet(8, 5, 1, projection=True), (images(3, 1, 16, 16),)),
    "plain 14": ("resnet", lambda m: m.CifarResNet(14, 5, skip=False), (images(3, 3, 16, 16),)),
    "GPT": ("gpt", lambda m: m.GPT(m.GPTConfig(**SMALL_GPT)), (tokens(11, 3, 10),)),
    "Transformer": ("transformer", lambda m: m.Transformer(m.TransformerConfig(**SMALL_TRANSFORMER)),
                    (np.pad(tokens(9, 3, 7), [(0, 0), (0, 2)]), tokens(11, 3, 6))),
    "MLP generator": ("gan", lambda m: m.MLPGenerator(6, 8, width=8), (images(5, 6),)),
    "MLP discriminator": ("gan", lambda m: m.MLPDiscriminator(8, width=8, dropout=0.0), (images(5, 1, 8, 8),)),
    "generator": ("gan", lambda m: m.Generator(6, 28, 1, 8), (images(4, 6),)),
    "discriminator": ("gan", lambda m: m.Discriminator(28, 1, 8), (images(4, 1, 28, 28),)),
    "critic": ("gan", lambda m: m.Discriminator(16, 3, 8, norm=False), (images(4, 3, 16, 16),)),
}


@pytest.fixture
def theirs() -> Iterator[Callable[[str], Any]]:
    """A module of models/ on PyTorch: the same source, its imports changed."""
    pytest.importorskip("torch")
    made = []

    def module(name: str) -> Any:
        source = Path(importlib.import_module(f"tensorgrad.models.{name}").__file__ or "").read_text("utf-8")
        made.append(types.ModuleType(f"torch_{name}"))
        sys.modules[made[-1].__name__] = made[-1]  # dataclasses look there
        source = source.replace("import tensorgrad as tg", "import torch as tg").replace("from tensorgrad", "from torch")
        exec(compile(source, name, "exec"), made[-1].__dict__)
        return made[-1]

    yield module
    for m in made:
        del sys.modules[m.__name__]


def twins(name: str, theirs: Callable[[str], Any]) -> tuple[Any, Any, list[Any], list[Any]]:
    """(ours, PyTorch's, our inputs, its inputs), in float64 and with the same weights."""
    import torch

    tg.manual_seed(0)
    module, make, inputs = NETWORKS[name]
    a, b = make(importlib.import_module(f"tensorgrad.models.{module}")).double(), make(theirs(module)).double()
    assert list(a.state_dict()) == list(b.state_dict())
    b.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in a.state_dict().items()})
    for key, value in b.named_buffers():  # tables, which are not in it
        value.copy_(torch.from_numpy(a.get_buffer(key).numpy()))
    return a, b, [tg.from_numpy(x) for x in inputs], [torch.from_numpy(x) for x in inputs]


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_gradients_are_pytorchs(name: str, theirs: Callable[[str], Any]) -> None:
    import torch

    a, b, x, y = twins(name, theirs)
    out, expected = a(*x), b(*y)
    weights = RNG.standard_normal(tuple(out.shape))
    (out * tg.from_numpy(weights)).sum().backward()
    (expected * torch.from_numpy(weights)).sum().backward()
    assert np.allclose(out.detach().numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-9)
    for (key, p), q in zip(a.named_parameters(), b.parameters(), strict=True):
        scale = max(float(q.grad.abs().max()), 1e-6)
        assert np.abs(p.grad.numpy() - q.grad.numpy()).max() <= 1e-8 * scale, key
    a.eval()
    b.eval()
    assert np.allclose(a(*x).detach().numpy(), b(*y).detach().numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["LeNet", "ResNet-8", "GPT", "Transformer", "discriminator"])
def test_twenty_steps_are_pytorchs(name: str, theirs: Callable[[str], Any]) -> None:
    """In float32 and with Adam, as recipes train: losses within 1e-4."""
    import torch

    a, b, x, y = twins(name, theirs)
    a.float(), b.float()
    losses = []
    for lib, model, inputs in ((tg, a, x), (torch, b, y)):
        inputs = [i.float() if i.is_floating_point() else i for i in inputs]
        optimizer = lib.optim.Adam(model.parameters(), lr=1e-3)
        losses.append([])
        for _ in range(20):
            out = model(*inputs)
            if out.ndim == 1:
                loss = lib.nn.functional.binary_cross_entropy_with_logits(out, lib.ones_like(out))
            else:
                classes = out.shape[-1]
                labels = lib.arange(out.numel() // classes) % classes
                loss = lib.nn.functional.cross_entropy(out.reshape(-1, classes), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert np.allclose(losses[0], losses[1], rtol=1e-4)
    assert losses[0][-1] < losses[0][0]


def test_sizes_and_names_of_published_weights() -> None:
    for make, count in ((resnet.resnet18, 11_689_512), (resnet.resnet34, 21_797_672), (resnet.resnet50, 25_557_032)):
        assert sum(p.numel() for p in make().parameters()) == count
    keys = list(resnet.resnet18().state_dict())
    assert len(keys) == 122
    assert keys[:7] == ["conv1.weight", *(f"bn1.{k}" for k in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
                        "layer1.0.conv1.weight"]
    assert {"layer2.0.downsample.0.weight", "layer2.0.downsample.1.running_mean", "layer4.1.bn2.bias", "fc.weight"} <= set(keys)
    for depth, count in ((20, 269_722), (32, 464_154), (56, 853_018)):  # table 6 of the paper: 0.27, 0.46 and 0.85 M
        assert sum(p.numel() for p in resnet.CifarResNet(depth).parameters()) == count
        assert sum(p.numel() for p in resnet.CifarResNet(depth, skip=False).parameters()) == count
    small = gpt.GPT(gpt.GPTConfig(vocab_size=96, context=128, layers=4, heads=4, width=128))
    assert sum(p.numel() for p in small.parameters()) == 822_016
    base = transformer.TransformerConfig(37_000, 37_000)
    assert (base.layers, base.width, base.heads, base.inside) == (6, 512, 8, 2048)
    assert gan.Generator().main(tg.zeros(2, 100, 1, 1)).shape == (2, 3, 64, 64)
    assert sum(p.numel() for p in lenet.LeNet().parameters()) == 61_706


def test_gpt2_has_its_size() -> None:
    config = gpt.GPTConfig()
    block = 12 * config.width**2 + 13 * config.width
    assert (config.vocab_size + config.context) * config.width + config.layers * block + 2 * config.width == 124_439_808
    one = gpt.GPT(gpt.GPTConfig(layers=1))  # all twelve take half a gigabyte
    assert sum(p.numel() for p in one.parameters()) == 124_439_808 - 11 * block


def test_gpt_loads_weights_in_their_published_layout(tmp_path: Path) -> None:
    """Hugging Face's files keep the matrices of the layers transposed, have masks as buffers, and may have a prefix."""
    tg.manual_seed(0)
    model = gpt.GPT(gpt.GPTConfig(vocab_size=20, context=8, layers=2, heads=2, width=128)).eval()
    file: dict[str, Any] = {"lm_head.weight": model.wte.weight}
    for key, value in model.state_dict().items():
        file["transformer." + key] = value.t().contiguous() if value.ndim == 2 and ("attn" in key or "mlp" in key) else value
    for i in range(2):
        file[f"transformer.h.{i}.attn.bias"] = tg.ones(1, 1, 8, 8)
    tg.save(file, tmp_path / "model.safetensors")
    loaded = gpt.GPT.from_safetensors(str(tmp_path / "model.safetensors")).eval()
    assert loaded.config == model.config
    x = tg.tensor(tokens(20, 2, 8))
    assert np.array_equal(loaded(x).detach().numpy(), model(x).detach().numpy())


def test_gpt_remembers_what_it_read() -> None:
    tg.manual_seed(0)
    model = gpt.GPT(gpt.GPTConfig(**SMALL_GPT)).eval().double()
    x = tg.tensor(tokens(11, 2, 9))
    whole = model(x).detach().numpy()
    past: list[Any] = []
    pieces = [model(x[:, a:b], past).detach().numpy() for a, b in ((0, 4), (4, 5), (5, 9))]
    assert np.allclose(np.concatenate(pieces, 1), whole, atol=1e-12)
    later = x.clone()
    later[:, 6:] = 1  # what comes later does not matter
    assert np.allclose(model(later).detach().numpy()[:, :6], whole[:, :6], atol=1e-12)
    with pytest.raises(ValueError, match="13 tokens do not fit into the context of 12"):
        model(x[:, :4], past)


def test_gpt_generates() -> None:
    tg.manual_seed(0)
    model = gpt.GPT(gpt.GPTConfig(**SMALL_GPT)).train()
    start = tg.tensor(tokens(11, 3, 2))
    greedy = model.generate(start, 8, temperature=0)
    assert model.training
    model.eval()
    by_hand = start
    for _ in range(8):
        by_hand = tg.cat([by_hand, model(by_hand)[:, -1].argmax(1, keepdim=True)], 1)
    assert greedy.tolist() == by_hand.tolist()
    long = model.generate(start, 30, top_k=5, top_p=0.9)  # beyond the context of 12
    assert long.shape == (3, 32)
    assert long[:, :2].tolist() == start.tolist()
    again = [model.generate(start, 9, generator=tg.Generator().manual_seed(s)).tolist() for s in (1, 1, 2)]
    assert again[0] == again[1] != again[2]


def test_choosing_a_token() -> None:
    scores = tg.tensor([[0.5, 0.3, 0.15, 0.05]]).log().expand(4000, 4)
    tg.manual_seed(0)

    def shares(**options: Any) -> np.ndarray:
        return np.bincount(gpt.choose(scores, **options).numpy()[:, 0], minlength=4) / 4000

    assert np.allclose(shares(), [0.5, 0.3, 0.15, 0.05], atol=0.03)
    assert np.allclose(shares(top_k=2), [0.625, 0.375, 0, 0], atol=0.03)
    assert np.allclose(shares(top_p=0.9), [0.526, 0.316, 0.158, 0], atol=0.03)
    assert shares(top_p=0.5)[0] == 1
    squares = np.array([0.5, 0.3, 0.15, 0.05]) ** 2
    assert np.allclose(shares(temperature=0.5), squares / squares.sum(), atol=0.03)
    assert shares(temperature=0)[0] == 1
    for bad in ({"temperature": -1}, {"top_p": 0}, {"top_k": 0}):
        with pytest.raises(ValueError, match="choose: temperature must not be negative"):
            gpt.choose(scores, **bad)


@pytest.fixture(scope="module")
def reverser() -> transformer.Transformer:
    """A Transformer that has learned to write four symbols backwards: 1 begins, 2 ends."""
    tg.manual_seed(1)
    config = transformer.TransformerConfig(8, 8, layers=1, heads=2, width=32, inside=64, dropout=0.0, longest=8)
    model = transformer.Transformer(config)
    optimizer = tg.optim.Adam(model.parameters(), lr=4e-3)
    rng = np.random.default_rng(0)
    for _ in range(250):
        x = rng.integers(3, 8, (32, 4))
        y = np.concatenate([np.full((32, 1), 1), x[:, ::-1], np.full((32, 1), 2)], 1)
        loss = tg.nn.functional.cross_entropy(model(tg.tensor(x), tg.tensor(y[:, :-1])).reshape(-1, 8), tg.tensor(y[:, 1:].reshape(-1)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("beams", [1, 3])
def test_transformer_learns_to_reverse(reverser: transformer.Transformer, beams: int) -> None:
    x = np.random.default_rng(1).integers(3, 8, (20, 4))
    written = reverser.translate(tg.tensor(x), 1, 2, 6, beams)
    assert written == x[:, ::-1].tolist()


def test_a_wide_beam_finds_the_best_there_is() -> None:
    """All sequences of up to three of five tokens, by brute force; greed misses the best of some."""
    config = transformer.TransformerConfig(9, 5, layers=1, heads=1, width=8, inside=8, dropout=0.0, longest=8)

    def value(model: transformer.Transformer, x: tg.Tensor, y: tuple[int, ...]) -> float:
        p = tg.nn.functional.log_softmax(model(x, tg.tensor([[1, *y]])), 2)[0].detach().numpy()
        last = p[len(y), 2] if len(y) < 3 else p[3].max()  # at the limit it ends in any way
        return float(sum(p[i, t] for i, t in enumerate(y)) + last) / ((5 + len(y) + 1) / 6) ** 0.6

    every = [y for n in range(4) for y in itertools.product((0, 1, 3, 4), repeat=n)]
    missed = 0
    for seed in range(8):
        tg.manual_seed(seed)
        model, x = transformer.Transformer(config).eval(), tg.randint(1, 9, (1, 4))
        best = max(every, key=functools.partial(value, model, x))
        assert model.translate(x, 1, 2, 3, beams=80) == [list(best)]
        greedy = model.translate(x, 1, 2, 3)[0]
        assert value(model, x, tuple(greedy)) <= value(model, x, best) + 1e-6
        missed += greedy != list(best)
    assert missed > 0


def test_padding_is_not_looked_at(reverser: transformer.Transformer) -> None:
    x = np.array([[3, 4, 5, 6]])
    padded = np.pad(x, [(0, 0), (0, 3)])
    target = tg.tensor([[1, 6, 5]])
    assert np.allclose(reverser(tg.tensor(x), target).detach().numpy(), reverser(tg.tensor(padded), target).detach().numpy(), atol=1e-5)
    assert reverser.translate(tg.tensor(padded), 1, 2, 6) == [[6, 5, 4, 3]]


def test_sinusoids() -> None:
    table = transformer.sinusoids(50, 6).numpy()
    for t in (0, 1, 7, 49):
        for i in range(3):
            assert math.isclose(table[t, 2 * i], math.sin(t / 10000 ** (2 * i / 6)), abs_tol=1e-5)
            assert math.isclose(table[t, 2 * i + 1], math.cos(t / 10000 ** (2 * i / 6)), abs_tol=1e-5)


@pytest.mark.parametrize("size", [8, 16, 28, 32, 64])
def test_dcgan_sizes(size: int) -> None:
    pictures = gan.Generator(5, size, 2, 4)(tg.randn(3, 5))
    assert pictures.shape == (3, 2, size, size)
    assert pictures.abs().max().item() <= 1
    assert gan.Discriminator(size, 2, 4)(pictures).shape == (3,)


@pytest.mark.parametrize(("make", "words"), [
    (lambda: gan.Generator(size=30), "halving left 15"),
    (lambda: gan.Discriminator(size=7), "doubled once or more"),
    (lambda: resnet.CifarResNet(21), r"6n \+ 2 .* got 21"),
    (lambda: gpt.GPTConfig(width=10, heads=3), "does not divide into 3 heads"),
    (lambda: transformer.TransformerConfig(3, 3, width=10, heads=4), "divide into 4 heads"),
    (lambda: transformer.Transformer(transformer.TransformerConfig(**SMALL_TRANSFORMER))(*[tg.ones(1, 13, dtype=tg.int64)] * 2),
     "a sequence of 13 tokens, but at most 12"),
])
def test_wrong_sizes(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
