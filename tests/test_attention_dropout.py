"""Dropout inside attention: every rung drops the elements that `drop` would, forward and backward, whatever its tiles."""
from __future__ import annotations

import numpy as np
import pytest
from test_attention_ladder import BACK, BACKWARD, MASKS, NUMPY, RUNGS, check, check_backward, factors_of, forward, problem, refuses, rng_of

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.nn import functional as F
from tensorgrad.ops.shared import attention as shared

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
RUNGS = [(path, name) for path, name in RUNGS if path != "cuda/decode"]
STATES = [(0, 0), (2**63 + 5, 3), (7, 2**32 - 2)]  # blocks before and beyond 32 bits, a seed of 64
# batch, query heads, key heads, queries, keys, size, value size: tiles of each size, ragged ones, groups, the longest heads
SHAPES = [(2, 4, 2, 65, 33, 40, 24), (1, 2, 1, 130, 300, 64, 48), (1, 1, 1, 150, 270, 128, 104), (1, 1, 1, 40, 70, 256, 256),
          (1, 1, 1, 2, 5, 4, 8), (1, 2, 2, 3, 0, 4, 4), (2, 1, 1, 0, 3, 4, 4)]


@pytest.fixture(params=range(3))
def state(request):
    emu.configure(seed=request.param, eager=request.param == 1)
    yield STATES[request.param]
    emu.configure(seed=0, eager=False)


@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_against_float64_with_the_same_elements_dropped(path, name, state):
    for i, shape in enumerate(SHAPES):
        arguments = problem(rng_of(path, name, i, state), name, shape, MASKS[(i + state[1]) % len(MASKS)])
        if not refuses("attention", path, *arguments, dropping=True):
            check(path, name, arguments, 0.3, state)


@pytest.mark.parametrize(("path", "name"), BACK)
def test_gradients_against_float64_with_the_same_elements_dropped(path, name, state):
    for i, shape in enumerate(SHAPES):
        rng = rng_of("backward", path, name, i, state)
        arguments = problem(rng, name, shape, MASKS[(i + state[1]) % len(MASKS)])
        if not refuses("attention_backward", path, *arguments, dropping=True):
            check_backward(path, name, arguments, rng, 0.3, state)


@pytest.mark.parametrize("keys", [64, 61])
@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_the_same_elements_in_every_kernel(path, name, keys):
    """Values that are a unit matrix show the weights themselves."""
    dtype, scores = NUMPY[name], (2, 3, 135, keys)
    q, k = np.zeros((2, 3, 135, 8), dtype), np.zeros((2, 1, keys, 8), dtype)
    v = np.zeros((2, 1, keys, 64), dtype)
    v[..., :keys] = np.eye(keys)
    for state in STATES:
        out = forward(path, name, q, k, v, None, False, 1.0, 0.4, state)[0][..., :keys]
        np.testing.assert_array_equal(out != 0, factors_of(scores, 0.4, state) != 0)
        np.testing.assert_allclose(out[out != 0].astype(np.float64), 1 / 0.6 / keys, rtol=1e-2)


@pytest.mark.parametrize(("path", "name"), BACK)
def test_the_same_elements_in_every_gradient(path, name):
    """A gradient of the output that is a unit matrix shows the weights in dv, and in dq for keys that are one."""
    dtype, queries, keys, state = NUMPY[name], 64, 61, (3, 5)
    q, k, v = (np.zeros((2, 3, n, 64), dtype) for n in (queries, keys, keys))
    k[..., :keys] = np.eye(keys)
    v[..., 0] = 1
    out, lse = np.zeros(q.shape, dtype), np.full(q.shape[:3], np.log(keys), np.float64 if name == "float64" else np.float32)
    g = np.zeros(q.shape, dtype)
    g[:] = np.eye(queries)
    dropout = shared.dropout_of(0.4, state)
    stays = factors_of((2, 3, queries, keys), 0.4, state) != 0

    def gradients(g):
        dq, dk, dv = (emu.xp.empty(x.shape, dtype) for x in (q, k, v))
        BACKWARD[path].call(dq, dk, dv, emu.xp.empty(lse.size, lse.dtype), g, q, k, v, out, lse, None, 0, 1.0, *dropout)
        return dq, dk, dv

    np.testing.assert_array_equal(gradients(g)[2] != 0, stays.swapaxes(-1, -2))  # dv[j, i] is the weight of query i
    g[:] = 0
    g[..., 0] = 1  # dP = 1 everywhere; delta = 0, since the output is said to be 0
    np.testing.assert_array_equal(gradients(g)[0][..., :keys] != 0, stays)


@pytest.mark.parametrize("p", [0.999, 1.0])
@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_almost_everything_dropped(path, name, p):
    arguments = problem(rng_of(path, name), name, (1, 2, 1, 70, 90, 24, 40), "none")
    check(path, name, arguments, p, (1, 2))
    if path in BACKWARD:
        check_backward(path, name, arguments, rng_of(path), p, (1, 2))


@pytest.mark.parametrize("name", ["float32", "float64", "bfloat16", "float16"])
def test_emu_drops_what_cpu_drops(name):
    """Through the op: output and gradients, with the default rungs of both devices."""
    rng = np.random.default_rng(0)
    q, k, v = (tg.tensor(rng.standard_normal((2, 2, n, 16)), dtype=getattr(tg, name)) for n in (70, 83, 83))
    results = []
    for device in ("cpu", "emu"):
        tg.manual_seed(4)
        inputs = [t.detach().to(device).requires_grad_() for t in (q, k, v)]
        out = F.scaled_dot_product_attention(*inputs, dropout_p=0.4, is_causal=True)
        out.backward(tg.ones_like(out))
        results.append([out.detach().numpy(), *(t.grad.numpy() for t in inputs)])
    far = {"float32": 1e-5, "float64": 1e-12, "bfloat16": 5e-2, "float16": 5e-3}[name]
    for a, b in zip(*results, strict=True):
        assert np.linalg.norm(a.astype(np.float64) - b.astype(np.float64)) <= far * np.linalg.norm(a.astype(np.float64))


def test_which_rung_takes_dropout():
    cache = tg.ones(1, 2, 600, 16, device="emu", dtype=tg.bfloat16)
    one = cache[:, :, :1]
    op, device = dispatch._ops["attention"], tg.device("emu")
    call = shared.call_of(device, one.array, cache.array, cache.array, None, True)
    assert dispatch.choose(op, device, "bfloat16", *call).path == "cuda/v03_flash_hopper"
    with tg.kernels.use("attention", "cuda/decode"), pytest.raises(NotImplementedError, match="cuda/decode has no dropout"):
        F.scaled_dot_product_attention(one, cache, cache, dropout_p=0.5)
    long = tg.ones(1, 1, 3, 136, device="emu", dtype=tg.bfloat16)
    with (tg.kernels.use("attention", "cuda/v03_flash_hopper"),
          pytest.raises(NotImplementedError, match="takes masks and dropout for heads of up to 256 bytes only")):
        F.scaled_dot_product_attention(long, long, long, dropout_p=0.5)
