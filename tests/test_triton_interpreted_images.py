"""Convolutions and pooling as Triton kernels beyond the ops' cases, in Triton's interpreter: several tiles, layouts, parts, pieces.

It needs TRITON_INTERPRET=1. Tiles and blocks are made small, so that a few pixels are several of them.
"""
from __future__ import annotations

import importlib

import ml_dtypes
import numpy as np
import pytest

from tensorgrad import triton

if triton.absent() or not triton.INTERPRETED:
    pytest.skip(triton.absent() or "needs a process with TRITON_INTERPRET=1", allow_module_level=True)

from conv_calls import NUMPY, close_enough, empty, layout, passes

import tensorgrad as tg
from tensorgrad.triton.runtime import forget_plans

RUNGS = {(op, path): run for op, path, _, _, _, run, *_ in triton.load_kernels()}
PRODUCTS = [("triton/v01_im2col", "float32"), ("triton/v02_implicit", "float32"), ("triton/v03_tensor_core", "bfloat16"),
            ("triton/v03_tensor_core", "float16"), ("triton/v03_tensor_core_tf32", "float32")]


def family(name):
    """A module of kernels by its file name."""
    return importlib.import_module(f"tensorgrad.triton.{name}")


@pytest.fixture
def small(monkeypatch):
    """Tiles of 16 x 16, blocks of 16 x 8, sums in parts of at least 16 pixels."""
    for name in ("conv2d", "conv2d_weight_grad", "matmul"):
        monkeypatch.setattr(family(name), "tile_of", lambda m, n, most: (16, 16))
    monkeypatch.setattr(family("conv2d_weight_grad"), "LEAST_PIXELS", 16)
    monkeypatch.setattr(family("shared.images"), "BLOCK", 128)
    monkeypatch.setattr(family("shared.images"), "WIDEST", 8)
    monkeypatch.setattr(family("conv2d_depthwise"), "BLOCK", 64)
    forget_plans()


def check(path, name, *case, space=1 << 16, **more):
    """The three kernels of a rung against float64; memory to work in holds NaN before."""
    options, runs = passes(name, *case, **more)
    for op, given, way, want in runs:
        got = empty(want.shape, NUMPY[name], way)
        got[...] = np.nan
        RUNGS[op, path](got, *given, np.full(space, np.nan, np.float32), *options)
        close_enough(path, name, op, got, want)


LAST = ("NHWC", "NHWC", "NHWC")
CASES = [((1, 32, 5, 4), (17, 32, 3, 2), True, {"stride": (2, 1), "padding": (1, 1), "ways": LAST}),  # a tap a step
         ((2, 6, 6, 5), (8, 3, 3, 3), False, {"padding": (2, 1), "dilation": (1, 2), "stride": (2, 3), "groups": 2}),
         ((1, 3, 7, 6), (5, 3, 4, 1), True, {"stride": (3, 1), "ways": ("gaps", "reversed", "NCHW")}),
         ((2, 16, 3, 3), (18, 16, 1, 1), True, {"ways": ("NHWC", "NCHW", "NHWC")})]


@pytest.mark.parametrize("case", CASES, ids=lambda c: "x".join(map(str, (*c[0], *c[1]))))
@pytest.mark.parametrize(("path", "name"), PRODUCTS)
def test_convolutions_of_several_tiles(path, name, case, small):
    *shapes, more = case
    check(path, name, *shapes, **more)


@pytest.mark.parametrize(("name", "ways"), [("float32", LAST), ("bfloat16", ("NCHW", "gaps", "NCHW"))], ids=str)
def test_depthwise_of_several_blocks(name, ways, small):
    check("triton/depthwise", name, (2, 5, 4, 5), (10, 1, 3, 2), True, (2, 1), (1, 1), (1, 2), 5, ways)


