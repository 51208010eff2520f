"""Ops inside of CUDA graphs, on the double of CuPy: indices, zeros and random numbers that are other ones in each replay."""
from __future__ import annotations

import gc

import cupy_double
import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn
from tensorgrad.nn import functional as F
from tensorgrad.ops.shared import windows
from tensorgrad.utils.checkpoint import checkpoint

pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)


@pytest.fixture(autouse=True)
def cupy():
    with cupy_double.installed() as double:
        yield double


def values(found):
    return [t.detach().cpu().numpy() for t in found]


INDEX = tg.tensor([[0, 2, 1, 2], [2, 2, 0, 1]])


@pytest.mark.parametrize("op", [
    lambda x, i: x.gather(0, i), lambda x, i: x.index_select(0, i[0]), lambda x, i: x[i], lambda x, i: x[:, i[0]],
    lambda x, i: x.take(i), lambda x, i: tg.take_along_dim(x, i, 0), lambda x, i: x.scatter_add(0, i, x[:2] * 2.0),
    lambda x, i: x.index_add(0, i[0], x.repeat(2, 1)[:4]), lambda x, i: x.scatter_reduce(0, i, x[:2] * 1.0, "mean"),
    lambda x, i: x.index_put((i[0],), x[0], accumulate=True), lambda x, i: x.cummax(1).values, lambda x, i: F.embedding(i, x),
    lambda x, i: F.one_hot(i, 4) * x[:2].unsqueeze(-1), lambda x, i: x.masked_fill(i[0] > 1, x.sum()), lambda x, i: x[i[0], i[1]],
    lambda x, i: F.pad(x.unsqueeze(0), (1, 1), "reflect"), lambda x, i: x.quantile(0.3, 1), lambda x, i: x * (i[0] // (i[1] + 1)),
    lambda x, i: tg.roi_align(x.reshape(1, 1, 3, 4), tg.cat([i[:1, :1] * 0.0, x[:1] * 0 + i[:1] * 1.0], 1), 2),
    lambda x, i: F.multi_margin_loss(x[:2], i[:, 0]), lambda x, i: x.index_fill(0, i[0], x.sum()),
], ids=["gather", "index_select", "rows", "columns", "take", "take_along_dim", "scatter_add", "index_add", "scatter_reduce", "index_put",
        "cummax", "embedding", "one_hot", "masked_fill", "points", "pad", "quantile", "floor_divide", "roi_align", "multi_margin",
        "index_fill"])
def test_indices_and_their_gradients_follow_the_replay(op):
    def both(x, i):
        x = x.detach().requires_grad_()
        y = op(x, i)
        (y * y).sum().backward()
        return y.detach(), x.grad

    tg.manual_seed(0)
    inputs = [(tg.randn(3, 4).cuda(), i.cuda()) for i in (INDEX, INDEX.flip(1), INDEX * 0)]
    replayed = tg.cuda.graph(both, *inputs[0])
    for x, i in inputs[::-1]:
        for got, want in zip(values(replayed(x, i)), values(both(x, i)), strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("op", [lambda x: x.prod(1), lambda x: x.prod(), lambda x: x.cumprod(1)], ids=["prod", "all", "cumprod"])
def test_products_are_captured_for_zeros_too(op):
    def gradient(x):
        x = x.detach().requires_grad_()
        (op(x) * 3.0).sum().backward()
        return x.grad

    x = tg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], device="cuda")
    replayed = tg.cuda.graph(gradient, x)
    for zeros in ([[1, 1, 1], [1, 1, 1]], [[0, 1, 1], [1, 1, 1]], [[0, 1, 0], [1, 0, 1]]):
        given = x * tg.tensor(zeros, device="cuda")
        np.testing.assert_allclose(replayed(given).cpu().numpy(), gradient(given).cpu().numpy(), rtol=1e-6)


