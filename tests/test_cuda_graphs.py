"""CUDA graphs without a GPU, on the double of CuPy: during a capture nothing is computed and memory holds NaN, a replay computes.

It shows what is captured, kept alive and refused, and that replays give the bits of eager calls; not that a GPU takes the graph.
"""
from __future__ import annotations

import gc
import threading

import cupy_double
import numpy as np
import pytest
from cupy_double import cuda as machine

import tensorgrad as tg
from tensorgrad import nn
from tensorgrad.nn import functional as F

pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)


@pytest.fixture(autouse=True)
def cupy():
    with cupy_double.installed() as double:
        yield double


def churn():
    """Take and overwrite what memory is free."""
    gc.collect()
    for n in (1, 12, 64, 300):
        held = [tg.full((n,), 77.0, device="cuda") for _ in range(20)]
        del held
    tg.cuda.empty_cache()


def test_a_function_becomes_its_replay():
    w = tg.randn(4, 3, device="cuda")

    def step(x):
        return (x @ w).relu().sum(1) * 3.0

    x = tg.randn(5, 4, device="cuda")
    f = tg.cuda.graph(step, x)
    for _ in range(3):
        new = tg.randn(5, 4, device="cuda")
        churn()
        machine.log.clear()
        y = f(new)
        assert [entry[0] for entry in machine.log if entry[0] == "graph"] == ["graph"]
        assert tg.equal(y, step(new))
    assert f(x) is y  # the same tensor each time


def test_nothing_runs_while_capturing():
    x, g = tg.ones(3, device="cuda"), tg.cuda.CUDAGraph()
    with tg.cuda.graph(g):
        y = x * 2.0
        x += 1
    assert np.isnan(y.cpu().numpy()).all()
    assert x.cpu().tolist() == [1, 1, 1]
    g.replay()
    g.replay()
    assert (y.cpu().tolist(), x.cpu().tolist()) == ([4, 4, 4], [3, 3, 3])


def test_what_a_graph_reads_is_kept_alive_until_it_is_reset():
    g = tg.cuda.CUDAGraph()
    a, b = tg.full((64,), 3.0, device="cuda"), tg.full((64,), 4.0, device="cuda")
    before, free = tg.cuda.memory_allocated(), tg.cuda.mem_get_info()[0]
    with tg.cuda.graph(g):
        t = (a * a).sqrt()  # what lies in between is nobody's afterwards, but the graph's
        y = (t + b) * 0.5
    del a, b, t
    churn()
    g.replay()
    assert y.cpu().tolist() == [3.5] * 64
    assert tg.cuda.memory_allocated() >= before
    del y
    g.reset()
    gc.collect()
    tg.cuda.empty_cache()
    assert tg.cuda.memory_allocated() < before
    assert tg.cuda.mem_get_info()[0] >= free
    with pytest.raises(RuntimeError, match=r"CUDAGraph.replay: nothing was captured"):
        g.replay()


def test_a_number_met_first_in_a_capture_is_right_outside_of_it():
    x, g = tg.ones(3, device="cuda"), tg.cuda.CUDAGraph()
    with tg.cuda.graph(g):
        y = x * 1.21875
    assert (x * 1.21875).cpu().tolist() == [1.21875] * 3
    g.replay()
    assert y.cpu().tolist() == [1.21875] * 3


def test_captures_go_to_a_stream_of_their_own():
    g = tg.cuda.CUDAGraph()
    with tg.cuda.graph(g):
        inside = tg.cuda.current_stream()
        assert machine.machine.kernels_on == inside.cuda_stream != 0
    assert tg.cuda.current_stream() == tg.cuda.default_stream()
    assert machine.machine.kernels_on == 0
    with pytest.raises(RuntimeError, match=r"this CUDAGraph holds a graph; reset\(\) it"), tg.cuda.graph(g):
        pass


