"""Streams, events, copies beside the caller, kernels that fail, and several GPUs, on the double of CuPy (tests/cupy_double)."""
from __future__ import annotations

import gc
import threading
import weakref

import cupy_double
import pytest
from cupy_double import cuda as machine

import tensorgrad as tg

pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)


@pytest.fixture
def cupy():
    with cupy_double.installed() as double:
        yield double


@pytest.fixture
def two():
    with cupy_double.installed(devices=2) as double:
        yield double


# ---------------------------------------------------------------- streams


def test_memory_that_another_stream_uses_waits_for_it(cupy):
    side, third = tg.cuda.Stream(), tg.cuda.Stream()
    x, y = tg.ones(100, device="cuda"), tg.ones(100, device="cuda")
    for stream in (side, third, side, tg.cuda.current_stream()):
        x[10:].record_stream(stream)  # a view: the memory is meant
    machine.log.clear()
    del y
    assert not machine.log
    del x
    gc.collect()
    records = [entry for entry in machine.log if entry[0] == "record"]
    waits = [entry for entry in machine.log if entry[0] == "wait"]
    assert {entry[1] for entry in records} == {side.cuda_stream, third.cuda_stream}
    assert [(entry[1], entry[2]) for entry in waits] == [(0, entry[2]) for entry in records]
    z = tg.ones(3, device="cuda")
    z.record_stream(side)
    with tg.cuda.graph(tg.cuda.CUDAGraph(), stream=third):
        machine.log.clear()
        del z
        gc.collect()
        assert ("wait", 0) in [entry[:2] for entry in machine.log]
    with pytest.raises(RuntimeError, match="record_stream: the tensor is on cpu, the stream on cuda:0"):
        tg.ones(3).record_stream(side)
    with pytest.raises(TypeError, match=r"expected a tensorgrad.cuda.Stream, not a int"):
        tg.ones(3, device="cuda").record_stream(0)


def test_kernels_and_cupy_go_to_the_same_stream(cupy):
    side = tg.cuda.Stream()
    assert tg.cuda.current_stream() == tg.cuda.default_stream() != side
    with tg.cuda.stream(side):
        assert tg.cuda.current_stream() == side
        assert machine.machine.kernels_on == machine.get_current_stream().ptr == side.cuda_stream
        with tg.cuda.stream(tg.cuda.default_stream()):
            assert machine.machine.kernels_on == 0
        assert machine.machine.kernels_on == side.cuda_stream
        with pytest.raises(ZeroDivisionError), tg.cuda.stream(tg.cuda.Stream()):
            raise ZeroDivisionError
    assert machine.machine.kernels_on == machine.get_current_stream().ptr == 0
    with tg.cuda.stream(None):
        assert tg.cuda.current_stream() == tg.cuda.default_stream()


def test_each_thread_has_its_own_stream(cupy):
    seen = {}
    side = tg.cuda.Stream()

    def other():
        seen["before"] = tg.cuda.current_stream()
        with tg.cuda.stream(side):
            seen["inside"] = machine.machine.kernels_on

    with tg.cuda.stream(tg.cuda.Stream()) as mine:
        t = threading.Thread(target=other)
        t.start()
        t.join()
        assert machine.machine.kernels_on == mine.cuda_stream
    assert seen == {"before": tg.cuda.default_stream(), "inside": side.cuda_stream}


def test_events_order_streams(cupy):
    a, b = tg.cuda.Stream(), tg.cuda.Stream()
    machine.log.clear()
    b.wait_stream(a)
    assert [entry[0] for entry in machine.log] == ["record", "wait"]
    assert machine.log[0][1] == a.cuda_stream
    assert machine.log[1][1] == b.cuda_stream
    assert machine.log[0][2] == machine.log[1][2]
    start, end = tg.cuda.Event(enable_timing=True), tg.cuda.Event(enable_timing=True)
    with pytest.raises(ValueError, match="both events must be recorded"):
        start.elapsed_time(end)
    start.record()
    end.record(a)
    end.synchronize()
    assert (start.elapsed_time(end), end.query(), a.query()) == (0.5, True, True)
    with pytest.raises(ValueError, match="enable_timing=True"):
        tg.cuda.Event().elapsed_time(end)
    tg.cuda.Event().wait()  # never recorded: holds nobody up
    a.synchronize()
    tg.cuda.synchronize()
    assert machine.log[-1] == ("synchronize", 0)


