"""The device `cuda` without a GPU: dispatch, moves, memory, streams, random numbers, errors, on the double of CuPy (tests/cupy_double).

What it shows: that the device layer asks for the right things in the right order, and what it says when something is wrong. What a GPU
does with it is asked by the tests marked gpu.
"""
from __future__ import annotations

import re
import threading

import cupy_double
import numpy as np
import pytest
from cupy_double import cuda as machine

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.errors import OutOfMemoryError
from tensorgrad.nn import functional as F

pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)


@pytest.fixture
def cupy():
    with cupy_double.installed() as double:
        yield double


# ---------------------------------------------------------------- storage and kernels


def test_cuda_is_the_current_device(cupy):
    assert tg.device("cuda") is tg.device("cuda:0") is tg.device("cuda", 0)
    x = tg.ones(2, 3, device="cuda")
    assert (x.is_cuda, x.get_device(), str(x.device), x.type()) == (True, 0, "cuda:0", "tensorgrad.cuda.FloatTensor")
    assert isinstance(x.array, cupy.ndarray)
    assert repr(x).startswith("tensor([[1., 1., 1.]")
    with pytest.raises(ValueError, match="there is no cuda:1; this machine has one, cuda:0"):
        tg.device("cuda:1")


def test_there_and_back(cupy):
    x = tg.randn(3, 4)
    for there in (x.cuda(), x.to("cuda"), x.to(tg.device("cuda", 0)), tg.tensor(x, device="cuda"), x.cuda(0)):
        assert there.device == tg.device("cuda")
        np.testing.assert_array_equal(there.cpu().numpy(), x.numpy())
    there += 1
    assert there.cuda() is there
    np.testing.assert_array_equal(x.numpy() + 1, there.cpu().numpy())
    with pytest.raises(TypeError, match=r"numpy: the tensor is on cuda:0; use .cpu\(\) first"):
        there.numpy()
    assert there.numpy(force=True).shape == (3, 4)
    half = x.to("cuda", tg.bfloat16)
    assert half.dtype is tg.bfloat16
    assert tg.equal(half.cpu(), x.bfloat16())


def test_gradients_travel_between_devices(cupy):
    x = tg.randn(3, requires_grad=True)
    (x.cuda() * tg.tensor([1.0, 2.0, 3.0], device="cuda")).sum().cpu().backward()
    assert x.grad.tolist() == [1, 2, 3]


def test_strides_and_addresses(cupy):
    x = tg.arange(12, device="cuda").reshape(3, 4).T
    assert (x.stride(), x.is_contiguous(), x[1:].storage_offset()) == ((1, 4), False, 1)
    assert x.data_ptr() == x.array.data.ptr
    x[1, 2] = 50
    assert x.contiguous().cpu().tolist()[1][2] == 50


def test_compiled_kernels_come_first_and_the_formulas_serve_elsewhere(cupy):
    x = tg.ones(3, 3, device="cuda")
    chosen = {name: dispatch.choose(dispatch._ops[name], x.device, "float32").path for name in ("exp", "asinh", "sum")}
    assert chosen == {"exp": "cuda/vectorized", "asinh": "cupy/numpy", "sum": "cuda/v02_warp_shuffle"}
    with tg.kernels.use("exp", "cupy"):
        assert dispatch.choose(dispatch._ops["exp"], x.device, "float32").path == "cupy/numpy"
        assert x.exp().cpu().tolist()[0][0] == pytest.approx(np.e)
    assert {k.family for k in tg.kernels.list(device="cuda")} == {"cuda", "cupy"}
    with pytest.raises(ValueError, match="exp has no kernel 'cupy/numpi'"):
        tg.kernels.use("exp", "cupy/numpi")


def test_without_the_extension_the_formulas_still_serve(cupy, monkeypatch):
    from tensorgrad.backends import cuda

    monkeypatch.setattr(cuda, "extension", None)
    monkeypatch.setattr(cuda, "_why_not", "No module named 'tensorgrad._cuda'", raising=False)
    dispatch._kernels.pop("cuda", None)
    dispatch._forget_choices()
    assert tg.ones(2, device="cuda").exp().cpu().tolist() == pytest.approx([np.e] * 2)
    assert "not in this installation (No module named 'tensorgrad._cuda')" in dict(cuda.describe())["compiled kernels"]