@pytest.mark.parametrize(("message", "what"), [
    ("reading a value on the host .* cannot be captured", lambda x: x.sum().item()),
    ("reading a value on the host", lambda x: float(x[0])), ("reading a value on the host", lambda x: x.cpu()),
    ("reading a value on the host", lambda x: bool(x.sum() > 0)), ("reading a value on the host", lambda x: print(x)),
    ("synchronize cannot be captured", lambda x: tg.cuda.synchronize()),
    ("synchronize cannot be captured", lambda x: tg.cuda.current_stream().synchronize()),
    ("a query of a stream cannot be captured", lambda x: tg.cuda.current_stream().query()),
    ("a copy from the host's memory cannot be captured", lambda x: tg.tensor([1.0, 2.0], device="cuda")),
    ("a copy from the host's memory cannot be captured", lambda x: x + tg.ones(3).cuda()),
    ("allocating pinned memory cannot be captured", lambda x: tg.ones(3).pin_memory()),
    ("nonzero cannot be captured: it waits for the device", lambda x: x.nonzero()),
    ("masked_select|getitem", lambda x: x[x > 0]), ("unique cannot be captured", lambda x: x.unique()),
    ("a graph is being captured in this thread already", lambda x: tg.cuda.graph(tg.cuda.CUDAGraph()).__enter__()),
], ids=["item", "float", "cpu", "bool", "print", "synchronize", "stream", "query", "tensor", "copy", "pinned", "nonzero",
        "mask", "unique", "graph"])
def test_what_cannot_be_captured_is_refused_by_name(message, what):
    x, g = tg.ones(3, device="cuda"), tg.cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match=message), tg.cuda.graph(g):
        what(x)
    assert tg.cuda.current_stream() == tg.cuda.default_stream()  # and all is as before
    assert (x * 2.0).sum().item() == 6
    with tg.cuda.graph(g):
        y = x * 2.0
    g.replay()
    assert y.cpu().tolist() == [2, 2, 2]


@pytest.mark.parametrize("loss", [
    lambda x, y: F.binary_cross_entropy(x.sigmoid(), y.sigmoid()), lambda x, y: F.mse_loss(x, y), lambda x, y: F.huber_loss(x, y),
    lambda x, y: F.binary_cross_entropy_with_logits(x, y.sigmoid()), lambda x, y: F.nll_loss(x.log_softmax(1), (y > 0).long()[:, 0]),
    lambda x, y: F.kl_div(x.log_softmax(1), y.softmax(1)), lambda x, y: F.cross_entropy(x, y.softmax(1), label_smoothing=0.1),
    lambda x, y: F.gaussian_nll_loss(x, y, y * y + 1.0), lambda x, y: x.logsumexp(1).sum() + F.cosine_similarity(x, y).sum(),
], ids=["bce", "mse", "huber", "bce with logits", "nll", "kl", "soft labels", "gaussian", "logsumexp"])
def test_losses_and_their_gradients_are_captured(loss):
    x, y = tg.randn(4, 3, device="cuda"), tg.randn(4, 3, device="cuda")

    def step(x, y):
        x = x.detach().requires_grad_()
        value = loss(x, y)
        value.backward()
        return value.detach(), x.grad

    captured = tg.cuda.graph(step, x, y)
    for got, want in zip(captured(y, x), step(y, x), strict=True):
        assert tg.equal(got, want)


def test_wrong_inputs_are_refused():
    f = tg.cuda.graph(lambda x: x + 1.0, tg.ones(2, 3, device="cuda"))
    with pytest.raises(RuntimeError, match=r"captured as float32 of shape \(2, 3\) on cuda:0, not float32 of shape \(3, 3\) on cuda:0"):
        f(tg.ones(3, 3, device="cuda"))
    with pytest.raises(TypeError, match="was captured with 1 inputs, not 2"):
        f(tg.ones(2, 3, device="cuda"), tg.ones(2, 3, device="cuda"))
    with pytest.raises(TypeError, match=r"input 0 of .* must be a tensor on cuda, not float32 of shape"):
        tg.cuda.graph(lambda x: x, tg.ones(2))
    with pytest.raises(TypeError, match="expected a CUDAGraph or a function, not a int"):
        tg.cuda.graph(3)
    assert f(tg.zeros(2, 3)).cpu().tolist() == [[1] * 3] * 2  # a batch of the host's is copied


class Tokens(nn.Module):
    def forward(self, x):
        return (x * 3.0).abs().clamp(max=4.5).long()


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.norm = nn.Linear(8, 24), nn.LayerNorm(8)

    def forward(self, x):  # (B, T, C)
        q, k, v = self.qkv(self.norm(x)).reshape(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)  # each (B, H, T, D)
        return (x + F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(x.shape)).mean(1)


def parameters_after(make, optimizer, batches, graphed):
    tg.manual_seed(0)
    model = make().to("cuda")
    opt = optimizer(model.parameters())
    batches = [(x.cuda(), y.cuda()) for x, y in batches]

    def loss(x, y):
        return F.cross_entropy(model(x), y)

    losses = []
    if graphed:
        step = tg.cuda.make_graphed(loss, opt, *batches[0])
        for batch in batches:
            losses.append(step(*batch).item())
            churn()
    else:
        for batch in batches:
            opt.zero_grad()
            value = loss(*batch)
            value.backward()
            opt.step()
            losses.append(value.item())
    return losses, [p.detach().cpu().numpy() for p in model.parameters()], [p.grad.cpu().numpy() for p in model.parameters()]


