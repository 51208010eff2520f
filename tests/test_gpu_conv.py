"""The convolution ladder on a GPU: what tests/test_conv_ladder.py asks of the emulator, asked of the hardware; im2col by TMA above all."""
from __future__ import annotations

import numpy as np
import pytest
from conv_calls import LAYOUTS, NUMPY, OPS, by_tma, close_enough, depthwise_only, fitting, layout, passes
from on_gpu import kernels, rungs
from test_conv_ladder import SHAPES, TILES

pytestmark = pytest.mark.gpu
KERNELS = {op: kernels(op) for op in OPS}
RUNGS = rungs("conv2d")


def check(path, name, *case, space=1 << 19, **more):
    """Runs the three kernels of a rung and compares with float64; results start as NaN."""
    options, runs = passes(name, *case, **more)
    for op, given, way, want in runs:
        if path not in KERNELS[op]:
            continue
        got = layout(np.full(want.shape, np.nan, NUMPY[name]), way)
        KERNELS[op][path].call(got, *given, np.full(space, np.nan, np.float64 if name == "float64" else np.float32), *options)
        close_enough(path, name, op, got, want)


@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_shapes_and_layouts(path, name):
    for i, (x, w, bias, options) in enumerate(SHAPES):
        if not depthwise_only(path) or w[1] == 1:
            x, w, options, ways = fitting(path, x, w, options, [LAYOUTS[(i + n) % len(LAYOUTS)] for n in (0, 1, 3)])
            check(path, name, x, w, bias, **options, ways=ways)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
@pytest.mark.parametrize("path", sorted({path for path, _ in RUNGS if by_tma(path)}))
def test_what_tma_gathers(path, name):
    """Tiles and parts of every kind, and a layer of a network."""
    for i, (x, w, options) in enumerate([*TILES, ((8, 128, 57, 55), (192, 128, 3, 3), {"stride": (2, 2), "padding": (1, 1)})]):
        check(path, name, x, w, True, **options, ways=("NHWC", LAYOUTS[i % 4], "NHWC"))
