"""Every rung of the convolution ladder, on the emulator: ragged shapes, options, layouts and both gradients against float64.

Inputs end at pages nobody may touch, outputs start as NaN, thread order is shuffled by three seeds, and asynchronous work is done
both at once and as late as is legal.
"""
from __future__ import annotations

import zlib

import ml_dtypes
import numpy as np
import pytest
from sampling import case_id, realise, relative_error, rng_for

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.nn import functional as F
from tensorgrad.op import fn
from tensorgrad.ops.shared.activation import ACTIVATIONS

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
OPS = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")
CONV = dispatch._ops["conv2d"]
TABLES = {op: {path: k for path, k in dispatch.kernels_of("emu")[op].items() if k.family == "cuda"} for op in OPS}
RUNGS = sorted({(path, name) for table in TABLES.values() for path in table for name in table[path].dtypes})
NUMPY = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
TOLERANCE = {"float32": 2e-6, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3, "tf32": 1e-3}  # of one rounding, about
LAYOUTS = ("NCHW", "NHWC", "gaps", "reversed")
ORDERS = [(0, False), (1, True), (2, False), (3, True)]


@pytest.fixture(params=ORDERS, ids=lambda p: f"seed{p[0]}-{'eager' if p[1] else 'lazy'}")
def order(request):
    emu.configure(seed=request.param[0], eager=request.param[1])
    yield request.param
    emu.configure(seed=0, eager=False)


