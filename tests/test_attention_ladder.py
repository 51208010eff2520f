"""Every rung of the attention ladder, on the emulator, forward and backward, against float64.

Inputs end at pages nobody may touch, outputs and workspaces start as NaN, thread order is shuffled by three seeds, and asynchronous
work is done both at once and as late as is legal.
"""
from __future__ import annotations

import zlib

import ml_dtypes
import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.nn import functional as F
from tensorgrad.op import fn
from tensorgrad.ops import attention, attention_backward
from tensorgrad.ops.shared import attention as shared

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
FORWARD, BACKWARD = ({path: k for path, k in dispatch.kernels_of("emu")[op].items() if k.family == "cuda"}
                     for op in ("attention", "attention_backward"))
NUMPY = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
TOLERANCE = {"float32": 2e-6, "float64": 1e-13, "float16": 1.5e-3, "bfloat16": 1.2e-2}  # a few roundings
RUNGS = [(path, name) for path, k in sorted(FORWARD.items()) for name in sorted(k.dtypes)]
BACK = [(path, name) for path, k in sorted(BACKWARD.items()) for name in sorted(k.dtypes)]

# batch, query heads, key heads, queries, keys, size, value size
SHAPES = [(1, 1, 1, 1, 1, 1, 1), (1, 2, 2, 3, 0, 4, 4), (2, 1, 1, 0, 3, 4, 4), (0, 1, 1, 2, 2, 2, 2), (1, 4, 2, 65, 33, 40, 24),
          (2, 3, 1, 17, 130, 8, 64), (1, 1, 1, 130, 67, 64, 64), (1, 2, 1, 5, 9, 17, 70), (1, 1, 1, 33, 70, 128, 100),
          (1, 1, 1, 40, 35, 256, 256), (1, 2, 2, 1, 75, 96, 96), (1, 2, 1, 130, 300, 64, 48), (1, 1, 1, 150, 270, 128, 104)]
MASKS = ("none", "causal", "pairs", "padding", "bias", "causal bias", "nothing seen")


@pytest.fixture(params=[(0, False), (1, True), (2, False), (3, True)], ids=lambda p: f"seed{p[0]}-{'eager' if p[1] else 'lazy'}")
def order(request):
    emu.configure(seed=request.param[0], eager=request.param[1])
    yield request.param
    emu.configure(seed=0, eager=False)


def rng_of(*what):
    return np.random.default_rng(zlib.crc32(" ".join(map(str, what)).encode()))


def problem(rng, name, shape, mask):
    """(q, k, v, mask, causal, scale), queries laid out as projections leave them in half of the problems."""
    b, h, hk, n, s, e, ev = shape
    dtype = NUMPY[name]
    if rng.integers(2):
        q = rng.standard_normal((b, n, h, e)).astype(dtype).transpose(0, 2, 1, 3)
    else:
        q = rng.standard_normal((b, h, n, e)).astype(dtype)
    k, v = rng.standard_normal((b, hk, s, e)).astype(dtype), rng.standard_normal((b, hk, s, ev)).astype(dtype)
    m = None
    if mask == "pairs":
        m = np.broadcast_to(rng.random((n, s)) < 0.6, (b, h, n, s))
    elif mask == "padding":
        m = np.broadcast_to((np.arange(s) < rng.integers(0, s + 1, (b, 1))).reshape(b, 1, 1, s), (b, h, n, s))
    elif "bias" in mask:
        m = rng.standard_normal((b, h, n, s)).astype(dtype)
        m[rng.random(m.shape) < 0.2] = -np.inf
    elif mask == "nothing seen":
        m = np.broadcast_to(rng.random((n, 1)) < 0.5, (b, h, n, s))
    return q, k, v, m, "causal" in mask, 0.7 / max(e, 1) ** 0.5