@pytest.mark.parametrize(("path", "name"), [*PRODUCTS[1:3], ("triton/depthwise", "float32")])
def test_a_sum_over_pixels_in_parts(path, name, small):
    """162 pixels in parts of 16 or of a step, which may be more: some are empty, one is ragged."""
    groups = 6 if "depthwise" in path else 1
    options, runs = passes(name, (2, 6, 9, 9), (6, 6 // groups, 1, 1), False, groups=groups)
    op, given, _, want = runs[2]
    got, scratch = np.full(want.shape, np.nan, NUMPY[name]), np.full(64 * want.size, np.nan, np.float32)
    RUNGS[op, path](got, *given, scratch, *options)
    close_enough(path, name, op, got, want)
    assert np.isfinite(scratch).sum() == 10 * want.size


def test_columns_come_in_pieces_of_images(small):
    case = ((3, 4, 4, 4), (6, 4, 3, 3), True, (1, 1), (1, 1))
    depth, pixels = 36, 16
    check("triton/v01_im2col", "float32", *case, space=6 * depth + depth * pixels)  # one image at a time
    options, runs = passes("float32", *case)
    op, given, way, want = runs[0]
    with pytest.raises(ValueError, match=r"the workspace of 100 elements is too small for the columns of one image, 576"):
        RUNGS[op, "triton/v01_im2col"](empty(want.shape, np.float32, way), *given, np.empty(100, np.float32), *options)


def test_without_memory_to_work_in(small):
    """The weight is read as it lies, and the sum is not cut."""
    check("triton/v02_implicit", "float32", *CASES[0][:3], space=0, **CASES[0][3])


@pytest.mark.parametrize(("path", "name"), [p for p in PRODUCTS if ("conv2d_fused", p[0]) in RUNGS])
def test_what_follows_a_convolution(path, name, small):
    dtype, (options, runs) = NUMPY[name], passes(name, (1, 5, 6, 5), (18, 5, 3, 3), True, padding=(1, 1))
    _, given, _, y = runs[0]
    rng = np.random.default_rng(5)
    scale, shift = rng.standard_normal((2, 18)).astype(np.float32)  # of another dtype beside halves
    added = layout(rng.standard_normal(y.shape).astype(dtype), "NHWC")
    got = empty(y.shape, dtype, "NCHW")
    RUNGS["conv2d_fused", path](got, *given, np.empty(9999, np.float32), *options, scale, shift, added, 1)
    want = y * scale[:, None, None].astype(np.float64) + shift[:, None, None] + added.astype(np.float64)
    close_enough(path, name, "conv2d_fused", got, np.maximum(want, 0))


def test_a_batch_beyond_32_bits():
    """Images 2^30 elements apart, a number of 32 bits itself: of the memory between them none is touched."""
    far = 1 << 30
    memory = np.empty(2 * far + 64, np.float16)
    x = np.lib.stride_tricks.as_strided(memory, (3, 4, 4, 4), (2 * far, 2, 32, 8))  # channels last
    x[...] = np.random.default_rng(0).standard_normal(x.shape)
    y, at = np.empty((3, 4, 2, 2), np.float16), np.empty((3, 4, 2, 2), np.int64)
    RUNGS["max_pool2d", "triton/v01_channels_last"](y, at, x, 2, 2, 2, 2, 0, 0, 1, 1)
    blocks = x.reshape(3, 4, 2, 2, 2, 2)
    assert (y == blocks.max((3, 5))).all()
    w, scratch = np.random.default_rng(1).standard_normal((3, 4, 1, 1)).astype(np.float16), np.empty(0, np.float32)
    out = np.empty((3, 3, 4, 4), np.float16)
    RUNGS["conv2d", "triton/v03_tensor_core"](out, x, w, None, scratch, 1, 1, 0, 0, 1, 1, 1)
    want = np.einsum("oc,nchw->nohw", w[:, :, 0, 0].astype(np.float64), x.astype(np.float64))
    close_enough("", "float16", "conv2d", out, want)
    dw = np.empty_like(w)
    RUNGS["conv2d_weight_grad", "triton/v03_tensor_core"](dw, out, x, scratch, 1, 1, 0, 0, 1, 1, 1)
    want = np.einsum("nohw,nchw->oc", out.astype(np.float64), x.astype(np.float64))
    close_enough("", "float16", "conv2d_weight_grad", dw[:, :, 0, 0], want)


def both_devices(x, call, rungs):
    """(results, gradient) of a call on cpu and on emu with Triton's rungs; gradients of results are whole numbers: sums round nowhere."""
    found, way = [], "NHWC" if "last" in rungs else "NCHW"
    for device in ("cpu", "emu"):
        t = on(device, x, way).requires_grad_()
        with tg.kernels.use("*", rungs if device == "emu" else None):
            out = call(t)
            results = out if isinstance(out, tuple) else (out,)
            g = np.random.default_rng(1).integers(-9, 9, tuple(results[0].shape)).astype(x.dtype)
            (gradient,) = tg.autograd.grad(results[0], [t], [on(device, g, way)])
        found.append([a.detach().cpu().numpy() for a in (*results, gradient)])
    return found


def on(device, x, way):
    """Images as a tensor, the channels last in memory where that is the way."""
    if way == "NCHW":
        return tg.tensor(x, device=device)
    return tg.tensor(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), device=device).permute(0, 3, 1, 2)


F = tg.nn.functional
POOLS = [lambda x: F.max_pool2d(x, 3, 2, 1, return_indices=True), lambda x: F.max_pool2d(x, (2, 3), (1, 2), 1, 2, True, True),
         lambda x: F.adaptive_max_pool2d(x, (3, 2), True), lambda x: F.max_pool2d(x, 2)]  # the third has no rung for channels that lie last


@pytest.mark.parametrize(("pool", "rungs"), [*[(i, "triton/v00_direct") for i in range(4)], (0, "triton/v01_channels_last"),
                                            (1, "triton/v01_channels_last"), (3, "triton/v01_channels_last")])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=["float32", "bfloat16"])