# ---------------------------------------------------------------- mixing


@pytest.mark.parametrize(("op", "call"), [
    ("add", lambda a, b: a + b), ("matmul", lambda a, b: a @ b), ("select_where|where", lambda a, b: tg.where(a > 0, a, b)),
    ("cat", lambda a, b: tg.cat([a, b])), ("stack", lambda a, b: tg.stack([a, b])), ("linear", lambda a, b: F.linear(a, b)),
    ("lerp", lambda a, b: a.lerp(b, 0.5)), ("index_select", lambda a, b: a.index_select(0, (b > 9).long()[0])),
    ("gather", lambda a, b: a.gather(0, (b > 9).long())), ("layer_norm", lambda a, b: F.layer_norm(a, (3,), b[0])),
    ("scatter_add", lambda a, b: a.scatter_add(0, (b > 9).long(), a)),
    ("scaled_dot_product_attention", lambda a, b: F.scaled_dot_product_attention(*[t[None, None] for t in (a, b, a)])),
    ("conv2d", lambda a, b: F.conv2d(a[None, None], b[None, None])),
    ("mse_loss|sub", lambda a, b: F.mse_loss(a, b)), ("cross_entropy", lambda a, b: F.cross_entropy(a, (b[0] > 9).long())),
    ("setitem", lambda a, b: a.__setitem__(0, b[0])), ("embedding", lambda a, b: F.embedding((b > 9).long(), a)),
])
def test_tensors_of_two_devices_are_refused_by_name(cupy, op, call):
    there, here = tg.ones(3, 3, device="cuda"), tg.ones(3, 3)
    for a, b in ((there, here), (here, there)):
        with pytest.raises(RuntimeError, match=rf"^({op}).*on (cuda:0|cpu).*on (cuda:0|cpu)"):
            call(a, b)


def test_a_number_of_the_host_may_meet_a_tensor_of_the_device(cupy):
    x = tg.ones(3, device="cuda")
    assert (x * tg.tensor(2.0)).device == (tg.tensor(2.0) * x).device == x.device
    assert (x / 4).cpu().tolist() == [0.25] * 3
    assert x[tg.tensor([0, 2])].cpu().tolist() == [1, 1]  # and so may an index


# ---------------------------------------------------------------- memory


def test_memory_is_counted(cupy):
    before = tg.cuda.memory_allocated()
    x = tg.empty(1000, device="cuda")
    assert tg.cuda.memory_allocated() - before == 4000
    y = x[10:]
    del x
    assert tg.cuda.memory_allocated() - before == 4000  # a view holds it
    tg.cuda.reset_peak_memory_stats()
    z = tg.empty(500, device="cuda")
    del y, z
    assert tg.cuda.memory_allocated() == before
    assert tg.cuda.max_memory_allocated() - before == 6000
    assert tg.cuda.memory_reserved() >= 6000
    tg.cuda.empty_cache()
    assert tg.cuda.memory_reserved() < 6000
    free, total = tg.cuda.mem_get_info()
    assert free == total == 1 << 30


