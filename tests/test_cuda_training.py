"""Networks, optimizers and random numbers on the device `cuda`, next to cpu, on the double of CuPy (tests/cupy_double)."""
from __future__ import annotations

import cupy_double
import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn
from tensorgrad.data import DataLoader
from tensorgrad.nn import functional as F

pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)


@pytest.fixture(autouse=True)
def cupy():
    with cupy_double.installed() as double:
        yield double


def train(device, make, x, y, loss, steps=4):
    tg.manual_seed(0)
    model = make().to(device)
    optimizer = tg.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(model(x.to(device)), y.to(device))
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def test_networks_train_as_on_cpu():
    tg.manual_seed(1)
    images, labels = tg.randn(4, 3, 8, 8), tg.randint(0, 5, (4,))

    def network():
        return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(2),
                             nn.Flatten(), nn.LayerNorm(32), nn.Linear(32, 5))

    want, got = (train(device, network, images, labels, F.cross_entropy) for device in ("cpu", "cuda"))
    assert got[-1] < got[0]
    np.testing.assert_allclose(got, want, rtol=1e-4)


@pytest.mark.parametrize(("make", "shape"), [
    (lambda: nn.LSTM(5, 7, num_layers=2, batch_first=True), (2, 6, 5)), (lambda: nn.GRU(5, 7, bidirectional=True), (4, 2, 5)),
    (lambda: nn.MultiheadAttention(8, 2, batch_first=True), (2, 5, 8)),
    (lambda: nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.GroupNorm(2, 8), nn.SiLU(), nn.ConvTranspose2d(8, 3, 2, 2)), (2, 4, 6, 6)),
    (lambda: nn.Sequential(nn.Conv1d(3, 4, 3, padding=1), nn.BatchNorm1d(4), nn.AvgPool1d(2), nn.Upsample(scale_factor=2)), (2, 3, 8)),
    (lambda: nn.Sequential(nn.Linear(6, 6), nn.RMSNorm(6), nn.PReLU(), nn.Softmax(-1), nn.Linear(6, 1)), (3, 6)),
    (lambda: nn.Sequential(nn.Conv3d(2, 3, 2), nn.Flatten(), nn.Softplus()), (2, 2, 3, 3, 3)),
    (lambda: nn.Sequential(nn.ReflectionPad2d(1), nn.Unfold(2), nn.Tanh()), (1, 2, 3, 3)),
], ids=["lstm", "gru", "attention", "group norm", "conv1d", "linear", "conv3d", "unfold"])
def test_modules_and_their_gradients_are_those_of_cpu(make, shape):
    tg.manual_seed(0)
    model, x = make(), tg.randn(*shape)
    found = []
    for device in ("cpu", "cuda"):
        model.to(device)
        model.zero_grad()
        given = x.clone().to(device).requires_grad_()
        out = model(given, given, given)[0] if isinstance(model, nn.MultiheadAttention) else model(given)
        out = out[0] if isinstance(out, tuple) else out
        (out * out).mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        found.append([t.detach().cpu().numpy() for t in (out, given.grad, *[p.grad for p in model.parameters()])])
    for want, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD"])
def test_optimizers_step_as_on_cpu(name):
    found = []
    for device in ("cpu", "cuda"):
        w = tg.arange(7, dtype=tg.float32, device=device).requires_grad_()
        optimizer = getattr(tg.optim, name)([w], lr=0.1)
        scheduler = tg.optim.lr_scheduler.StepLR(optimizer, 2)
        for _ in range(4):
            optimizer.zero_grad(set_to_none=False)
            (w * w).sum().backward()
            optimizer.step()
            scheduler.step()
        found.append(w.detach().cpu().numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


# ---------------------------------------------------------------- random numbers


def test_a_device_draws_what_cpu_draws():
    tg.manual_seed(5)
    want = tg.rand(7), tg.randint(0, 99, (5,)), tg.randn(4)
    got = tg.rand(7, device="cuda"), tg.randint(0, 99, (5,), device="cuda"), tg.randn(4, device="cuda")  # its own generator: from the start
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g.cpu().numpy(), w.numpy(), rtol=1e-5)
    assert tg.cuda.initial_seed() == 5
    state = tg.cuda.get_rng_state()
    later = tg.rand(3, device="cuda")
    tg.cuda.set_rng_state(state)
    assert tg.equal(tg.rand(3, device="cuda"), later)
    with tg.random.fork_rng():
        tg.rand(9, device="cuda")
    tg.cuda.set_rng_state(state)
    assert tg.equal(tg.rand(3, device="cuda"), later)
    tg.cuda.manual_seed(5)
    assert tg.equal(tg.rand(7, device="cuda").cpu(), want[0])


@pytest.mark.parametrize("draw", [
    lambda d: tg.empty(9, device=d).uniform_(-1, 2), lambda d: tg.empty(9, device=d, dtype=tg.float16).normal_(1, 2),
    lambda d: tg.empty(9, device=d).exponential_(2.0), lambda d: tg.empty(9, device=d).cauchy_(),
    lambda d: tg.empty(9, device=d).geometric_(0.3), lambda d: tg.empty(9, device=d).log_normal_(),
    lambda d: tg.empty(9, device=d).random_(7), lambda d: tg.empty(9, device=d).bernoulli_(0.4),
    lambda d: tg.full((9,), 0.4, device=d).bernoulli(), lambda d: tg.randperm(9, device=d), lambda d: tg.empty(4, 3, device=d).T.uniform_(),
    lambda d: tg.multinomial(tg.tensor([[0.1, 0.9], [0.5, 0.5]], device=d), 5, replacement=True),
    lambda d: tg.multinomial(tg.tensor([0.1, 0.9, 0.3], device=d), 2), lambda d: tg.normal(tg.ones(5, device=d), tg.ones(5, device=d)),
    lambda d: F.gumbel_softmax(tg.ones(3, 4, device=d)), lambda d: F.rrelu(tg.ones(9, device=d) * -1, training=True),
    lambda d: F.alpha_dropout(tg.ones(9, device=d), 0.5, training=True), lambda d: F.dropout2d(tg.ones(2, 3, 2, 2, device=d), 0.5),
], ids=lambda f: None)
def test_every_draw_is_that_of_cpu(draw):
    results = []
    for device in ("cpu", "cuda"):
        tg.manual_seed(11)
        results.append(draw(device))
    assert results[1].is_cuda
    np.testing.assert_allclose(results[1].cpu().numpy(), results[0].numpy(), rtol=2e-3 if results[0].dtype is tg.float16 else 1e-5)


def test_a_checkpoint_holds_the_numbers_of_every_device():
    tg.manual_seed(1)
    tg.rand(5), tg.rand(3, device="cuda")
    kept = tg.random.state_dict()
    want = tg.rand(4), tg.rand(4, device="cuda")
    tg.manual_seed(2)
    tg.random.load_state_dict(kept)
    assert set(kept) == {"cpu", "cuda:0"}
    assert tg.equal(tg.rand(4), want[0])
    assert tg.equal(tg.rand(4, device="cuda"), want[1])


def test_a_loader_pins_its_batches():
    data = [{"x": tg.ones(2) * i, "y": i} for i in range(4)]
    for batch in DataLoader(data, 2, pin_memory=True):
        assert batch["x"].is_pinned()
        assert batch["x"].to("cuda", non_blocking=True).sum().item() in (2, 10)


def test_dropout_is_that_of_cpu():
    x = tg.ones(40)
    tg.manual_seed(3)
    want = F.dropout(x, 0.5)
    tg.manual_seed(3)
    assert tg.equal(F.dropout(x.cuda(), 0.5).cpu(), want)
