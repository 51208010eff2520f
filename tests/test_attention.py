"""Attention beyond its cases: the fused backward against its reference, rungs, threads, precision, memory, dropout."""
from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import dispatch, kernels, nn
from tensorgrad.op import fn
from tensorgrad.utils.checkpoint import checkpoint

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


def factors(shape, p, seed):
    """What dropout multiplies weights (B, H, L, S) by after `manual_seed`: a query's numbers are whole blocks of four."""
    *rows, keys = shape
    drawn = fn.drop(tg.ones(*rows, -(-keys // 4) * 4, dtype=tg.float64), 1 - p, 1 / (1 - p) if p < 1 else 0.0, state=(seed, 0))
    return drawn.numpy()[..., :keys]


def in_full(q, k, v, g, m, causal=False):
    """(out, dq, dk, dv) in float64 with weights that are multiplied by m, all scores in memory."""
    group, scale = q.shape[1] // k.shape[1], q.shape[-1] ** -0.5
    kk, vv = np.repeat(k, group, 1), np.repeat(v, group, 1)
    s = scale * (q @ kk.swapaxes(-1, -2))
    s = np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf) if causal else s
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    dp = m * (g @ vv.swapaxes(-1, -2))
    ds = scale * p * (dp - (p * dp).sum(-1, keepdims=True))
    dk, dv = (x.reshape(*k.shape[:2], group, *x.shape[2:]).sum(2) for x in (ds.swapaxes(-1, -2) @ q, (p * m).swapaxes(-1, -2) @ g))
    return (p * m) @ vv, ds @ kk, dk, dv


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


@pytest.mark.parametrize(("heads", "kv_heads", "dropout_p"), [(8, 4, 0.0), (1, 1, 0.0), (3, 1, 0.0), (8, 4, 0.3), (3, 1, 0.3)])
def test_threads_do_not_change_a_bit(heads, kv_heads, dropout_p):
    """Whole heads at a time and blocks at a time are two ways through the backward pass with the same sums."""
    x = qkvg(heads=heads, kv_heads=kv_heads, queries=300, keys=290, size=24, dtype=np.float32)
    before = tg.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            tg.set_num_threads(threads)
            tg.manual_seed(0)
            results.append(run(*x, is_causal=True, enable_gqa=True, dropout_p=dropout_p))
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


@pytest.mark.parametrize("shape", [
    {}, {"queries": 130, "keys": 67, "size": 17, "value_size": 5}, {"heads": 4, "kv_heads": 1, "batch": 2}, {"queries": 1, "keys": 3},
    {"queries": 200, "keys": 65, "size": 64, "value_size": 64}], ids=str)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("path", ["cpu/flash", "cpu/naive"])
def test_dropout_against_float64_with_the_same_mask(path, causal, shape):
    x = qkvg(**shape)
    for p, seed in ((0.3, 7), (0.9, 2**64 - 5)):
        tg.manual_seed(seed)
        with kernels.use("attention", path):
            got = run(*x, dropout_p=p, is_causal=causal, enable_gqa=True)
        for a, b in zip(got, in_full(*x, factors((*x[0].shape[:3], x[1].shape[2]), p, seed), causal), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_dropout_with_a_mask_that_wants_a_gradient_drops_the_same():
    """Plain operations, of whole blocks of four keys and others."""
    for keys in (64, 67):
        q, k, v, _ = map(tg.from_numpy, qkvg(keys=keys))
        outs = []
        for wants in (False, True):
            tg.manual_seed(9)
            bias = tg.zeros(q.shape[2], keys, dtype=tg.float64, requires_grad=wants)
            outs.append(attend(q, k, v, bias, dropout_p=0.4).detach().numpy())
        np.testing.assert_allclose(*outs, rtol=1e-9, atol=1e-12)


def test_dropout_gradients():
    def once(*inputs):
        tg.manual_seed(5)
        return attend(*inputs, is_causal=True, dropout_p=0.4, enable_gqa=True)

    inputs = [tg.from_numpy(a).requires_grad_() for a in qkvg(heads=4, queries=5, keys=7, size=4, value_size=3)[:3]]
    assert tg.autograd.gradcheck(once, inputs)
    assert tg.autograd.gradgradcheck(once, inputs)


def test_without_dropout_nothing_is_drawn():
    x = qkvg()
    state = tg.get_rng_state()
    for a, b in zip(run(*x, dropout_p=0.0), run(*x), strict=True):
        np.testing.assert_array_equal(a, b)
    assert tg.get_rng_state() == state


def test_the_generator_goes_on_by_whole_blocks_for_each_query():
    q, k, v, g = qkvg(keys=90)
    tg.manual_seed(3)
    run(q, k, v, g, dropout_p=0.5)
    assert tg.get_rng_state() == (3, 2 * 70 * 23)


@pytest.mark.parametrize("p", [0.9999, 1.0])
def test_almost_everything_dropped(p):
    x = qkvg()
    tg.manual_seed(11)
    got = run(*x, dropout_p=p)
    for a, b in zip(got, in_full(*x, factors((1, 2, 70, 90), p, 11)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
        assert p < 1 or not a.any()


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("device", ["cpu", "emu"])
def test_dropout_wants_a_probability(device, p):
    if device == "emu":
        pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
    x = tg.ones(1, 1, 2, 4, device=device)
    with pytest.raises(ValueError, match="scaled_dot_product_attention: dropout probability has to be between 0 and 1, but got"):
        attend(x, x, x, dropout_p=p)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_share_that_dropout_keeps(p):
    """Values that are a unit matrix show which weights are kept: independent in every direction, 1 - p of them."""
    n, heads = 64, 24
    tg.manual_seed(1)
    weights = attend(tg.zeros(1, heads, n, 8), tg.zeros(1, heads, n, 8), tg.eye(n).expand(1, heads, n, n), dropout_p=p).numpy()[0]
    stays = weights != 0
    assert abs(stays.mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / stays.size)
    for axis in range(3):
        one, other = np.delete(stays, 0, axis), np.delete(stays, -1, axis)
        assert abs((one & other).mean() - (1 - p) ** 2) < 5 * (1 - p) * np.sqrt((1 - (1 - p) ** 2) / one.size)
    np.testing.assert_allclose(weights[stays], 1 / n / (1 - p), rtol=1e-6)


def test_half_precision_drops_the_same():
    x = [a.astype(np.float32) for a in qkvg()]
    outs = []
    for dtype in (tg.float32, tg.float16, tg.bfloat16):
        tg.manual_seed(2)
        outs.append(attend(*[tg.tensor(a, dtype=dtype) for a in x[:3]], dropout_p=0.5).float().numpy())
    assert norm_error(outs[1], outs[0]) < 2e-3
    assert norm_error(outs[2], outs[0]) < 2e-2


def test_a_checkpoint_drops_the_same_again():
    gradients = []
    for wrap in (lambda f, *inputs: f(*inputs), lambda f, *inputs: checkpoint(f, *inputs, use_reentrant=False)):
        tg.manual_seed(6)
        inputs = [tg.from_numpy(a).requires_grad_() for a in qkvg()[:3]]
        y = wrap(lambda q, k, v: attend(q, k, v, dropout_p=0.5).square(), *inputs)
        tg.rand(3)  # somebody else draws before the backward pass
        y.sum().backward()
        gradients.append([t.grad.numpy() for t in inputs])
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_array_equal(a, b)


def test_multihead_attention_drops_in_training_alone():
    """And the same weights as where it returns them: 8 keys are whole blocks of numbers."""
    layer = nn.MultiheadAttention(16, 2, dropout=0.5, batch_first=True)
    x = tg.from_numpy(arrays((3, 8, 16), dtype=np.float32)[0])

    def result(**options):
        tg.manual_seed(1)
        out = layer(x, x, x, **options)[0].detach().numpy()
        return out, tg.get_rng_state()

    (fused, drawn), (plain, plain_drawn) = result(need_weights=False), result()
    np.testing.assert_allclose(fused, plain, rtol=1e-4, atol=1e-6)
    assert drawn == plain_drawn == (1, 3 * 2 * 8 * 2)
    layer.eval()
    still, drawn = result(need_weights=False)
    assert drawn == (1, 0)
    assert np.abs(still - fused).max() > 1e-2


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
    fn.scaled_dot_product_attention(q, k, v, is_causal=CAUSAL, dropout_p=DROPOUT).sum().backward()
pass_(64)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pass_(8192)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize(("causal", "dropout_p"), [(False, 0.0), (True, 0.0), (True, 0.1)])
def test_memory_does_not_grow_with_the_square(causal, dropout_p):
    """8192 positions: the scores would take 256 MiB; forward and backward stay below 64 MiB with inputs, outputs and gradients."""
    script = MEASURE.replace("CAUSAL", str(causal)).replace("DROPOUT", str(dropout_p))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 64 * 1024