def test_counting_survives_threads_that_allocate_and_free(cupy):
    before = tg.cuda.memory_allocated()

    def churn():
        for n in range(300):
            tg.empty(n % 17 + 1, device="cuda")

    threads = [threading.Thread(target=churn) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert tg.cuda.memory_allocated() == before


def test_no_memory_is_an_error_that_says_what_holds_it_and_work_goes_on():
    with cupy_double.installed(capacity=1 << 20):
        kept = tg.ones(100_000, device="cuda")
        with pytest.raises(OutOfMemoryError, match=r"out of memory: 781\.25 KiB were asked for") as caught:
            tg.ones(200_000, device="cuda")
        text = str(caught.value)
        for line in (r"arrays hold\s+390.6", r"free on the device", r"the device has\s+1.00 MiB", r"empty_cache\(\)"):
            assert re.search(line, text), text
        assert isinstance(caught.value, RuntimeError)
        assert tg.cuda.OutOfMemoryError is OutOfMemoryError
        assert (kept + 1).sum().item() == 200_000
        del kept
        assert tg.ones(200_000, device="cuda").sum().item() == 200_000
        assert tg.cuda.memory_summary().startswith("cuda:0\n  arrays hold")


def test_an_allocator_that_was_set_before_is_asked(cupy):
    from tensorgrad.cuda import memory

    asked = []
    machine.set_allocator(lambda n: asked.append(n) or machine.default_pool().malloc(n))
    accounts = memory.Accounts(cupy)
    accounts.allocate(77)
    assert asked == [77]


# ---------------------------------------------------------------- other libraries


@pytest.mark.parametrize("dtype", ["float32", "int64", "bfloat16"])
def test_dlpack_shares_memory(cupy, dtype):
    x = tg.arange(6, device="cuda").to(getattr(tg, dtype))

    class Owner:
        def __dlpack__(self, **kwargs):
            return x.__dlpack__(**kwargs)

        def __dlpack_device__(self):
            return x.__dlpack_device__()

    side = tg.cuda.Stream()
    with tg.cuda.stream(side):
        y = tg.from_dlpack(Owner())
    assert ("dlpack", side.cuda_stream) in machine.log  # the owner is told who will read
    assert (y.device, y.dtype, y.data_ptr()) == (x.device, x.dtype, x.data_ptr())
    y += 1
    assert x.cpu().tolist() == [1, 2, 3, 4, 5, 6]
    assert x.__dlpack_device__() == (2, 0)
    with pytest.raises(BufferError, match="cannot be on cpu without a copy"):
        tg.from_dlpack(Owner(), device="cpu", copy=False)


def test_cuda_array_interface_both_ways(cupy):
    x = tg.arange(6, dtype=tg.float32, device="cuda").reshape(2, 3)
    given = x.T.__cuda_array_interface__
    assert (given["shape"], given["strides"], given["typestr"], given["data"]) == ((3, 2), (4, 12), "<f4", (x.data_ptr(), False))
    assert not hasattr(tg.ones(2), "__cuda_array_interface__")
    with pytest.raises(RuntimeError, match=r"requires grad; use detach\(\)"):
        _ = tg.ones(2, device="cuda", requires_grad=True).__cuda_array_interface__

    class Other:
        __cuda_array_interface__ = x.__cuda_array_interface__

    shared, copied = tg.as_tensor(Other()), tg.tensor(Other(), dtype=tg.float64)
    x += 1
    assert (shared.device, shared.cpu().tolist()) == (x.device, x.cpu().tolist())
    assert (copied.dtype, copied.cpu().tolist()) == (tg.float64, [[0, 1, 2], [3, 4, 5]])


def test_saved_tensors_come_back(cupy, tmp_path):
    x = tg.randn(3, 2).cuda()
    tg.save({"x": x}, tmp_path / "x.safetensors")
    assert tg.equal(tg.load(tmp_path / "x.safetensors")["x"], x.cpu())


def test_what_a_gpu_says_of_itself(cupy):
    found = tg.cuda.get_device_properties()
    assert (found.name, found.major, found.minor, found.multi_processor_count) == ("double of a GPU", 9, 0, 2)
    assert found.total_memory == tg.cuda.mem_get_info()[1]
    tg.cuda.init()
    assert tg.cuda.is_initialized()
    assert tg.cuda.is_bf16_supported()
    assert not tg.cuda.is_current_stream_capturing()
    with tg.cuda.graph(tg.cuda.CUDAGraph()):
        assert tg.cuda.is_current_stream_capturing()
    assert not tg.cuda.can_device_access_peer(0, 0)
    states = tg.cuda.get_rng_state_all()
    want = tg.rand(3, device="cuda").tolist()
    tg.cuda.seed_all()
    assert tg.cuda.get_rng_state_all() != states
    tg.cuda.set_rng_state_all(states)
    assert tg.rand(3, device="cuda").tolist() == want
