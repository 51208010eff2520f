"""The device `cuda` on a GPU: memory under stress, out of memory, streams, threads, graphs, random numbers, sharing, several GPUs."""
from __future__ import annotations

import gc
import random
import subprocess
import sys
import threading

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn
from tensorgrad.nn import functional as F

pytestmark = pytest.mark.gpu
if not tg.cuda.is_available():
    pytest.skip("needs a CUDA GPU, its driver and CuPy (tensorgrad doctor says what is missing)", allow_module_level=True)

two_gpus = pytest.mark.skipif(tg.cuda.device_count() < 2, reason="needs two GPUs")


# ---------------------------------------------------------------- memory


def test_a_million_arrays_of_mixed_sizes_leave_nothing_behind():
    sizes = random.Random(0)
    held = [None] * 64

    def churn(count):
        for i in range(count):
            held[i % 64] = tg.empty(int(2 ** sizes.uniform(0, 20)), dtype=tg.uint8, device="cuda")

    churn(20_000)
    gc.collect()
    before = tg.cuda.memory_reserved()
    churn(1_000_000)
    held[:] = [None] * 64
    gc.collect()
    assert tg.cuda.memory_reserved() <= 1.25 * before  # the pool does not grow: what is freed is used again
    assert tg.cuda.memory_allocated() < 1 << 20


def test_no_memory_is_an_error_and_work_goes_on():
    total = tg.cuda.mem_get_info()[1]
    x = tg.ones(1000, device="cuda")
    for _ in range(3):
        with pytest.raises(tg.cuda.OutOfMemoryError, match=r"out of memory: .* GiB were asked for") as caught:
            tg.empty(2 * total, dtype=tg.uint8, device="cuda")
        assert "arrays hold" in str(caught.value)
    assert (x + 1).sum().item() == 2000
    half = tg.empty(total // 2, dtype=tg.uint8, device="cuda")
    half.fill_(3)
    assert half[-1].item() == 3
    del half
    tg.cuda.empty_cache()


# ---------------------------------------------------------------- streams and threads


def test_two_streams_in_order():
    a, b = tg.cuda.Stream(), tg.cuda.Stream()
    x = tg.randn(1000, 1000, device="cuda")
    want = (x @ x @ x).cpu()
    tg.cuda.synchronize()
    for _ in range(20):
        with tg.cuda.stream(a):
            y = x @ x
        b.wait_stream(a)
        with tg.cuda.stream(b):
            z = y @ x
        tg.cuda.current_stream().wait_stream(b)
        assert tg.equal(z.cpu(), want)


def test_memory_that_another_stream_uses_is_not_given_away():
    side = tg.cuda.Stream()
    slow, wrong = tg.randn(4000, 4000, device="cuda"), 0
    for _ in range(10):
        x = tg.full((1 << 22,), 3.0, device="cuda")
        side.wait_stream(tg.cuda.current_stream())
        with tg.cuda.stream(side):
            slow @ slow
            y = x + 1.0
        x.record_stream(side)
        del x
        tg.full((1 << 22,), -1.0, device="cuda")  # would have the same memory, and be written before it is read
        tg.cuda.current_stream().wait_stream(side)
        wrong += int((y != 4.0).sum().item())
    assert wrong == 0


def test_events_measure_time():
    start, end = tg.cuda.Event(enable_timing=True), tg.cuda.Event(enable_timing=True)
    x = tg.randn(2000, 2000, device="cuda")
    start.record()
    for _ in range(5):
        x = x @ x * 1e-3
    end.record()
    end.synchronize()
    assert end.query()
    assert 0 < start.elapsed_time(end) < 10_000


def test_threads_launch_side_by_side():
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        a = rng.standard_normal((200, 300)).astype(np.float32)
        b = rng.standard_normal((300, 100)).astype(np.float32)
        with tg.cuda.stream(tg.cuda.Stream()):
            for _ in range(50):
                got = (tg.tensor(a, device="cuda") @ tg.tensor(b, device="cuda")).softmax(1).cpu().numpy()
        e = np.exp(a @ b - (a @ b).max(1, keepdims=True))
        if not np.allclose(got, e / e.sum(1, keepdims=True), atol=1e-4):
            wrong.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_copies_from_pinned_memory_run_beside_the_caller():
    x = tg.randn(1 << 24).pin_memory()
    assert x.is_pinned()
    there = x.to("cuda", non_blocking=True)
    back = there.to("cpu", non_blocking=True)
    tg.cuda.current_stream().synchronize()
    assert tg.equal(back, x)


# ---------------------------------------------------------------- graphs


def trained(graphed, optimizer, steps=6):
    tg.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * 64, 64), nn.GELU(),
                          nn.LayerNorm(64), nn.Linear(64, 10)).to("cuda")
    opt = optimizer(model.parameters())
    batches = [(tg.randn(32, 3, 16, 16).cuda(), tg.randint(0, 10, (32,)).cuda()) for _ in range(steps)]

    def loss(x, y):
        return F.cross_entropy(model(x), y)

    step = tg.cuda.make_graphed(loss, opt, *batches[0]) if graphed else None
    losses = []
    for batch in batches:
        if step is not None:
            losses.append(step(*batch).item())
            junk = [tg.randn(1000, device="cuda") for _ in range(50)]  # somebody else uses memory meanwhile
            del junk
            tg.cuda.empty_cache()
            continue
        opt.zero_grad()
        value = loss(*batch)
        value.backward()
        opt.step()
        losses.append(value.item())
    return losses, [p.detach().cpu() for p in model.parameters()]