@pytest.mark.parametrize(("message", "what"), [
    ("one_hot: num_classes cannot be found while a graph is captured", lambda x, i: F.one_hot(i)),
    ("scatter_reduce: products, largest and smallest .* cannot be captured", lambda x, i: x.scatter_reduce(0, i, x[:2], "amax")),
    ("dropout inside of attention cannot be captured",
     lambda x, i: F.scaled_dot_product_attention(*[x.reshape(1, 1, 3, 4)] * 3, dropout_p=0.5)),
], ids=["one_hot", "scatter_reduce", "attention"])
def test_what_the_host_decides_is_refused(message, what):
    x, i = tg.randn(3, 4, device="cuda"), INDEX.cuda()
    with pytest.raises(RuntimeError, match=message), tg.cuda.graph(tg.cuda.CUDAGraph()):
        what(x, i)


# ---------------------------------------------------------------- random numbers


def draw(x):
    return (F.dropout(x, 0.5), F.dropout2d(x.reshape(1, 3, 2, 2), 0.5), tg.rand(5, device="cuda"), tg.randn(3, device="cuda"),
            tg.randint(0, 99, (4,), device="cuda"), tg.empty(5, device="cuda").bernoulli_(0.4), tg.empty(3, device="cuda").exponential_(),
            tg.rand(3, device="cuda", dtype=tg.float64), tg.empty(6, device="cuda", dtype=tg.float16).uniform_())


def test_each_replay_draws_what_an_eager_call_would():
    x, drawn = tg.ones(3, 4, device="cuda"), []
    for graphed in (True, False):
        tg.manual_seed(5)
        call = tg.cuda.graph(draw, x, warmup=2) if graphed else draw
        if not graphed:
            draw(x), draw(x)
        drawn.append([values(call(x)) for _ in range(3)] + [values([tg.rand(3, device="cuda")])])
    for got, want in zip(*drawn, strict=True):
        for g, w in zip(got, want, strict=True):
            np.testing.assert_array_equal(g, w)
    assert any((a != b).any() for a, b in zip(drawn[0][0], drawn[0][1], strict=True))


def test_a_seed_makes_replays_again():
    x = tg.ones(3, 4, device="cuda")
    call = tg.cuda.graph(lambda x: F.dropout(x, 0.5), x)
    found = []
    for seed in (1, 2, 1):
        tg.manual_seed(seed)
        found.append([call(x).tolist() for _ in range(3)])
    assert found[0] == found[2] != found[1]
    before = tg.cuda.get_rng_state()
    call(x)
    assert tg.cuda.get_rng_state() == (before[0], before[1] + 3)  # 12 words
    with pytest.raises(RuntimeError, match=r"uniform_: the random generator was set back while a graph is captured"), \
            tg.cuda.graph(tg.cuda.CUDAGraph()):
        _ = tg.rand(3, device="cuda"), tg.cuda.manual_seed(0), tg.rand(3, device="cuda")


def test_a_graphed_network_with_dropout_and_checkpoints_trains_as_an_eager_one():
    def trained(graphed):
        tg.manual_seed(0)
        first, last = nn.Linear(4, 8).to("cuda"), nn.Linear(8, 2).to("cuda")
        optimizer = tg.optim.AdamW([*first.parameters(), *last.parameters()], lr=0.1)

        def step(x):
            optimizer.zero_grad()
            hidden = checkpoint(lambda x: F.dropout(first(x), 0.5).relu(), x, use_reentrant=False)
            loss = (last(F.dropout(hidden, 0.2)) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss.detach()

        x = tg.randn(3, 4).cuda()
        if graphed:
            step = tg.cuda.graph(step, x, warmup=2)
        else:
            step(x), step(x)
        return [step(x).item() for _ in range(4)] + values(first.parameters())

    for got, want in zip(trained(True), trained(False), strict=True):
        np.testing.assert_array_equal(got, want)


def test_tables_that_were_made_while_capturing_are_kept():
    def gradient(x):
        x = x.detach().requires_grad_()
        F.max_pool2d(x, 3, 2, padding=1).square().sum().backward()
        return x.grad

    x, g = tg.randn(2, 3, 9, 7, device="cuda"), tg.cuda.CUDAGraph()
    want = gradient(x).cpu()
    windows.there.cache_clear()
    with tg.cuda.graph(g):
        found = gradient(x)
    windows.there.cache_clear()
    gc.collect()
    junk = [tg.full((n,), 77, device="cuda") for n in (8, 16, 64) for _ in range(20)]
    g.replay()
    assert len(junk) == 60
    assert tg.equal(found.cpu(), want)