def test_maxima_and_their_places(pool, rungs, dtype, small):
    """Equals, windows of -inf, NaN, several of them: what is chosen and where, as on cpu."""
    x = np.random.default_rng(0).integers(-2, 3, (2, 16, 5, 7)).astype(dtype)
    x[0, 1] = -np.inf
    x[0, 2, 2:4, 3:6] = np.nan
    x[1, 3, 0] = -np.inf
    for got, want in zip(*both_devices(x, POOLS[pool], rungs), strict=True):
        np.testing.assert_array_equal(got.astype(np.float64), want.astype(np.float64))


@pytest.mark.parametrize("rungs", ["triton/v00_direct", "triton/v01_channels_last"])
def test_averages_of_several_blocks(rungs, small):
    x = np.random.default_rng(0).standard_normal((2, 16, 5, 7)).astype(np.float32)
    for call in (lambda t: F.avg_pool2d(t, 3, 2, 1, True, False), lambda t: F.adaptive_avg_pool2d(t, (3, 2))):
        for got, want in zip(*both_devices(x, call, rungs), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_a_network_learns_alike():
    """A step of a small CNN on Triton's convolutions and pools: the loss and every gradient as on cpu."""
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((4, 3, 8, 8)).astype(np.float32), np.array([0, 1, 2, 1])
    found = {}
    for device in ("cpu", "emu"):
        tg.manual_seed(0)
        nn = tg.nn
        net = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.Conv2d(8, 8, 1),
                            nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32, 3)).to(device)
        used = [tg.kernels.use(op, "triton") for op in ("conv2d", "max_pool2d", "pool_scatter", "resample")] if device == "emu" else []
        loss = F.cross_entropy(net(tg.tensor(x, device=device)), tg.tensor(labels, device=device))
        loss.backward()
        for choice in reversed(used):
            choice.__exit__()
        found[device] = [loss.detach().cpu().numpy(), *[p.grad.cpu().numpy() for p in net.parameters()]]
    for got, want in zip(found["emu"], found["cpu"], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