@pytest.mark.parametrize("optimizer", [
    lambda p: tg.optim.SGD(p, lr=0.1, momentum=0.9), lambda p: tg.optim.AdamW(p, lr=1e-3),
], ids=["SGD", "AdamW"])
def test_a_graphed_training_step_has_the_bits_of_an_eager_one(optimizer):
    (eager, want), (replayed, got) = trained(False, optimizer), trained(True, optimizer)
    assert eager == replayed
    for w, g in zip(want, got, strict=True):
        assert tg.equal(g, w)


def test_a_whole_step_is_captured_and_follows_its_schedule():
    def trained(graphed):
        tg.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 10)).to("cuda")
        opt = tg.optim.AdamW(model.parameters(), lr=1e-2)
        schedule = tg.optim.lr_scheduler.OneCycleLR(opt, 1e-2, total_steps=12)

        def step(x, y):
            opt.zero_grad()
            value = F.cross_entropy(model(x), y)
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            opt.step()
            return value.detach()

        data = [(tg.randn(32, 64).cuda(), tg.randint(0, 10, (32,)).cuda()) for _ in range(6)]
        if graphed:
            step = tg.cuda.graph(step, *data[0])
        else:
            for _ in range(3):
                step(*data[0])
        losses = []
        for batch in data:
            losses.append(step(*batch).item())
            schedule.step()
        assert opt.state_dict()["state"][0]["step"].item() == 9
        return losses, [p.detach().cpu() for p in model.parameters()]

    (eager, want), (replayed, got) = trained(False), trained(True)
    assert eager == replayed
    for w, g in zip(want, got, strict=True):
        assert tg.equal(g, w)


@pytest.mark.parametrize("what", [
    lambda x: x.sum().item(), lambda x: x.cpu(), lambda x: x.nonzero(), lambda x: x[x > 0],
    lambda x: tg.cuda.synchronize(), lambda x: tg.tensor([1.0], device="cuda"),
], ids=["item", "cpu", "nonzero", "mask", "synchronize", "upload"])
def test_what_cannot_be_captured_is_refused_and_the_device_survives(what):
    x = tg.ones(3, device="cuda")
    with pytest.raises(RuntimeError, match=r"cannot be captured|the capture failed"), tg.cuda.graph(tg.cuda.CUDAGraph()):
        what(x)
    assert (x * 2.0).sum().item() == 6


def test_each_replay_draws_what_an_eager_call_would():
    def draw(x):
        return F.dropout(x, 0.5), tg.rand(5, device="cuda"), tg.randn(4, device="cuda", dtype=tg.float64)

    x, drawn = tg.ones(64, 33, device="cuda"), []
    for graphed in (True, False):
        tg.manual_seed(5)
        call = tg.cuda.graph(draw, x, warmup=1) if graphed else draw
        if not graphed:
            draw(x)
        drawn.append([[t.cpu() for t in call(x)] for _ in range(3)])
    for got, want in zip(*drawn, strict=True):
        assert all(map(tg.equal, got, want))
    assert not tg.equal(drawn[0][0][0], drawn[0][1][0])