def layout(a, way):
    """The same values in other memory."""
    if way == "NHWC":
        return np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if way == "gaps":
        wide = np.full((*a.shape[:-1], 3 * a.shape[-1]), np.nan, a.dtype)
        wide[..., ::3] = a
        return wide[..., ::3]
    if way == "reversed":
        return np.ascontiguousarray(a[:, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1]
    return a


def patches(w, stride, dilation, size):
    """(i, j, rows, columns) of each tap: where its pixels lie in the padded image."""
    for i in range(w[2]):
        for j in range(w[3]):
            first = i * dilation[0], j * dilation[1]
            yield i, j, *(slice(f, f + (n - 1) * s + 1, s) for f, n, s in zip(first, size, stride, strict=True))


def expected(x, w, gy, bias, stride, padding, dilation, groups):
    """(y, dx, dw) in float64."""
    x, w, gy = (a.astype(np.float64) for a in (x, w, gy))
    size = gy.shape[2:]
    reach = [(size[d] - 1) * stride[d] + dilation[d] * (w.shape[2 + d] - 1) + 1 for d in (0, 1)]
    after = [max(0, reach[d] - x.shape[2 + d] - padding[d]) for d in (0, 1)]
    big = np.pad(x, ((0, 0), (0, 0), (padding[0], after[0]), (padding[1], after[1])))
    g = (len(x), groups)
    split = gy.reshape(*g, len(w) // groups, *size)
    y, dbig, dw = np.zeros(split.shape), np.zeros(big.shape), np.zeros(w.shape)
    for i, j, rows, columns in patches(w.shape, stride, dilation, size):
        tap = w[:, :, i, j].reshape(groups, -1, w.shape[1])
        seen = big[:, :, rows, columns].reshape(*g, w.shape[1], *size)
        y += np.einsum("gok,ngkpq->ngopq", tap, seen)
        dbig[:, :, rows, columns] += np.einsum("gok,ngopq->ngkpq", tap, split).reshape(*big.shape[:2], *size)
        dw[:, :, i, j] = np.einsum("ngopq,ngkpq->gok", split, seen).reshape(w.shape[:2])
    y = y.reshape(gy.shape) + (0 if bias is None else bias.astype(np.float64)[:, None, None])
    return y, dbig[:, :, padding[0]:padding[0] + x.shape[2], padding[1]:padding[1] + x.shape[3]], dw


def empty(shape, dtype, way):
    """An array for a result, on the device."""
    if way != "NHWC":
        return emu.xp.empty(shape, dtype)
    n, c, h, w = shape
    return emu.xp.empty((n, h, w, c), dtype).transpose(0, 3, 1, 2)


def by_tma(path):
    """Such a rung takes images with the channels last, in eights, and no groups."""
    return "tma" in path


def fitting(path, x, w, options, ways):
    """A case as a rung takes it: like the given one where it takes every case."""
    if not by_tma(path):
        return x, w, options, ways
    eights = [-(-c // 8) * 8 for c in (w[1], w[0])]
    return ((x[0], eights[0], *x[2:]), (eights[1], eights[0], *w[2:]), {k: v for k, v in options.items() if k != "groups"},
            ("NHWC", ways[1], "NHWC"))


def passes(name, x, w, bias, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, ways=("NCHW",) * 3, seed=0):
    """The options kernels take, and of each pass its op, what it is given, the way its result is to lie, and its result in float64."""
    rng = np.random.default_rng(seed)
    x, w = (rng.standard_normal(s).astype(NUMPY[name]) for s in (x, w))
    bias = rng.standard_normal(len(w)).astype(NUMPY[name]) if bias else None
    size = [(x.shape[2 + d] + 2 * padding[d] - dilation[d] * (w.shape[2 + d] - 1) - 1) // stride[d] + 1 for d in (0, 1)]
    gy = rng.standard_normal((len(x), len(w), *size)).astype(NUMPY[name])
    wanted = expected(x, w, gy, bias, stride, padding, dilation, groups)
    x, w, gy = (layout(a, way) for a, way in zip((x, w, gy), ways, strict=True))
    given = (x, w, bias), (gy, w), (gy, x)
    return (*stride, *padding, *dilation, groups), list(zip(OPS, given, (ways[2], ways[0], "NCHW"), wanted, strict=True))


def close_enough(path, name, op, got, want):
    error = relative_error(got, want)
    assert error <= TOLERANCE["tf32" if path.endswith("tf32") else name], f"{op}: relative error {error:.3g}"


def check(path, name, *case, space=1 << 16, **more):
    """Run the three kernels of a rung and compare with float64."""
    options, runs = passes(name, *case, **more)
    scratch = emu.xp.empty(space, np.float64 if name == "float64" else np.float32)
    for op, given, way, want in runs:
        if path in TABLES[op]:
            got = empty(want.shape, NUMPY[name], way)
            TABLES[op][path].call(got, *given, scratch, *options)
            close_enough(path, name, op, got, want)


SHAPES = [  # x, w, bias, options
    ((2, 3, 7, 9), (5, 3, 3, 3), True, {"padding": (1, 1)}),
    ((1, 8, 10, 6), (16, 8, 3, 3), False, {"stride": (2, 2), "padding": (1, 1)}),
    ((2, 6, 9, 11), (4, 3, 2, 3), True, {"stride": (1, 3), "padding": (0, 2), "groups": 2}),
    ((1, 16, 5, 5), (24, 16, 1, 1), True, {}),
    ((1, 5, 11, 8), (5, 1, 3, 5), True, {"padding": (1, 2), "dilation": (2, 1), "groups": 5}),
    ((0, 3, 5, 5), (2, 3, 3, 3), True, {}),
    ((1, 3, 4, 4), (130, 3, 4, 4), False, {}),
    ((2, 16, 9, 8), (72, 8, 3, 2), True, {"stride": (2, 1), "padding": (1, 1), "groups": 2}),
    ((3, 1, 12, 5), (2, 1, 5, 2), True, {"stride": (4, 3), "dilation": (2, 3), "padding": (3, 1)}),
]


@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_shapes_and_layouts(path, name, order):
    for i, (x, w, bias, options) in enumerate(SHAPES):
        ways = [LAYOUTS[(i + n + order[0]) % len(LAYOUTS)] for n in (0, 1, 3)]
        if depthwise_only(path) and w[1] > 1:
            continue
        x, w, options, ways = fitting(path, x, w, options, ways)
        check(path, name, x, w, bias, **options, ways=ways, seed=order[0])


def depthwise_only(path):
    return "depthwise" in path


@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_fuzz(path, name):
    rng = np.random.default_rng(zlib.crc32(f"fuzz {path} {name}".encode()))
    done = 0
    while done < 8:
        groups = int(rng.choice([1, 1, 2, 3]))
        channels = 1 if depthwise_only(path) else int(rng.integers(1, 20))
        stride, padding, dilation = (tuple(int(v) for v in rng.integers(low, high, 2)) for low, high in ((1, 4), (0, 4), (1, 4)))
        x = (int(rng.integers(1, 4)), channels * groups, *(int(v) for v in rng.integers(1, 16, 2)))
        w = (int(rng.integers(1, 40)) * groups, channels, *(int(v) for v in rng.integers(1, 5, 2)))
        if any(dilation[d] * (w[2 + d] - 1) + 1 > x[2 + d] + 2 * padding[d] for d in (0, 1)):
            continue
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        x, w, options, ways = fitting(path, x, w, options, tuple(rng.choice(LAYOUTS, 3)))
        check(path, name, x, w, bool(rng.random() < 0.5), **options, ways=ways, seed=done)
        done += 1


def test_a_small_workspace_is_enough_or_refused():
    check("cuda/v01_im2col", "float32", (3, 4, 9, 7), (6, 4, 3, 3), True, padding=(1, 1), space=216 + 36 * 7)  # one row at a time
    check("cuda/v01_im2col", "float32", (3, 4, 9, 7), (6, 4, 3, 3), True, padding=(1, 1), space=216 + 36 * 7 * 3)
    check("cuda/v01_im2col", "float32", (3, 4, 9, 7), (6, 4, 3, 3), True, padding=(1, 1), space=2 * (216 + 36 * 63))
    with pytest.raises(ValueError, match="workspace of 100 elements is too small for the columns of one row"):
        check("cuda/v01_im2col", "float32", (3, 4, 9, 7), (6, 4, 3, 3), True, padding=(1, 1), space=100)


@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_the_gradient_of_the_weight_in_parts(path, name):
    """Enough pixels for several parts; no space for parts; the same bits again."""
    for groups, space in ((1, 1 << 16), (2, 1 << 16), (1, 5000)):
        case = fitting(path, (2, 4, 41, 40), (6, 4 // groups, 3, 3), {"padding": (1, 1), "groups": groups}, ("NHWC", "NCHW", "NCHW"))
        if not depthwise_only(path):
            check(path, name, *case[:2], True, **case[2], ways=case[3], space=space)


TMA = [path for path, _ in RUNGS if by_tma(path)]
TILES = [  # several tiles both ways, for each of the persistent blocks; several steps of channels a tap; an image smaller than the patches
    ((3, 72, 13, 11), (264, 72, 3, 2), {"padding": (1, 0)}), ((2, 136, 12, 13), (136, 136, 1, 1), {}),
    ((5, 8, 9, 10), (16, 8, 3, 3), {"stride": (2, 1), "padding": (4, 5), "dilation": (2, 3)}),
    ((2, 16, 2, 1), (8, 16, 5, 3), {"padding": (2, 1)}), ((1, 8, 30, 29), (8, 8, 4, 4), {"stride": (8, 7), "padding": (3, 3)}),
]


@pytest.mark.parametrize("path", sorted(set(TMA)))
def test_tiles_of_a_persistent_rung(path, order):
    for i, (x, w, options) in enumerate(TILES):
        name = ("bfloat16", "float16")[(i + order[0]) % 2]
        check(path, name, x, w, True, **options, ways=("NHWC", LAYOUTS[i % 4], "NHWC"), space=1 << 19, seed=order[0])


@pytest.mark.parametrize("path", sorted(set(TMA)))
def test_what_a_tma_rung_writes_may_lie_anyhow(path, order):
    """Only what is gathered must have channels in eights: results, their residual and its numbers may not."""
    for way in LAYOUTS:
        for op, x, w in (("conv2d", (2, 16, 9, 8), (13, 16, 3, 3)), ("conv2d_input_grad", (2, 70, 9, 8), (16, 70, 3, 3))):
            options, runs = passes("bfloat16", x, w, True, (2, 1), (1, 0), ways=("NHWC", "NCHW", "NHWC"), seed=order[0])
            given, want = next((given, want) for name, given, _, want in runs if name == op)
            got = layout(np.full(want.shape, np.nan, NUMPY["bfloat16"]), way)
            scratch = emu.xp.empty(1 << 16, np.float32)
            TABLES[op][path].call(got, *given, scratch, *options)
            close_enough(path, "bfloat16", op, got, want)
            if op == "conv2d":
                more = got.copy()
                FUSED[path].call(got, *given, scratch, *options, None, None, layout(more, LAYOUTS[order[0]]), 0)
                close_enough(path, "bfloat16", "conv2d_fused", got, want + more.astype(np.float64))


@pytest.mark.parametrize("path", sorted(set(TMA)))
def test_what_tma_cannot_gather_is_refused(path):
    case = (2, 8, 5, 6), (8, 8, 3, 3), False
    for layouts in (("NCHW", "NCHW", "NHWC"), ("gaps", "NCHW", "NHWC"), ("reversed", "NCHW", "NHWC"), ("NHWC", "NCHW", "NCHW")):
        with pytest.raises(ValueError, match="TMA gathers from images with the channels last in memory, in groups of 16 bytes"):
            check(path, "bfloat16", *case, ways=layouts)
    with pytest.raises(ValueError, match="a convolution in groups is for v03_tensor_core"):
        check(path, "bfloat16", (2, 8, 5, 6), (8, 4, 3, 3), False, groups=2, ways=("NHWC",) * 3)
    with pytest.raises(ValueError, match="workspace is too small for the weights; set_workspace_limit allows more"):
        check(path, "bfloat16", *case, ways=("NHWC",) * 3, space=100)


FUSED = {path: k for path, k in dispatch.kernels_of("emu")["conv2d_fused"].items() if k.family == "cuda"}
AFTER = [  # x, w, options, what there is of bias, scale, shift and residual, activation
    ((2, 16, 7, 9), (24, 16, 3, 3), {"padding": (1, 1)}, (1, 1, 1, 1), "relu"), ((1, 8, 9, 5), (16, 8, 1, 1), {}, (0, 1, 1, 0), "relu"),
    ((3, 8, 6, 6), (136, 8, 3, 3), {"stride": (2, 2)}, (1, 0, 0, 1), "none"), ((2, 72, 5, 4), (8, 72, 2, 3), {}, (0, 0, 1, 1), "silu"),
    ((2, 24, 8, 7), (32, 12, 3, 2), {"groups": 2, "padding": (0, 1)}, (1, 1, 1, 1), "gelu"),
    ((1, 8, 5, 6), (8, 8, 3, 3), {}, (0, 1, 0, 0), "none"),
]


@pytest.mark.parametrize(("path", "name"), [(path, name) for path in sorted(FUSED) for name in sorted(FUSED[path].dtypes)])
def test_what_follows_a_convolution(path, name, order):
    op = dispatch._ops["conv2d_fused"]
    for i, (x, w, options, there, activation) in enumerate(AFTER):
        ways = LAYOUTS[(i + order[0]) % 4], LAYOUTS[i % 4], LAYOUTS[(i + 1) % 4]
        x, w, options, ways = fitting(path, x, w, options, ways)
        rng = np.random.default_rng(i)
        o = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, **options}
        size = [(x[2 + d] + 2 * o["padding"][d] - w[2 + d]) // o["stride"][d] + 1 for d in (0, 1)]
        c = w[0]
        x, w, residual = (rng.standard_normal(s).astype(NUMPY[name]) for s in (x, w, (x[0], c, *size)))
        kinds = NUMPY[name], np.float32 if i % 2 else NUMPY[name], NUMPY[name]  # of bias, scale, shift
        more = [*(rng.standard_normal(c).astype(kind) for kind in kinds), layout(residual, ways[2])]
        bias, scale, shift, residual = (a if yes else None for a, yes in zip(more, there, strict=True))
        wide = [None if a is None else a.astype(np.float64) for a in (x, w, bias, scale, shift, residual)]
        want = op.reference(*wide, **o, activation=activation)
        got = empty(want.shape, NUMPY[name], ways[2])
        scratch = emu.xp.empty(1 << 16, np.float32)
        numbers = *o["stride"], *o["padding"], *o["dilation"], o["groups"]
        FUSED[path].call(got, layout(x, ways[0]), layout(w, ways[1]), bias, scratch, *numbers, scale, shift, residual,
                         list(ACTIVATIONS).index(activation))
        error = relative_error(got, want)
        assert error <= TOLERANCE["tf32" if path.endswith("tf32") else name], f"{AFTER[i]}: relative error {error:.3g}"


def test_a_residual_block_that_no_longer_learns_is_one_kernel_a_layer():
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    rng = np.random.default_rng(0)
    w, scale, shift = (tg.tensor(rng.standard_normal(s), dtype=tg.bfloat16, device="emu") for s in ((64, 64, 3, 3), 64, 64))
    with tg.lab.record() as report, tg.no_grad():
        x = images(2, 64, 6, 5)
        y = fn.conv2d_fused(x, w, None, scale, shift, padding=1, activation="relu")
        fn.conv2d_fused(y, w, None, scale, shift, x, padding=1, activation="relu")
    assert [(c.op, c.kernel, c.check.status) for c in report.calls] == [("conv2d_fused", "cuda/v04_tma_im2col", "right")] * 2
    assert report.races == []


@pytest.mark.parametrize("path", ["cuda/v03_tensor_core", *sorted(set(TMA))])
def test_a_convolution_of_one_tap_is_a_plain_product(path):
    """Nothing is turned or gathered first: one launch."""
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    with tg.kernels.use("conv2d", path), tg.lab.record() as report, tg.no_grad():
        F.conv2d(images(2, 32, 6, 5), tg.randn(24, 32, 1, 1, device="emu", dtype=tg.bfloat16))
    assert len(report.launches) == 1, report.launches


def images(*shape):
    """A tensor (N, C, H, W) of bfloat16 on emu with the channels last in memory."""
    n, c, h, w = shape
    return tg.randn(n, h, w, c, device="emu", dtype=tg.bfloat16).permute(0, 3, 1, 2)


def test_channels_last_stay_last_and_take_the_rung_for_them():
    """From layer to layer, forwards and backwards."""
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    w, v = (tg.randn(*s, device="emu", dtype=tg.bfloat16).requires_grad_() for s in ((40, 32, 3, 3), (32, 40, 1, 1)))
    with tg.lab.record() as report:
        y = F.conv2d(F.conv2d(images(2, 32, 9, 8).requires_grad_(), w, stride=2, padding=1), v)
        y.backward(images(*y.shape))
    assert sorted((c.op, c.kernel) for c in report.calls if c.op in OPS) == sorted((op, "cuda/v04_tma_im2col") for op in 2 * OPS)
    assert y.numpy(force=True).transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize(("x", "options", "reason"), [
    (lambda: tg.randn(2, 8, 5, 5, device="emu", dtype=tg.bfloat16), {}, "needs the channels last in memory, in groups of 16 bytes"),
    (lambda: images(2, 12, 5, 5), {}, "needs the channels last in memory, in groups of 16 bytes"),
    (lambda: images(2, 16, 5, 5), {"groups": 2}, "needs a single group"),
    (lambda: images(2, 8, 5, 5), {"stride": 9}, "needs steps of at most 8 and patches that reach no further than 120 pixels"),
    (lambda: images(2, 8, 5, 5), {"padding": 119}, "needs steps of at most 8 and patches that reach no further than 120 pixels"),
])
def test_asking_tma_for_what_it_cannot_do_names_the_reason(x, options, reason):
    x = x()
    w = tg.randn(8, x.shape[1] // options.get("groups", 1), 3, 3, device="emu", dtype=tg.bfloat16)
    with tg.kernels.use("conv2d", "cuda/v04_tma_im2col"), pytest.raises(tg.errors.NoKernel, match=f"{reason}.*what does: cuda/v03"):
        F.conv2d(x, w, **options)


DEPTHWISE = [  # planes that fill one tile, several tiles, a small part of one; multipliers; taps far apart, more of them than registers
    ((2, 3, 33, 70), (3, 1, 3, 3), {"padding": (1, 1)}), ((2, 16, 7, 7), (16, 1, 7, 7), {"padding": (3, 3)}),
    ((1, 11, 130, 9), (22, 1, 3, 3), {"stride": (2, 2), "padding": (1, 1)}), ((3, 8, 6, 5), (24, 1, 5, 3), {"stride": (1, 2)}),
    ((1, 2, 210, 5), (2, 1, 3, 2), {"dilation": (100, 3)}), ((9, 2, 1, 40), (2, 1, 1, 4), {"padding": (0, 2), "dilation": (1, 2)}),
]


@pytest.mark.parametrize("way", ["NCHW", "NHWC"])
@pytest.mark.parametrize("name", sorted(NUMPY))
def test_depthwise(name, way):
    """With room for parts of the weight's gradient and without."""
    for (x, w, options), space in zip(DEPTHWISE, (0, 1 << 16, 100, 0, 1 << 16, 1 << 16), strict=True):
        check("cuda/depthwise", name, x, w, True, **options, groups=x[1], ways=(way,) * 3, space=space)


def test_a_depthwise_convolution_takes_its_rung():
    chosen = {groups: CONV.chosen(tg.device("emu"), np.zeros(1, np.float32), groups > 1).path for groups in (1, 8)}
    assert chosen == {1: "cuda/v02_implicit", 8: "cuda/depthwise"}
    with tg.kernels.use("conv2d", "cuda/depthwise"), pytest.raises(tg.errors.NoKernel, match="several groups of one channel each"):
        F.conv2d(tg.ones(1, 4, 5, 5, device="emu"), tg.ones(4, 2, 3, 3, device="emu"), groups=2)


GOOD = [case for case in CONV.cases() if case.error is None]


@pytest.mark.parametrize("path", [path for path in sorted(TABLES["conv2d"]) if not by_tma(path)])
def test_the_ops_own_cases(path):
    for case in GOOD:
        for name in sorted(TABLES["conv2d"][path].dtypes):
            args, kwargs = realise(case, rng_for(CONV, case), lambda spec, a, to=NUMPY[name]: a.astype(to))
            if depthwise_only(path) and not (kwargs.get("groups", 1) == args[0].shape[-3] > 1):
                continue
            with tg.kernels.use("conv2d", path):
                leaves = [tg.from_numpy(a).to("emu").requires_grad_() for a in args]
                y = F.conv2d(*leaves, **kwargs)
                y.backward(tg.ones_like(y))
            limit = TOLERANCE["tf32" if path.endswith("tf32") else name]
            want = CONV.reference(*(a.astype(np.float64) for a in args), **kwargs)
            assert relative_error(y.numpy(force=True), want) <= limit, case_id((CONV, case))


@pytest.mark.parametrize("path", [path for path in sorted(TABLES["conv2d_input_grad"]) if not by_tma(path)])
def test_transposed_convolution(path):
    """Every option, and gradients of both operands through the same rung, against the reference and against cpu."""
    op = dispatch._ops["conv_transpose2d"]
    kernel = TABLES["conv2d_input_grad"][path]
    name = "float64" if "float64" in kernel.dtypes else "float32" if "float32" in kernel.dtypes else "bfloat16"
    for case in (case for case in op.cases() if case.error is None):
        args, kwargs = realise(case, rng_for(op, case), lambda spec, a: a.astype(NUMPY[name]))
        if depthwise_only(path) and not (kwargs.get("groups", 1) == args[1].shape[0] > 1):
            continue
        limit = TOLERANCE["tf32" if path.endswith("tf32") else name]
        grads = []
        for device in ("emu", "cpu"):
            leaves = [tg.from_numpy(a if device == "emu" else a.astype(np.float64)).to(device).requires_grad_() for a in args]
            with tg.kernels.use("conv2d_input_grad", path):
                y = F.conv_transpose2d(*leaves, **kwargs)
                g = np.random.default_rng(0).standard_normal(y.shape).astype(NUMPY[name])
                y.backward(tg.from_numpy(g if device == "emu" else g.astype(np.float64)).to(device))
            grads.append([leaf.grad.numpy() for leaf in leaves])
            if device == "emu":
                want = op.reference(*(a.astype(np.float64) for a in args), **kwargs)
                assert relative_error(y.numpy(force=True), want) <= limit, case_id((op, case))
        assert all(relative_error(a, b) <= max(limit, 1e-13) for a, b in zip(*grads, strict=True)), case_id((op, case))


def test_a_convolution_whose_gradient_is_gathered():
    """The same sums as phase by phase: strides beyond the kernel, phases without a tap, dilations that share a factor with the stride."""
    for x, w, options in (((2, 20, 11, 9), (3, 20, 3, 3), {"stride": (2, 2), "padding": (1, 1)}),
                          ((1, 3, 17, 20), (5, 3, 2, 3), {"stride": (4, 5)}),
                          ((1, 4, 15, 16), (6, 2, 4, 3), {"stride": (2, 3), "dilation": (2, 3), "padding": (2, 0), "groups": 2})):
        check("cuda/gather", "float32", x, w, False, **{"groups": 1, **options}, ways=("NHWC", "NCHW", "gaps"))


@pytest.mark.parametrize(("op", "path"), [(op, path) for op in OPS for path in sorted(TABLES[op])])
def test_no_pass_races(op, path):
    """The gradients have no cases of their own for the lab to run."""
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    name = "float32" if "float32" in TABLES[op][path].dtypes else "bfloat16"
    groups = 5 if depthwise_only(path) else 1
    channels = (72, 136) if by_tma(path) else (5, 10)
    shapes = (2, channels[0], 9, 7), (channels[1], channels[0] // groups, 3, 3)
    x, w = (tg.randn(*s, device="emu", dtype=getattr(tg, name)) for s in shapes)
    x = images(*x.shape) if by_tma(path) else x
    x.requires_grad_()
    w.requires_grad_()
    with tg.kernels.use(op, path), tg.lab.record() as report:
        y = F.conv2d(x, w, stride=2, padding=1, groups=groups)
        y.backward(images(*y.shape) if by_tma(path) else tg.ones_like(y))
    assert {c.kernel for c in report.calls if c.op == op} == {path}
    assert {c.check.status for c in report.calls} == {"right"}, report
    assert [race for race in report.races if race.kind != "uninitialised"] == []


def test_depthwise_moves_little_more_than_it_must():
    """All three passes: each pixel once, each result once."""
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    x, w = (tg.randn(*s, device="emu", requires_grad=True) for s in ((1, 4, 56, 56), (4, 1, 3, 3)))
    with tg.lab.record(races=False) as report:
        F.conv2d(x, w, padding=1, groups=4).backward(tg.ones(1, 4, 56, 56, device="emu"))
    calls = [c for c in report.calls if c.op in OPS]
    assert {c.kernel for c in calls} == {"cuda/depthwise"}
    moved = sum(32 * line.sectors for line in report.lines if line.space == "global" and "conv2d" in line.file)
    assert moved <= 1.1 * sum(c.least_bytes for c in calls)