@pytest.mark.parametrize("optimizer", [
    lambda p: tg.optim.SGD(p, lr=0.1, momentum=0.9), lambda p: tg.optim.AdamW(p, lr=1e-2),
], ids=["SGD", "AdamW"])
@pytest.mark.parametrize("make", [
    lambda: nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 4)),
    lambda: nn.Sequential(Tokens(), nn.Embedding(5, 8), Attention(), nn.Linear(8, 4)),
    lambda: nn.Sequential(nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 2, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                          nn.Linear(8, 4)),
], ids=["mlp", "transformer", "cnn"])
def test_a_graphed_training_step_has_the_bits_of_an_eager_one(make, optimizer):
    tg.manual_seed(2)
    batches = [(tg.randn(5, 6), tg.randint(0, 4, (5,))) for _ in range(4)]
    (eager, *wants), (replayed, *gots) = (parameters_after(make, optimizer, batches, graphed) for graphed in (False, True))
    assert eager == replayed
    for want, got in zip(wants, gots, strict=True):
        for w, g in zip(want, got, strict=True):
            np.testing.assert_array_equal(g, w)


def test_zeroed_gradients_come_back():
    w = tg.ones(3, device="cuda", requires_grad=True)
    opt = tg.optim.SGD([w], lr=1.0)
    step = tg.cuda.make_graphed(lambda x: (w * x).sum(), opt, tg.ones(3, device="cuda"))
    opt.zero_grad()
    assert step(tg.full((3,), 2.0, device="cuda")).item() == 6
    assert w.detach().cpu().tolist() == [-1, -1, -1]
    assert w.grad.cpu().tolist() == [2, 2, 2]


def test_no_memory_while_capturing():
    with cupy_double.installed(capacity=1 << 20):
        x = tg.ones(1000, device="cuda")
        with pytest.raises(tg.cuda.OutOfMemoryError, match="out of memory while a graph is captured"), tg.cuda.graph(tg.cuda.CUDAGraph()):
            tg.zeros(1 << 20, device="cuda")
        assert x.sum().item() == 1000


def test_graphs_share_memory_that_nobody_holds():
    def big(x):
        return ((x * 2.0 + 1.0) * 3.0).sum()

    x = tg.ones(4096, device="cuda")
    apart = [tg.cuda.CUDAGraph() for _ in range(2)]
    used = []
    for pools in ((None, None), (tg.cuda.graph_pool_handle(),) * 2):
        before = tg.cuda.mem_get_info()[0]
        found = []
        for g, pool in zip(apart, pools, strict=True):
            with tg.cuda.graph(g, pool=pool):
                found.append(big(x))
        used.append(before - tg.cuda.mem_get_info()[0])
        x.fill_(2.0)
        for g, y in zip(apart, found, strict=True):
            g.replay()
            assert y.item() == 15 * 4096
        x.fill_(1.0)
        assert apart[1].pool() is (apart[1].pool() if pools[1] is None else pools[1])
        for g in apart:
            g.reset()
        del found, y
    assert used[1] < 0.6 * used[0]


def test_an_input_whose_memory_is_replaced_is_read_where_it_was():
    w = nn.Parameter(tg.ones(3, device="cuda"))
    step = tg.cuda.graph(lambda x: (w * x).detach(), tg.ones(3, device="cuda"))
    x = tg.full((3,), 2.0, device="cuda")
    w.data.fill_(3.0)
    assert step(x).cpu().tolist() == [6] * 3  # changed in place: seen
    w.data = tg.full((3,), 5.0, device="cuda")
    churn()
    assert step(x).cpu().tolist() == [6] * 3  # other memory: the graph has the old one, which it keeps


def test_two_threads_capture_and_replay_side_by_side():
    found = {}

    def work(seed):
        x = tg.full((8,), float(seed), device="cuda")
        f = tg.cuda.graph(lambda x: (x * 2.0).exp() * F.dropout(tg.ones(8, device="cuda"), 0.0), x)
        found[seed] = all(f(x * i).cpu().tolist() == ((x * i) * 2.0).exp().cpu().tolist() for i in (0.0, 0.5, 1.0))

    threads = [threading.Thread(target=work, args=(i,)) for i in (1, 2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == {1: True, 2: True}
