"""What the cases of the ops leave out of the Triton kernels, in Triton's interpreter: it needs TRITON_INTERPRET=1.

`TRITON_INTERPRET=1 pytest tests/test_emu_ops.py` runs each rung on the cases.
"""
from __future__ import annotations

import importlib
from contextlib import nullcontext

import ml_dtypes
import numpy as np
import pytest
from sampling import OPS

import tensorgrad as tg
from tensorgrad import triton
from tensorgrad.errors import NoKernel
from tensorgrad.op import fn

if triton.absent() or not triton.INTERPRETED:
    pytest.skip(triton.absent() or "needs a process with TRITON_INTERPRET=1", allow_module_level=True)

import triton.language as tl

from tensorgrad.ops.shared.attention import dropout_of
from tensorgrad.ops.shared.philox import words
from tensorgrad.triton.runtime import forget_plans, kernel
from tensorgrad.triton.shared.philox import philox4x32_10

RUNGS = {(op, path): run for op, path, _, _, _, run, *_ in triton.load_kernels()}


def family(name):
    """A module of kernels by its file name."""
    return importlib.import_module(f"tensorgrad.triton.{name}")


def normal(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def near(got, want, tolerance=1e-5):
    assert np.isfinite(want).all()
    assert np.linalg.norm(got.astype(np.float64) - want) <= tolerance * np.linalg.norm(want)


@kernel
def product(C, A, B, N: tl.constexpr):
    i = tl.arange(0, N)
    at = i[:, None] * N + i[None, :]
    tl.store(C + at, tl.dot(tl.load(A + at), tl.load(B + at)))


def test_dot_takes_bfloat16():
    a, b = normal(16, 16, dtype=ml_dtypes.bfloat16), normal(16, 16, dtype=ml_dtypes.bfloat16, seed=1)
    c = np.empty((16, 16), np.float32)
    product[1](c, a, b, N=16)
    near(c, a.astype(np.float64) @ b.astype(np.float64), 1e-6)


@kernel
def random_words(W, seed, first, N: tl.constexpr):
    i = tl.arange(0, N)
    a, b, c, d = philox4x32_10(seed, first + i)
    tl.store(W + 4 * i, a)
    tl.store(W + 4 * i + 1, b)
    tl.store(W + 4 * i + 2, c)
    tl.store(W + 4 * i + 3, d)


@pytest.mark.parametrize(("seed", "block"), [(0, 0), (1, 1), (-1, 2**32 - 3), (2**62 + 5, 2**40)])
def test_random_words_are_those_of_every_device(seed, block):
    got = np.zeros(32, np.uint32)
    random_words[1](got.view(np.int32), seed, block, N=8)
    assert (got == words(seed % 2**64, block, 32)).all()


@pytest.mark.parametrize("op", ["softmax", "log_softmax", "softmax_backward", "log_softmax_backward"])
def test_rows_longer_than_a_program_keeps(op, monkeypatch):
    monkeypatch.setattr(family("softmax"), "HELD", 16)
    monkeypatch.setattr(family("softmax"), "TILE", 32)
    a, b = normal(3, 77), -np.abs(normal(3, 77, seed=1))
    a[0, :40] = -np.inf  # a block of nothing first
    if "backward" in op:
        a = normal(3, 77)
    y = np.full_like(a, np.nan)
    RUNGS[op, "triton/v03_online"](y, a, *([b] if "backward" in op else []), 3, 77, 1)
    a, b = a.astype(np.float64), b.astype(np.float64)
    e = np.exp(a - a.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    want = {"softmax": lambda: p, "log_softmax": lambda: np.log(np.maximum(p, 1e-300)),
            "softmax_backward": lambda: b * (a - (a * b).sum(1, keepdims=True)),
            "log_softmax_backward": lambda: a - np.exp(b) * a.sum(1, keepdims=True)}[op]()
    there = np.isfinite(y)
    assert (there | (op == "log_softmax")).all()  # where x is -inf, so is its logarithm
    near(np.where(there, y, 0), np.where(there, want, 0))


SHAPES = [(40, 64, 48), (33, 16, 80)]


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=str)
@pytest.mark.parametrize("rung", ["v08_tensor_core", "v09_hopper", "v10_persistent", "split_k"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("turned", [(False, False), (False, True), (True, False), (True, True)], ids=str)
def test_products_of_several_tiles(rung, shape, turned, dtype, monkeypatch):
    """Tiles of 16 x 32, so that there are several. Operands with rows (or columns) of multiples of 16 bytes go by tensor memory access."""
    matmul = family("matmul")
    monkeypatch.setattr(matmul, "tile_of", lambda m, n, most: (16, 32))
    moved = []
    monkeypatch.setattr(matmul, "layout", lambda *a, made=matmul.layout: moved.append(a) or made(*a))
    forget_plans()
    m, k, n = shape
    x, y = (normal(b, a, dtype=dtype, seed=a).T if t else normal(a, b, dtype=dtype, seed=a)
            for t, a, b in zip(turned, (m, k), (k, n), strict=True))
    c0, bias = normal(m, 1, dtype=dtype), normal(n, dtype=dtype, seed=3)
    wide = dtype == np.float32
    path = f"triton/{rung}" + ("_tf32" if wide and rung != "split_k" and rung != "v10_persistent" else "")
    parts = [np.full((3, m * n), np.nan, np.float32)] if rung == "split_k" else []
    got = np.full((m, n), np.nan, dtype)
    RUNGS["gemm", path](got, x, y, c0, bias, 0.5, 2.0, 1, *parts)
    want = np.maximum(0.5 * (x.astype(np.float64) @ y.astype(np.float64)) + 2 * c0.astype(np.float64) + bias.astype(np.float64), 0)
    near(got, want, 1e-6 if wide else 6e-3)
    if rung in ("v09_hopper", "v10_persistent"):
        movable = [(a.T if t else a).strides[0] % 16 == 0 for t, a in zip(turned, (x, y), strict=True)]
        assert len(moved) == (2 if all(movable) else 0)
    plain = np.full((m, n), np.nan, dtype)
    RUNGS["matmul", path](plain, x, y, *parts)
    near(plain, x.astype(np.float64) @ y.astype(np.float64), 1e-6 if wide else 6e-3)


@pytest.mark.parametrize("mean", [True, False], ids=["layer_norm", "rms_norm"])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=str)
def test_norms_of_long_rows(mean, dtype, monkeypatch):
    monkeypatch.setattr(family("layer_norm"), "HELD", 16)
    monkeypatch.setattr(family("layer_norm"), "TILE", 32)
    rows, n = 9, 77
    x, g = normal(rows, n, dtype=dtype) + dtype(100 if mean else 0), normal(rows, n, dtype=dtype, seed=1)
    w, b = normal(n, seed=2), normal(n, seed=3)  # of another dtype
    y, mu, rstd = np.full_like(x, np.nan), np.full(rows, np.nan), np.full(rows, np.nan)
    run = RUNGS["layer_norm" if mean else "rms_norm", "triton/v02_persistent"]
    run(y, mu, rstd, x, w, b, 1e-5) if mean else run(y, rstd, x, w, 1e-5)
    wide = x.astype(np.float64)
    middle = wide.mean(1, keepdims=True) if mean else 0
    want_rstd = 1 / np.sqrt(((wide - middle) ** 2).mean(1) + 1e-5)
    xhat = (wide - middle) * want_rstd[:, None]
    tolerance = 1e-6 if dtype == np.float32 else 8e-3
    near(rstd, want_rstd, 1e-6)
    near(y, xhat * w + (b if mean else 0), tolerance)
    if mean:
        near(mu, middle[:, 0], 1e-8)
    dx, dw, db = np.full_like(x, np.nan), np.full_like(w, np.nan), np.full_like(b, np.nan)
    RUNGS["norm_backward", "triton/v02_persistent"](dx, dw, db, np.full((3, 2, n), np.nan), g, x, w, mu if mean else None, rstd)
    gw = g.astype(np.float64) * w
    near(dx, want_rstd[:, None] * (gw - (gw.mean(1, keepdims=True) if mean else 0) - xhat * (gw * xhat).mean(1, keepdims=True)), tolerance)
    near(dw, (g.astype(np.float64) * xhat).sum(0), 1e-6)
    near(db, g.astype(np.float64).sum(0), 1e-6)


def labelled(outer, n, inner):
    """Scores, labels (the class 3 to be ignored among them), class weights."""
    labels = np.random.default_rng(4).integers(0, n, (outer, inner))
    labels[0, 0] = 3
    return 5 * normal(outer, n, inner), labels, np.abs(normal(n, seed=2))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(("outer", "n", "inner"), [(5, 77, 1), (2, 70, 37)])
def test_cross_entropy_of_several_tiles(outer, n, inner, smoothing, monkeypatch):
    """Rows of three tiles, and columns of which two programs take a part each; where rows are, losses and gradients in one kernel too."""
    for name, value in (("TILE", 32), ("HELD", 16)):
        monkeypatch.setattr(family("cross_entropy"), name, value)
    x, t, w = labelled(outer, n, inner)
    g = normal(outer, inner, seed=5)
    own = (np.arange(n)[:, None] == t[:, None]) * 1.0
    factors = ((1 - smoothing) * own + smoothing / n) * w[:, None].astype(np.float64) * (t != 3)[:, None]  # of -ln p_c
    wide = x.astype(np.float64)
    top = wide.max(1)
    log_sum = np.log(np.exp(wide - top[:, None]).sum(1))
    log_p = wide - (top + log_sum)[:, None]
    want, slopes = -(factors * log_p).sum(1), np.exp(log_p) * factors.sum(1, keepdims=True) - factors
    loss, *stats = np.full((3, outer, inner), np.nan, np.float32)
    RUNGS["cross_entropy_labels", "triton/v01_online"](loss, *stats, x, t, w, outer, n, inner, 3, smoothing)
    near(loss, want)
    near(stats[0], top)
    near(stats[1], log_sum)
    dx = np.full_like(x, np.nan)
    RUNGS["cross_entropy_labels_backward", "triton/v01_online"](dx, g, x, t, w, *stats, outer, n, inner, 3, smoothing)
    near(dx, g[:, None].astype(np.float64) * slopes)
    if inner == 1:
        for given in (None, g[:, 0]):
            scores, loss = x[:, :, 0].copy(), np.full(outer, np.nan, np.float32)
            RUNGS["linear_cross_entropy", "triton/v01_online"](scores, loss, given, t[:, 0], w, 3, smoothing, 1)
            near(loss, want[:, 0])
            near(scores, slopes[:, :, 0] * (1 if given is None else given[:, None].astype(np.float64)))


@pytest.mark.parametrize("state", [(5, 3), (2**64 - 3, 2**32 - 1)], ids=str)
def test_dropout_of_several_programs_draws_what_every_device_draws(state, monkeypatch):
    dropout, seed = family("dropout"), np.array(state[0], np.uint64).view(np.int64).item()
    monkeypatch.setattr(dropout, "FOURS", 8)
    monkeypatch.setattr(dropout, "TILE", 16)
    limit = 3 << 30
    for rows, run in ((75, 1), (9, 37), (9, 3)):
        x, y = normal(rows, run), np.full((rows, run), np.nan, np.float32)
        RUNGS["drop", "triton/v00_philox"](y, x, seed, state[1], limit, 2.0, 0.0, -7.0)
        kept = words(*state, rows) < limit
        assert (y == np.where(kept[:, None], 2 * x, -7)).all()
    x, beside, bias = normal(15, 5), normal(15, 5, seed=1), normal(5, seed=2)
    RUNGS["drop_add", "triton/v01_residual"](y := np.full_like(x, np.nan), x, beside, bias, seed, state[1], limit, 2.0)
    near(y, beside + (x + bias.astype(np.float64)) * 2 * (words(*state, 75) < limit).reshape(15, 5), 1e-6)


def test_dropout_of_a_graph_finds_seed_and_block_in_memory():
    place, limit = np.array([5, 2**33], np.int64), 3 << 30
    for rows, run in ((75, 1), (9, 37)):
        x, y = normal(rows, run), np.full((rows, run), np.nan, np.float32)
        RUNGS["drop", "triton/v00_philox"](y, x, place.ctypes.data, ~3, limit, 2.0, 0.0, -7.0)
        assert (y == np.where((words(5, 2**33 + 3, rows) < limit)[:, None], 2 * x, -7)).all()


LAYOUTS = {
    "in one line": lambda: [normal(3, 50), normal(3, 50, seed=1)],
    "halves of rows": lambda: np.split(normal(3, 100), 2, axis=1),
    "rows and a row": lambda: [normal(9, 5), normal(5)],
    "by columns": lambda: [normal(5, 9).T, normal(9, 5)],
    "four dimensions": lambda: [normal(2, 1, 3, 5), normal(3, 1, 5)],
    "four that do not merge": lambda: [normal(2, 3, 4, 5), normal(3, 1, 5, 1).reshape(3, 5, 1)[:, ::5]],
    "columns of one": lambda: [normal(40, 1), normal(1, 1)],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_chains_of_any_layout(layout, monkeypatch):
    monkeypatch.setattr(family("chains"), "TILE", 32)
    forget_plans()
    a, b = LAYOUTS[layout]()
    shape = np.broadcast_shapes(a.shape, b.shape)
    y, g = np.full(shape, np.nan, np.float32), normal(*shape, seed=3)
    RUNGS["swiglu", "triton/vectorized"](y, a, b)
    near(y, OPS["swiglu"].reference(a.astype(np.float64), b.astype(np.float64)), 1e-6)
    da, db = np.full((2, *shape), np.nan, np.float32)
    RUNGS["swiglu_backward", "triton/vectorized"](da, db, g, a, b)
    for got, want in zip((da, db), OPS["swiglu_backward"].reference(*[v.astype(np.float64) for v in (g, a, b)]), strict=True):
        near(got, want, 1e-6)
    for tanh in (0, 1):
        RUNGS["bias_gelu_backward", "triton/vectorized"](y, g, a, b, tanh)
        near(y, OPS["bias_gelu_backward"].reference(*[v.astype(np.float64) for v in (g, a, b)], tanh), 2e-6)


def test_rows_by_their_numbers_of_several_tiles(monkeypatch):
    monkeypatch.setattr(family("indexing"), "TILE", 64)
    table, index = normal(6, 300), np.random.default_rng(1).integers(0, 6, 9)
    y = np.full((9, 300), np.nan, np.float32)
    RUNGS["embedding", "triton/pick"](y, table, index)
    assert (y == table[index]).all()
    want = OPS["add_rows"].reference(y.astype(np.float64), np.arange(9.0), None, index, 7)
    for path in ("triton/v01_sorted", "triton/v02_pieces"):
        with tg.kernels.use("add_rows", path):
            x, scale = (tg.tensor(a, device="emu") for a in (y, np.arange(9, dtype=np.float32)))
            near(fn.add_rows(x, scale, None, index, 7).cpu().numpy(), want, 1e-6)


@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotary_embedding_of_more_heads_and_positions_than_programs(interleaved, monkeypatch):
    monkeypatch.setattr(family("rotary_embedding"), "TILE", 16)
    monkeypatch.setattr(family("rotary_embedding"), "PROGRAMS", 1)  # of 4 multiprocessors: two for the heads of each half of the positions
    x, cos, sin = normal(2, 7, 3, 10).transpose(0, 2, 1, 3), normal(7, 5, seed=1), normal(7, 5, seed=2)
    y = np.full((2, 3, 7, 10), np.nan, np.float32)
    RUNGS["rotary_embedding", "triton/v01_heads"](y, x, cos, sin, interleaved, 1)
    wide = [a.astype(np.float64) for a in (x, cos, sin)]
    near(y, OPS["rotary_embedding"].reference(*wide, interleaved=bool(interleaved), inverse=True), 1e-6)


@pytest.mark.parametrize(("path", "dtype"), [("v03_fused_linear", np.float32), ("v04_fused_tensor_core", ml_dtypes.bfloat16)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_without_scores_of_several_tiles_and_parts(path, dtype, smoothing, monkeypatch):
    """Three tiles of features, two of positions, five of classes shared by three programs: the last has one. The table's rows lie apart."""
    monkeypatch.setattr(family("linear_cross_entropy"), "tile_of", lambda *a: (16, 16, 16))
    x, w, b = normal(19, 37, dtype=dtype), normal(70, 40, dtype=dtype, seed=1)[:, :37], normal(70, dtype=dtype, seed=2)
    t, weight = np.random.default_rng(3).integers(0, 70, 19), np.abs(normal(70, seed=4)).astype(dtype)
    t[:2] = 3
    loss, stats = np.full(19, np.nan, np.float32), np.full((3, 5, 19), np.nan, np.float32)
    RUNGS["linear_cross_entropy", f"triton/{path}"](loss, x, w, b, t, weight, 3, smoothing, stats)
    wide = [a.astype(np.float64) for a in (x, w)]
    near(loss, OPS["linear_cross_entropy"].reference(*wide, t, b.astype(np.float64), weight.astype(np.float64), "none", 3, smoothing))


@pytest.mark.parametrize("needs", [False, True], ids=["losses", "gradients"])
def test_the_family_makes_losses_without_scores_and_gradients_with_them(needs, monkeypatch):
    fused, module = [], family("linear_cross_entropy")
    monkeypatch.setattr(module, "losses", lambda *a, run=module.losses: fused.append(a) or run(*a))
    x, w = (tg.tensor(normal(*shape), device="emu") for shape in ((5, 3), (7, 3)))
    with tg.kernels.use("*", "triton"):
        loss = fn.linear_cross_entropy(x.requires_grad_(needs), w, tg.tensor(np.arange(5), device="emu"))
        if needs:
            loss.backward()
    assert len(fused) == (not needs)
    with tg.kernels.use("linear_cross_entropy", "triton/v03_fused_linear"), pytest.raises(NoKernel, match="makes losses alone") if needs \
            else nullcontext():
        fn.linear_cross_entropy(x, w, tg.tensor(np.arange(5), device="emu"))


ATTENTION = [("triton/v01_flash", np.float32, 40, 50), ("triton/v02_flash_tensor_core", ml_dtypes.bfloat16, 150, 90)]


@pytest.mark.parametrize(("path", "dtype", "queries", "keys"), ATTENTION, ids=str)
def test_attention_drops_the_same_weights_in_every_tile(path, dtype, queries, keys):
    """Several tiles along queries and keys, forward and backward, on seeds and blocks of more than 32 bits."""
    attention, backward = (OPS[name].reference for name in ("attention", "attention_backward"))
    q, k, v, g = (normal(1, h, n, 16, dtype=dtype, seed=n + h) for h, n in ((2, queries), (1, keys), (1, keys), (2, queries)))
    options = True, 0.25, 0.3, (2**63 + 5, 2**32 - 2)
    wide = [x.astype(np.float64) for x in (g, q, k, v)]
    out, lse = np.full_like(q, np.nan), np.full(q.shape[:3], np.nan, np.float32)
    drawn = dropout_of(*options[2:])
    RUNGS["attention", path](out, lse, q, k, v, None, 1, 0.25, *drawn)
    want = attention(*wide[1:], None, *options)
    tolerance = 1e-5 if dtype == np.float32 else 1e-2
    near(out, want, tolerance)
    got = [np.full_like(x, np.nan) for x in (q, k, v)]
    RUNGS["attention_backward", path](*got, np.full(1000, np.nan, np.float32), g, q, k, v, out, lse, None, 1, 0.25, *drawn)
    for a, b in zip(got, backward(*wide, None, None, None, *options), strict=True):
        near(a, b, tolerance)


@pytest.mark.parametrize(("heads", "key_heads", "queries", "causal"), [(2, 2, 1, 0), (8, 2, 1, 0), (6, 1, 3, 0), (2, 1, 2, 1)])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=str)
def test_few_queries_and_many_keys(heads, key_heads, queries, causal, dtype):
    """Parts of several tiles each, some of nothing; heads that share keys fill a program's rows, or more than one program's."""
    q, k, v = (normal(2, h, n, 24, dtype=dtype, seed=n) for h, n in ((heads, queries), (key_heads, 300), (key_heads, 300)))
    mask = np.random.default_rng(0).random((2, heads, queries, 300)) < 0.8
    mask[0, :, :, 100:] = False
    out, lse = np.full_like(q, np.nan), np.full(q.shape[:3], np.nan, np.float32)
    RUNGS["attention", "triton/decode"](out, lse, q, k, v, mask, causal, 0.25, np.full((3, lse.size, 26), np.nan, np.float32))
    want = OPS["attention"].reference(*(x.astype(np.float64) for x in (q, k, v)), mask, bool(causal), 0.25)
    near(out, want, 1e-5 if dtype == np.float32 else 1e-2)
    assert np.isfinite(lse).all()


@pytest.mark.parametrize("ends", [(20, 20, 61), (0, 33, 50), (7, 8, 9)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=str)
def test_groups_of_several_tiles(ends, dtype, monkeypatch):
    """Fewer programs than tiles, groups of none, one and several tiles; rows beyond the last group are zeros."""
    module = family("grouped_mm")
    monkeypatch.setattr(module, "tile_of", lambda half: (16, 16, 16))
    forget_plans()
    run = RUNGS["grouped_mm", "triton/v07_double_buffered" if dtype == np.float32 else "triton/v10_persistent"]
    offs = np.array(ends, np.int32)
    a, b, c = normal(61, 40, dtype=dtype), normal(3, 40, 37, dtype=dtype, seed=1), normal(61, 37, dtype=dtype, seed=2)
    rows, inner = np.full((61, 37), np.nan, dtype), np.full((3, 40, 37), np.nan, dtype)
    run(rows, a, b, offs)
    run(inner, a.T, c, offs)
    reference = OPS["grouped_mm"].reference
    a, b, c = (x.astype(np.float64) for x in (a, b, c))
    tolerance = 1e-6 if dtype == np.float32 else 6e-3
    near(rows, reference(a, b, offs), tolerance)
    near(inner, reference(a.T, c, offs), tolerance)
    forget_plans()