def memory_of(t):
    """A weak reference to the pinned memory behind a tensor."""
    a = t.array
    while not isinstance(a, machine.PinnedMemoryPointer):
        a = a.obj if isinstance(a, memoryview) else a.base
    return weakref.ref(a)


def test_a_number_is_there_for_every_stream_before_it_is_used_again(cupy):
    x = tg.ones(2, device="cuda")
    machine.log.clear()
    assert (x * 1.59375).shape == (2,)
    waited = [entry for entry in machine.log if entry[0] == "synchronize stream"]
    x * 1.59375
    assert [entry for entry in machine.log if entry[0] == "synchronize stream"] == waited == [("synchronize stream", 0)]


def test_pinned_memory_and_copies_beside_the_caller(cupy, monkeypatch):
    x = tg.arange(6, dtype=tg.float32)
    assert not x.is_pinned()
    pinned = x.pin_memory()
    assert pinned.is_pinned()
    assert pinned[2:].is_pinned()
    assert pinned.pin_memory() is pinned
    machine.log.clear()
    there = pinned.to("cuda", non_blocking=True)
    assert machine.log[-1][0] == "record"  # the pinned memory is held until the stream got there
    back = there.to("cpu", non_blocking=True)
    assert back.is_pinned()
    tg.cuda.current_stream().synchronize()
    assert back.tolist() == x.tolist()
    assert pinned.reshape(2, 3).T.to("cuda", non_blocking=True).cpu().tolist() == [[0, 3], [1, 4], [2, 5]]
    held = memory_of(pinned)
    monkeypatch.setattr(machine.Event, "done", False)
    pinned.to("cuda", non_blocking=True)
    del pinned, x
    gc.collect()
    assert held() is not None  # the copy may still read it
    monkeypatch.setattr(machine.Event, "done", True)
    tg.ones(2).pin_memory().to("cuda", non_blocking=True)
    gc.collect()
    assert held() is None
    with pytest.raises(RuntimeError, match="pin_memory: only memory of the host is pinned"):
        there.pin_memory()


def test_a_kernel_that_failed_comes_to_light_where_the_host_waits(cupy, monkeypatch):
    x = tg.ones(2, device="cuda")

    def broken(*args, **kwargs):
        raise machine.CUDARuntimeError(700, "cudaErrorIllegalAddress: an illegal memory access was encountered")

    monkeypatch.setattr(machine.Device, "synchronize", broken)
    with pytest.raises(RuntimeError, match=r"something launched earlier has failed .*IllegalAddress.*TG_SYNC=1 waits after each op"):
        tg.cuda.synchronize()
    monkeypatch.setattr(cupy.ndarray, "get", broken)
    with pytest.raises(RuntimeError, match="TG_SYNC=1"):
        x.tolist()


def test_tg_sync_names_the_op(monkeypatch):
    monkeypatch.setenv("TG_SYNC", "1")
    with cupy_double.installed():
        x = tg.ones(2, device="cuda")
        machine.log.clear()
        x.exp()
        assert machine.log == [("synchronize", 0)]

        def broken(self):
            raise machine.CUDARuntimeError(700, "cudaErrorIllegalAddress: an illegal memory access was encountered")

        monkeypatch.setattr(machine.Device, "synchronize", broken)
        with pytest.raises(RuntimeError, match="exp: its work on cuda:0 failed: cudaErrorIllegalAddress"):
            x.exp()
    assert tg.ones(2).exp().tolist()  # nobody else is slowed down, or fails


