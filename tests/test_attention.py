"""Attention beyond its cases: the fused backward against its reference, rungs, threads, precision, memory, dropout."""
from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import dispatch, kernels
from tensorgrad.op import fn

attend = fn.scaled_dot_product_attention


def arrays(*shapes, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


def qkvg(batch=1, heads=2, kv_heads=2, queries=70, keys=90, size=16, value_size=16, dtype=np.float64):
    return arrays((batch, heads, queries, size), (batch, kv_heads, keys, size), (batch, kv_heads, keys, value_size),
                  (batch, heads, queries, value_size), dtype=dtype)


def run(q, k, v, g, **options):
    """(out, dq, dk, dv) as arrays."""
    inputs = [tg.from_numpy(np.array(a)).requires_grad_() for a in (q, k, v)]
    out = attend(*inputs, **options)
    return [out.detach().numpy(), *[d.numpy() for d in tg.autograd.grad(out, inputs, tg.from_numpy(g))]]


def norm_error(got, want):
    return np.linalg.norm(got.astype(np.float64) - want) / np.linalg.norm(want)


@pytest.mark.parametrize("shape", [
    {}, {"queries": 64, "keys": 64}, {"queries": 130, "keys": 67, "size": 17, "value_size": 5}, {"heads": 4, "kv_heads": 1, "batch": 2},
    {"queries": 1}, {"keys": 1}, {"queries": 200, "keys": 65, "size": 64, "value_size": 64},
], ids=str)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_backward_against_its_reference(shape, causal, masked):
    q, k, v, g = qkvg(**shape)
    scale = q.shape[-1] ** -0.5
    mask = arrays((q.shape[2], k.shape[2]), seed=3)[0] if masked else None
    got = run(q, k, v, g, attn_mask=None if mask is None else tg.from_numpy(mask), is_causal=causal, enable_gqa=True)
    want = dispatch._ops["attention_backward"].reference(g, q, k, v, mask, None, None, causal, scale)
    for a, b in zip(got[1:], want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": -0.2}], ids=str)
def test_rungs_agree(options):
    x = qkvg(heads=4, kv_heads=2)
    flash = run(*x, enable_gqa=True, **options)
    with kernels.use("attention", "cpu/naive"):
        naive = run(*x, enable_gqa=True, **options)
    for a, b in zip(flash, naive, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_float32_against_float64(causal):
    x = qkvg(queries=1000, keys=1000, size=64, value_size=64)
    want = run(*x, is_causal=causal)
    for got, w in zip(run(*[a.astype(np.float32) for a in x], is_causal=causal), want, strict=True):
        assert norm_error(got, w) < 3e-6


@pytest.mark.parametrize(("heads", "kv_heads"), [(8, 4), (1, 1), (3, 1)])
def test_threads_do_not_change_a_bit(heads, kv_heads):
    """Whole heads at a time and blocks at a time are two ways through the backward pass with the same sums."""
    x = qkvg(heads=heads, kv_heads=kv_heads, queries=300, keys=290, size=24, dtype=np.float32)
    before = tg.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            tg.set_num_threads(threads)
            results.append(run(*x, is_causal=True, enable_gqa=True))
    finally:
        tg.set_num_threads(before)
    for other in results[1:]:
        assert [a.tobytes() for a in other] == [a.tobytes() for a in results[0]]


def test_heads_laid_out_as_projections_leave_them():
    """(B, L, H, E) in memory, seen as (B, H, L, E): the same result, in the same layout."""
    q, k, v = (a.transpose(0, 2, 1, 3) for a in arrays((2, 70, 3, 8), (2, 80, 3, 8), (2, 80, 3, 8)))
    out = attend(*map(tg.from_numpy, (q, k, v)))
    want = attend(*[tg.from_numpy(np.ascontiguousarray(a)) for a in (q, k, v)])
    np.testing.assert_array_equal(out.numpy(), want.numpy())
    assert out.transpose(1, 2).is_contiguous()


def test_a_query_that_sees_nothing():
    mask = np.ones((70, 90), bool)
    mask[[0, 5, 69]] = False
    x = qkvg()
    for m in (mask, np.where(mask, 0.0, -np.inf)):
        out, dq, dk, dv = run(*x, attn_mask=tg.from_numpy(m))
        assert not out[..., [0, 5, 69], :].any()
        assert not dq[..., [0, 5, 69], :].any()
        assert np.isfinite(dk).all()
        assert np.isfinite(dv).all()


def test_nan_spreads_to_the_rows_that_see_it():
    q, k, v, g = qkvg(queries=5, keys=5)
    k[0, 0, 3, 0] = np.nan
    out = run(q, k, v, g, is_causal=True)[0]
    assert np.isnan(out[0, 0]).all(axis=-1).tolist() == [False, False, False, True, True]
    assert np.isfinite(out[0, 1]).all()


def test_large_scores_stay_finite():
    q, k, v, _ = qkvg(dtype=np.float32)
    out = attend(*[tg.from_numpy(a) for a in (q * 1e4, k * 1e4, v)]).numpy()
    best = (q.astype(np.float64) @ np.swapaxes(k, -1, -2)).argmax(axis=-1)
    np.testing.assert_allclose(out, np.take_along_axis(v, best[..., None], axis=2), rtol=1e-3)


def test_gradient_of_a_mask():
    q, k, v, _ = qkvg(queries=6, keys=7, size=4, value_size=3)
    bias = tg.from_numpy(arrays((6, 7), seed=5)[0]).requires_grad_()
    assert tg.autograd.gradcheck(lambda m: attend(tg.from_numpy(q), tg.from_numpy(k), tg.from_numpy(v), m), [bias])


def test_dropout_keeps_the_mean_and_repeats_with_the_seed():
    q, k, v, _ = qkvg(heads=8, queries=64, keys=64)
    v = np.ones_like(v[:, :1]).repeat(8, axis=1)
    q, k = q[:, :8], np.concatenate([k] * 4, axis=1)
    outs = []
    for seed in (1, 1, 2):
        tg.manual_seed(seed)
        outs.append(attend(*map(tg.from_numpy, (q, k, v)), dropout_p=0.3).numpy())
    np.testing.assert_array_equal(outs[0], outs[1])
    assert (outs[0] != outs[2]).any()
    np.testing.assert_allclose(outs[0].mean(), 1.0, atol=0.02)


MEASURE = """
import resource, numpy as np, tensorgrad as tg
from tensorgrad.op import fn
def pass_(n):
    q, k, v = [tg.from_numpy(np.ones((1, 1, n, 64), np.float32)).requires_grad_() for _ in range(3)]
    fn.scaled_dot_product_attention(q, k, v, is_causal=CAUSAL).sum().backward()
pass_(64)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pass_(8192)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("causal", [False, True])
def test_memory_does_not_grow_with_the_square(causal):
    """8192 positions: the scores would take 256 MiB; forward and backward stay below 64 MiB with inputs, outputs and gradients."""
    done = subprocess.run([sys.executable, "-c", MEASURE.replace("CAUSAL", str(causal))], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 64 * 1024
