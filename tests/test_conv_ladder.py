"""Every rung of the convolution ladder, on the emulator: ragged shapes, options, layouts and both gradients against float64.

Inputs end at pages nobody may touch, outputs start as NaN, thread order is shuffled by three seeds, and asynchronous work is done
both at once and as late as is legal.
"""
from __future__ import annotations

import zlib

import numpy as np
import pytest
from conv_calls import (
    FUSED,
    LAYOUTS,
    NUMPY,
    RUNGS,
    TABLES,
    TMA,
    TOLERANCE,
    check,
    close_enough,
    depthwise_only,
    empty,
    emu,
    fitting,
    layout,
    passes,
)
from sampling import relative_error

from tensorgrad import dispatch
from tensorgrad.ops.shared.activation import ACTIVATIONS

ORDERS = [(0, False), (1, True), (2, False), (3, True)]


@pytest.fixture(params=ORDERS, ids=lambda p: f"seed{p[0]}-{'eager' if p[1] else 'lazy'}")
def order(request):
    emu.configure(seed=request.param[0], eager=request.param[1])
    yield request.param
    emu.configure(seed=0, eager=False)


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


TILES = [  # several tiles both ways, for each of the persistent blocks; several steps of channels a tap; an image smaller than the patches
    ((3, 72, 13, 11), (264, 72, 3, 2), {"padding": (1, 0)}), ((2, 136, 12, 13), (136, 136, 1, 1), {}),
    ((5, 8, 9, 10), (16, 8, 3, 3), {"stride": (2, 1), "padding": (4, 5), "dilation": (2, 3)}),
    ((2, 16, 2, 1), (8, 16, 5, 3), {"padding": (2, 1)}), ((1, 8, 30, 29), (8, 8, 4, 4), {"stride": (8, 7), "padding": (3, 3)}),
]


@pytest.mark.parametrize("path", TMA)
def test_tiles_of_a_persistent_rung(path, order):
    for i, (x, w, options) in enumerate(TILES):
        name = ("bfloat16", "float16")[(i + order[0]) % 2]
        check(path, name, x, w, True, **options, ways=("NHWC", LAYOUTS[i % 4], "NHWC"), space=1 << 19, seed=order[0])


@pytest.mark.parametrize("path", TMA)
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


@pytest.mark.parametrize("path", TMA)
def test_what_tma_cannot_gather_is_refused(path):
    case = (2, 8, 5, 6), (8, 8, 3, 3), False
    for layouts in (("NCHW", "NCHW", "NHWC"), ("gaps", "NCHW", "NHWC"), ("reversed", "NCHW", "NHWC"), ("NHWC", "NCHW", "NCHW")):
        with pytest.raises(ValueError, match="TMA gathers from images with the channels last in memory, in groups of 16 bytes"):
            check(path, "bfloat16", *case, ways=layouts)
    with pytest.raises(ValueError, match="a convolution in groups is for v03_tensor_core"):
        check(path, "bfloat16", (2, 8, 5, 6), (8, 4, 3, 3), False, groups=2, ways=("NHWC",) * 3)
    with pytest.raises(ValueError, match="workspace is too small for the weights; set_workspace_limit allows more"):
        check(path, "bfloat16", *case, ways=("NHWC",) * 3, space=100)


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


def test_a_convolution_whose_gradient_is_gathered():
    """The same sums as phase by phase: strides beyond the kernel, phases without a tap, dilations that share a factor with the stride."""
    for x, w, options in (((2, 20, 11, 9), (3, 20, 3, 3), {"stride": (2, 2), "padding": (1, 1)}),
                          ((1, 3, 17, 20), (5, 3, 2, 3), {"stride": (4, 5)}),
                          ((1, 4, 15, 16), (6, 2, 4, 3), {"stride": (2, 3), "dilation": (2, 3), "padding": (2, 0), "groups": 2})):
        check("cuda/gather", "float32", x, w, False, **{"groups": 1, **options}, ways=("NHWC", "NCHW", "gaps"))