def test_indices_and_their_gradients_follow_the_replay():
    def both(x, i):
        x = x.detach().requires_grad_()
        y = x[i].sum(0) + x.gather(0, i.unsqueeze(1).expand(-1, 33)).mean(0) + x.prod(0)
        (y * y).sum().backward()
        return y.detach(), x.grad

    inputs = [(tg.randn(64, 33, device="cuda"), tg.randint(0, 64, (100,), device="cuda")) for _ in range(3)]
    replayed = tg.cuda.graph(both, *inputs[0])
    for given in inputs[::-1]:  # rows are added by another rung than outside of graphs
        for got, want in zip(replayed(*given), both(*given), strict=True):
            np.testing.assert_allclose(got.cpu().numpy(), want.cpu().numpy(), rtol=1e-5, atol=1e-5)


def test_a_graph_of_each_family():
    x = tg.randn(64, 128, device="cuda")
    for family in {k.family for k in tg.kernels.list("softmax", "cuda")}:
        with tg.kernels.use("softmax", family):
            f = tg.cuda.graph(lambda x: x.softmax(1), x)
            for _ in range(3):
                new = tg.randn(64, 128, device="cuda")
                assert tg.equal(f(new), new.softmax(1)), family


# ---------------------------------------------------------------- random numbers


def test_random_numbers_are_those_of_cpu():
    tg.manual_seed(3)
    want = tg.rand(100_001), tg.randint(-5, 99, (777,)), tg.randn(5001), tg.empty(5001, dtype=tg.float64).exponential_()
    tg.manual_seed(3)
    got = (tg.rand(100_001, device="cuda"), tg.randint(-5, 99, (777,), device="cuda"), tg.randn(5001, device="cuda"),
           tg.empty(5001, dtype=tg.float64, device="cuda").exponential_())
    assert tg.equal(got[0].cpu(), want[0])
    assert tg.equal(got[1].cpu(), want[1])
    for g, w in zip(got[2:], want[2:], strict=True):
        np.testing.assert_allclose(g.cpu().numpy(), w.numpy(), rtol=1e-4, atol=1e-6)
    x = tg.ones(4097)
    tg.manual_seed(4)
    kept = F.dropout(x, 0.3)
    tg.manual_seed(4)
    assert tg.equal(F.dropout(x.cuda(), 0.3).cpu(), kept)


# ---------------------------------------------------------------- other libraries, and errors of kernels


def test_memory_is_shared_with_cupy_and_torch():
    import cupy

    x = tg.arange(12, dtype=tg.float32, device="cuda").reshape(3, 4)
    seen = cupy.asarray(x.T)
    seen += 1
    back = tg.as_tensor(cupy.from_dlpack(x))
    assert back.data_ptr() == x.data_ptr()
    assert x.cpu().tolist()[0] == [1, 2, 3, 4]
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch sees no GPU")
    t = torch.from_dlpack(x)
    t *= 2
    assert tg.from_dlpack(t).data_ptr() == x.data_ptr()
    assert x.cpu().tolist()[0] == [2, 4, 6, 8]
    half = tg.ones(3, dtype=tg.bfloat16, device="cuda")
    assert torch.from_dlpack(half).dtype is torch.bfloat16
    assert tg.from_dlpack(torch.ones(3, dtype=torch.bfloat16, device="cuda")).dtype is tg.bfloat16


def test_tg_sync_names_the_op_whose_kernel_failed():
    code = """import cupy, tensorgrad as tg
from tensorgrad import dispatch
bad = cupy.RawKernel('extern "C" __global__ void bad(int* p) { p[1ull << 44] = 1; }', "bad")
table = dispatch.kernels_of("cuda")["exp"]
import dataclasses
table["cuda/vectorized"] = dataclasses.replace(table["cuda/vectorized"], call=lambda y, x: bad((1,), (1,), (y.view(cupy.int32),)))
tg.ones(3, device="cuda").exp()
"""
    import os

    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "TG_SYNC": "1"}, capture_output=True, text=True, check=False)
    assert "RuntimeError: exp: its work on cuda:0 failed: cudaError" in done.stderr


# ---------------------------------------------------------------- several GPUs


@two_gpus
def test_ops_run_where_their_tensors_are():
    x = tg.randn(300, 300)
    a, b = x.to("cuda:0"), x.to("cuda:1")
    assert tg.equal((a @ a).cpu(), (b @ b).cpu())
    assert tg.equal(a.to("cuda:1"), b)
    with pytest.raises(RuntimeError, match="matmul: input is on cuda:0 but other is on cuda:1"):
        a @ b
    w = b.clone().requires_grad_()
    (w @ b).tanh().sum().backward()
    assert w.grad.device == w.device