def factors_of(scores, p, state):
    """What dropout multiplies weights (B, H, L, S) by, 0 or 1 / (1 - p): a query's numbers are whole blocks of four."""
    if not p:
        return np.ones(scores)
    drawn = fn.drop(tg.ones(*scores[:3], -(-scores[3] // 4) * 4, dtype=tg.float64), 1 - p, 1 / (1 - p) if p < 1 else 0.0, state=state)
    return drawn.numpy()[..., :scores[3]]


def reference(q, k, v, m, causal, scale, g=None, factors=1.0):
    """(out, lse) in float64, or with the gradient of `out` (dq, dk, dv)."""
    group = q.shape[1] // max(k.shape[1], 1)
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    kk, vv = np.repeat(k, group, 1), np.repeat(v, group, 1)
    s = scale * (q @ kk.swapaxes(-1, -2))
    if m is not None:
        s = np.where(m, s, -np.inf) if m.dtype == np.bool_ else s + m.astype(np.float64)
    if causal:
        s = np.where(np.tri(*s.shape[-2:], dtype=np.bool_), s, -np.inf)
    top = np.maximum(s.max(-1, keepdims=True, initial=-np.inf), -1e300)
    p = np.exp(s - top)
    total = p.sum(-1, keepdims=True)
    p = p / np.where(total == 0, 1, total)
    out = (p * factors) @ vv
    if g is None:
        with np.errstate(divide="ignore"):
            return out, np.where(total == 0, -np.inf, top + np.log(total))[..., 0]
    ds = p * (factors * (g @ vv.swapaxes(-1, -2)) - (g * out).sum(-1, keepdims=True)) * scale
    by_key = [x.reshape(*k.shape[:2], group, *x.shape[2:]).sum(2) for x in (ds.swapaxes(-1, -2) @ q, (p * factors).swapaxes(-1, -2) @ g)]
    return ds @ kk, *by_key


def refuses(op, path, q, k, v, m, *_, dropping=False):
    """Why a rung does not take this problem, or None."""
    kernel = dispatch.kernels_of("emu")[op][path]
    return dispatch._ops[op].supports(kernel, *shared.call_of(tg.device("emu"), q, k, v, m, dropping))


def error(got, want):
    return np.linalg.norm(got.astype(np.float64) - want) / (np.linalg.norm(want) or 1)


def forward(path, name, q, k, v, m, causal, scale, p=0.0, state=(0, 0), kernels=FORWARD):
    wide = np.float64 if name == "float64" else np.float32
    out, lse = emu.xp.empty((*q.shape[:3], v.shape[3]), q.dtype), emu.xp.empty(q.shape[:3], wide)
    kernels[path].call(out, lse, q, k, v, m, int(causal), scale, *shared.dropout_of(p, state))
    return out, lse


def check(path, name, arguments, p=0.0, state=(0, 0), kernels=FORWARD):
    out, lse = forward(path, name, *arguments, p, state, kernels)
    want, want_lse = reference(*arguments, factors=factors_of((*out.shape[:3], arguments[1].shape[2]), p, state))
    assert error(out, want) <= TOLERANCE[name], f"relative error {error(out, want):.3g}"
    np.testing.assert_allclose(lse, want_lse, rtol=1e-5, atol=1e-5)


def check_backward(path, name, arguments, rng, p=0.0, state=(0, 0), kernels=BACKWARD):
    q, k, v, m, causal, scale = arguments
    g = rng.standard_normal((*q.shape[:3], v.shape[3])).astype(q.dtype)
    scores = (*q.shape[:3], k.shape[2])
    factors = factors_of(scores, p, state)
    out, lse = reference(*arguments, factors=factors)
    wide = np.float64 if name == "float64" else np.float32
    got = [emu.xp.empty(x.shape, x.dtype) for x in (q, k, v)]
    room = emu.xp.empty(lse.size, wide)
    kernels[path].call(*got, room, g, q, k, v, out.astype(q.dtype), lse.astype(wide), m, int(causal), scale,
                        *shared.dropout_of(p, state))
    want = reference(*arguments, g.astype(np.float64), factors)
    size = max(np.linalg.norm(w) for w in want) / 10  # a gradient may cancel to nothing, as dq does for a single key; its terms do not
    for what, a, b in zip(("dq", "dk", "dv"), got, want, strict=True):
        assert a.size == 0 or np.isfinite(a.astype(np.float64)).all(), f"{what} is not finite"
        far = np.linalg.norm(a.astype(np.float64) - b) / max(np.linalg.norm(b), size, 1e-30)
        assert far <= 3 * TOLERANCE[name], f"{what}: relative error {far:.3g}"


@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_shapes_and_masks(path, name, order):
    for i, shape in enumerate(SHAPES):
        arguments = problem(rng_of(path, name, i, order), name, shape, MASKS[(i + 2 * order[0]) % len(MASKS)])
        if not refuses("attention", path, *arguments):
            check(path, name, arguments)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_masks(path, name, mask):
    arguments = problem(rng_of(path, name), name, (2, 4, 2, 75, 83, 24, 40), mask)
    assert not refuses("attention", path, *arguments)
    check(path, name, arguments)


@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_fuzz(path, name):
    rng = rng_of("fuzz", path, name)
    for _ in range(6):
        hk, group, n, s, e, ev = (int(x) for x in rng.integers(1, (3, 4, 140, 140, 80, 80)))
        if path == "cuda/v03_flash_hopper":  # what TMA can fetch
            s, e, ev = 3 * s, -e // 8 * -8, -ev // 8 * -8
        check(path, name, problem(rng, name, (1, hk * group, hk, n, s, e, ev), rng.choice(MASKS)))


@pytest.mark.parametrize(("path", "name"), BACK)
def test_backward_shapes_and_masks(path, name, order):
    for i, shape in enumerate(SHAPES):
        rng = rng_of("backward", path, name, i, order)
        arguments = problem(rng, name, shape, MASKS[(i + 2 * order[0]) % len(MASKS)])
        if not refuses("attention_backward", path, *arguments):
            check_backward(path, name, arguments, rng)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(("path", "name"), BACK)
def test_backward_masks(path, name, mask):
    rng = rng_of("backward", path, name)
    arguments = problem(rng, name, (2, 4, 2, 75, 83, 24, 40), mask)
    assert not refuses("attention_backward", path, *arguments)
    check_backward(path, name, arguments, rng)


@pytest.mark.parametrize(("path", "name"), BACK)
def test_backward_fuzz(path, name):
    rng = rng_of("backward fuzz", path, name)
    for _ in range(4):
        hk, group, n, s, e, ev = (int(x) for x in rng.integers(1, (3, 4, 140, 140, 80, 80)))
        if path == "cuda/v03_flash_hopper":
            n, e, ev = 2 * n, -e // 8 * -8, -ev // 8 * -8
        check_backward(path, name, problem(rng, name, (1, hk * group, hk, n, s, e, ev), rng.choice(MASKS)), rng)


def test_a_small_workspace_means_rows_in_pieces(monkeypatch):
    arguments = problem(rng_of("pieces"), "float32", (2, 3, 1, 7, 5, 8, 8), "causal")
    want = forward("cuda/v00_naive", "float32", *arguments)
    monkeypatch.setattr(shared, "get_workspace_limit", lambda: 4 * 5 * 4)  # four rows of 42
    for got, whole in zip(forward("cuda/v00_naive", "float32", *arguments), want, strict=True):
        np.testing.assert_array_equal(got, whole)


@pytest.fixture
def ran(monkeypatch):
    """The kernels chosen on emu, by op."""
    chosen = {}
    original = dispatch.choose

    def spy(op, device, *args):
        kernel = original(op, device, *args)
        if op.name.startswith("attention") and str(device) == "emu":
            chosen.setdefault(op.name, set()).add(kernel.path)
        return kernel

    monkeypatch.setattr(dispatch, "choose", spy)
    dispatch._forget_choices()
    return chosen


def test_heads_too_long_for_the_tiles_go_to_a_rung_without():
    x = tg.ones(1, 1, 2, 300, device="emu")
    with tg.kernels.use("attention", "cuda/v01_flash"), pytest.raises(NotImplementedError, match="holds heads of up to 1024 bytes"):
        F.scaled_dot_product_attention(x, x, x)
    np.testing.assert_array_equal(F.scaled_dot_product_attention(x, x, x).numpy(), x.numpy())


def test_the_default_rung_of_each_dtype(ran):
    for name, size, path, back in (
            ("float32", 8, "cuda/v01_flash", "cuda/v01_flash"), ("float64", 8, "cuda/v01_flash", "cuda/v01_flash"),
            ("bfloat16", 8, "cuda/v03_flash_hopper", "cuda/v03_flash_hopper"),
            ("bfloat16", 7, "cuda/v02_flash_tensor_core", "cuda/v02_flash_tensor_core")):
        ran.clear()
        x = tg.ones(1, 2, 3, size, device="emu", dtype=getattr(tg, name)).requires_grad_()
        F.scaled_dot_product_attention(x, x, x).sum().backward()
        assert ran == {"attention": {path}, "attention_backward": {back}}


def test_what_tma_cannot_fetch_is_refused_by_name():
    cache = tg.ones(1, 2, 40, 24, device="emu", dtype=tg.bfloat16)
    q, whole, odd = cache[:, :, :3, :16], cache[:, :, :5, :16], cache[:, :, :5, 1:17]  # vectors at 2 bytes after a multiple of 16
    with tg.kernels.use("attention", "cuda/v03_flash_hopper"):
        np.testing.assert_array_equal(F.scaled_dot_product_attention(q, whole, whole).numpy(), 1)
        for k, v in ((odd, whole), (whole, odd), (whole[:, :, :0], whole[:, :, :0])):
            with pytest.raises(NotImplementedError, match="v03_flash_hopper needs vectors at multiples of 16 bytes, for TMA, and at least"):
                F.scaled_dot_product_attention(q, k, v)
        x = tg.ones(1, 1, 3, 136, device="emu", dtype=tg.bfloat16)
        with pytest.raises(NotImplementedError, match="takes masks and dropout for heads of up to 256 bytes only"):
            F.scaled_dot_product_attention(x, x, x, tg.ones(3, 3, device="emu", dtype=tg.bool))


@pytest.mark.parametrize(("op", "table"), [("attention", attention.HEAD_BYTES), ("attention_backward", attention_backward.HEAD_BYTES)])
def test_a_chip_with_99_kb_runs_what_it_is_said_to_hold_and_no_more(op, table):
    """The table of limits against the launches: the longest heads run, and the next longer ones would not."""
    emu.configure(chip=8.6)
    try:
        for path, kernel in (FORWARD if op == "attention" else BACKWARD).items():
            if path not in table or not kernel.chips[0] <= 86 <= kernel.chips[1]:
                continue
            for name in sorted(kernel.dtypes):
                for limit in table[path]:
                    width = limit // np.dtype(NUMPY[name]).itemsize
                    arguments = problem(rng_of(path, name), name, (1, 1, 1, 5, 6, width, width), "none")
                    small = not refuses(op, path, *arguments)
                    assert small == (limit == table[path][1])
                    if small:
                        check(path, name, arguments) if op == "attention" else check_backward(path, name, arguments, rng_of(path))
                    else:
                        with pytest.raises(RuntimeError, match="bytes of dynamic shared memory are beyond 101376"):
                            check(path, name, arguments) if op == "attention" else check_backward(path, name, arguments, rng_of(path))
    finally:
        emu.configure(chip=9.0)


def test_a_chip_with_99_kb_passes_over_rungs_that_need_more(ran):
    emu.configure(chip=8.6)
    try:
        x = tg.ones(1, 1, 2, 256, device="emu").requires_grad_()
        text = "holds heads of up to 512 bytes in the 99 KB of shared memory, these have more; what does: cuda/v00_naive"
        with tg.kernels.use("attention", "cuda/v01_flash"), pytest.raises(NotImplementedError, match=text):
            F.scaled_dot_product_attention(x, x, x)
        ran.clear()
        F.scaled_dot_product_attention(x, x, x).sum().backward()
        assert ran == {"attention": {"cuda/v00_naive"}, "attention_backward": {"cpu/flash"}}
    finally:
        emu.configure(chip=9.0)


def block_losses(device, name, steps=5):
    """Training a causal Transformer block of two heads, with dropout of its weights, to copy the position before."""
    rng = np.random.default_rng(0)
    tg.manual_seed(0)
    x, *weights = [tg.tensor(rng.standard_normal(s).astype(np.float32) * scale, device=device, dtype=getattr(tg, name))
                   for s, scale in (((2, 37, 16), 1.0), ((48, 16), 0.3), ((16, 16), 0.3), ((32, 16), 0.3), ((16, 32), 0.3))]
    for w in weights:
        w.requires_grad_()
    losses = []
    for _ in range(steps):
        qkv, project, up, down = weights
        q, k, v = F.linear(F.rms_norm(x, (16,)), qkv).reshape(2, 37, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, T, D)
        y = x + F.linear(F.scaled_dot_product_attention(q, k, v, None, 0.1, True).transpose(1, 2).reshape(2, 37, 16), project)
        y = y + F.linear(F.gelu(F.linear(y, up)), down)
        loss = (y[:, 1:] - x[:, :-1]).square().mean()
        loss.backward()
        losses.append(loss.item())
        with tg.no_grad():
            for w in weights:
                w -= 0.1 * w.grad
                w.grad = None
    return losses


@pytest.mark.parametrize(("name", "tolerance"), [("float32", 1e-5), ("float64", 1e-12), ("bfloat16", 3e-2), ("float16", 5e-3)])
def test_a_transformer_block_trains_as_on_cpu(name, tolerance, ran):
    want, got = block_losses("cpu", name), block_losses("emu", name)
    assert want[-1] < want[0]
    fp32 = name in ("float32", "float64")
    assert ran == {"attention": {"cuda/v01_flash" if fp32 else "cuda/v03_flash_hopper"},
                   "attention_backward": {"cuda/v01_flash" if fp32 else "cuda/v03_flash_hopper"}}
    np.testing.assert_allclose(got, want, rtol=tolerance)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_half_precision_next_to_pytorch(name, causal):
    """At most twice the error that PyTorch makes on the same 16-bit numbers, for the output and each gradient."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    q, k, v, g = (rng.standard_normal((1, 2, 150, 64)).astype(NUMPY[name]) for _ in range(4))
    want_out, _ = reference(q, k, v, None, causal, 0.125)
    want = [want_out, *reference(q, k, v, None, causal, 0.125, g.astype(np.float64))]

    def results(make, attend):
        inputs = [make(a).requires_grad_() for a in (q, k, v)]
        out = attend(*inputs, is_causal=causal)
        out.backward(make(g))
        return [out.detach(), *(t.grad for t in inputs)]

    ours = results(lambda a: tg.from_numpy(a).to("emu"), F.scaled_dot_product_attention)
    theirs = results(lambda a: torch.from_numpy(a.astype(np.float32)).to(getattr(torch, name)),
                     torch.nn.functional.scaled_dot_product_attention)
    for what, x, y, w in zip(("out", "dq", "dk", "dv"), ours, theirs, want, strict=True):
        mine, other = error(x.numpy(), w), error(y.float().numpy(), w)
        assert mine <= 2 * other, f"{what}: error {mine:.3g}, PyTorch's {other:.3g}"