# ---------------------------------------------------------------- several GPUs


def test_an_op_runs_where_its_tensors_are(two):
    assert tg.cuda.device_count() == 2
    x = tg.ones(3, 3, device="cuda:1")
    assert tg.cuda.current_device() == 0
    y = (x @ x + 2.0).relu().sum()
    assert (y.device, y.item(), tg.cuda.current_device()) == (tg.device("cuda:1"), 45, 0)
    assert y.array.pointer.device_id == 1
    assert (x * tg.tensor(2.0))[tg.tensor([0])].device == x.device  # a number and an index of the host
    with tg.cuda.device(1):
        assert tg.zeros(1, device="cuda").device == tg.device("cuda:1")
        assert tg.ones(2, device="cuda:0").exp().device == tg.device("cuda:0")
    tg.cuda.set_device("cuda:1")
    assert tg.device("cuda") is tg.device("cuda:1")
    with pytest.raises(ValueError, match="there is no cuda:2; this machine has 2: cuda:0 to cuda:1"):
        tg.cuda.set_device(2)


def test_gradients_stay_on_their_device(two):
    w = tg.randn(3, 3, device="cuda:1", requires_grad=True)
    (w @ w).tanh().sum().backward()
    assert w.grad.array.pointer.device_id == 1
    v = tg.ones(3, device="cuda:1", requires_grad=True)
    for _ in range(2):  # a gradient that is a copy, and one that is added to it
        v.sum().backward()
        assert (v.grad.device, v.grad.array.pointer.device_id) == (v.device, 1)
    assert v.grad.cpu().tolist() == [2] * 3


def test_copies_from_gpu_to_gpu(two):
    x = tg.arange(4, device="cuda:0")
    with tg.cuda.device(1), tg.cuda.stream(tg.cuda.Stream("cuda:1")) as there:
        machine.log.clear()
        y = x.to("cuda:1")
        assert [(e[0], e[1]) for e in machine.log if e[0] in ("record", "wait")] == [
            ("record", 0), ("wait", there.cuda_stream), ("record", there.cuda_stream), ("wait", 0)]  # after what writes, before what comes
    assert (y.device, y.cpu().tolist()) == (tg.device("cuda:1"), [0, 1, 2, 3])
    y += 1
    x.copy_(y)
    assert x.cpu().tolist() == [1, 2, 3, 4]


def test_gpus_do_not_mix(two):
    a, b = tg.ones(2, 2, device="cuda:0"), tg.ones(2, 2, device="cuda:1")
    for op, call in (("add", lambda: a + b), ("matmul", lambda: a @ b), ("cat", lambda: tg.cat([a, b])), ("lerp", lambda: a.lerp(b, 0.5))):
        with pytest.raises(RuntimeError, match=rf"^{op}: .*cuda:0.*cuda:1"):
            call()


def test_each_gpu_has_its_memory_random_numbers_and_streams(two):
    tg.manual_seed(9)
    a, b = tg.rand(4, device="cuda:0"), tg.rand(4, device="cuda:1")
    assert tg.equal(a.cpu(), b.cpu())
    assert len(tg.cuda.get_rng_state_all()) == 2
    before = tg.cuda.memory_allocated(1)
    x = tg.empty(100, device="cuda:1")
    assert tg.cuda.memory_allocated(1) - before == 400
    assert tg.cuda.memory_allocated("cuda:0") < 400
    del x
    side = tg.cuda.Stream("cuda:1")
    with tg.cuda.stream(side):
        assert tg.cuda.current_device() == 1
        assert machine.machine.kernels_on == side.cuda_stream
        (tg.ones(1, device="cuda:0") * 2.0).sum()  # goes to the other device's stream, and back
        assert machine.machine.kernels_on == side.cuda_stream
    assert (tg.cuda.current_device(), machine.machine.kernels_on) == (0, 0)
