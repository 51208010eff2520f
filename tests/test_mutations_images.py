"""Bugs planted in copies of the rungs of images and regions: depthwise and transposed convolution, resampling, local response norm,
roi_align, nms: does the emulator show them? What counts as that is said in tests/planted.py.
"""
from __future__ import annotations

import numpy as np
import planted
import pytest
from conv_calls import passes
from planted import Call, Made
from test_regions import regions

from tensorgrad import dispatch
from tensorgrad.ops.shared.interpolation import resize_taps
from tensorgrad.ops.shared.windows import adaptive_taps

pytestmark = planted.pytestmark

# (rung, or rung/header, what is wrong with it, the text, what stands in its place, which occurrence)
MUTANTS = [
    ("conv2d/depthwise", "no barrier before the tile is read", "__syncthreads();", "", 1),
    ("conv2d/depthwise", "the filter of another channel", "[group * p.weight.group]", "[0 * p.weight.group]", 1),
    ("conv2d/depthwise", "a row of results too many", "y0 + down + e < p.y.grid", "y0 + down + e <= p.y.grid", 1),
    ("conv2d/depthwise", "no barrier before the next tile", "__syncthreads();  // the tile before has been read", "", 1),
    ("conv2d/depthwise", "half a warp's sums", "int other = 16;", "int other = 8;", 1),
    ("conv2d/depthwise", "the last warp's sums are missing", "warp < Tiling::THREADS / 32;", "warp < Tiling::THREADS / 32 - 1;", 1),
    ("conv2d/depthwise", "sums of several rows run on", "p.rows == 1 && taps <= TAPS", "taps <= TAPS", 1),
    ("conv2d/depthwise/depthwise_tile", "the image beyond its edge", "p.y.inside(y) && p.x.inside(x)", "p.y.inside(y)", 1),
    ("conv2d/depthwise/depthwise_tile", "a tile a row too short", "span * std::abs(tap) + 1", "span * std::abs(tap)", 1),
    ("conv2d/gather", "the taps of the first phase", "tap < every && tap < line.taps && (from", "false && (from", 1),
    ("conv2d/gather", "every tap", "past < 0 || past % ty.every", "past < 0", 1),
    ("conv2d/gather", "no barrier before the weights are read", "__syncthreads();", "", 2),
    ("conv2d/gather", "channels that are not there", "c < p.channels ? Sum<T>", "true ? Sum<T>", 1),
    ("resample/v02_tile", "no barrier before the pixels are read", "__syncthreads();", "", 4),
    ("resample/v02_tile", "no barrier before the sums are read", "__syncthreads();", "", 5),
    ("resample/v02_tile", "all planes are the first", "plane(line / high) + (down", "plane(0) + (down", 1),
    ("resample/v02_tile", "the entries of another tile", "of_columns.load(columns, j0, width)", "of_columns.load(columns, 0, width)", 1),
    ("resample/v02_tile", "more sums than there is room for", "of_sums <= ROOM,", "true,", 1),
    ("local_response_norm/v01_running_window", "the window ends with its channel", "newest - w.after;", "newest;", 1),
    ("local_response_norm/v01_running_window", "the oldest channel never leaves", "slot + 1 < w.size ?", "slot + 1 < w.size - 1 ?", 1),
    ("local_response_norm/v01_running_window", "the rings lie on each other", "number * n * THREADS", "number * THREADS", 1),
    ("roi_align/v00_direct", "a bin too few", "int(to) + 1;", "int(to);", 1),
    ("roi_align/v00_direct", "regions of every image", "!= n) continue;", "< 0) continue;", 1),
    ("roi_align/v00_direct", "channels that are not there", "weight != A(0) && c0 + c < p.C", "weight != A(0)", 1),
    ("nms/v00_bits", "what is common counts twice", "(area() + b.area() - common)", "(area() + b.area())", 1),
    ("nms/v00_bits", "boxes beyond the last", "b < min(BITS, n - column)", "b < BITS", 1),
    ("nms/v00_bits", "no barrier before the words are read", "__syncthreads();", "", 2),
    ("nms/v00_bits", "who is crossed out crosses out", "if (out >> b & 1) continue;", "", 1),
]


def convolutions(rung):
    for x, w, options, way in (((2, 3, 9, 40), (6, 1, 3, 3), {"padding": (1, 1)}, "NCHW"), ((1, 11, 8, 7), (11, 1, 5, 4), {}, "NHWC"),
                               ((5, 2, 33, 34), (2, 1, 3, 3), {}, "NCHW"),
                               ((2, 3, 13, 70), (3, 1, 2, 3), {"stride": (2, 3), "padding": (0, 1)}, "NCHW"),
                               ((3, 2, 60, 61), (4, 1, 3, 3), {"padding": (1, 1), "dilation": (2, 1)}, "NCHW")):
        options, runs = passes("float32", x, w, True, **options, groups=x[1], ways=(way,) * 3)
        for op, given, _, want in runs:
            if rung == "depthwise" or op == "conv2d_input_grad":
                space = Made((2 * want.size,), np.float32)  # of two parts
                yield f"{op} {x} {w}", op, [Made(want.shape, np.float32), *given, space, *options], want, 2e-6


def resamplings(rung):
    def resized(mode, n, size):
        return resize_taps(mode, n, size, None, False, False, True)

    for planes, rows, columns in (((2, 3), resized("linear", 30, 40), resized("cubic", 41, 130)),
                                  ((5, 60), adaptive_taps(7, 3), adaptive_taps(5, 1)),
                                  ((1, 2), adaptive_taps(99, 40), resized("nearest", 900, 60))):
        x = np.random.default_rng(0).standard_normal((*planes, rows.columns, columns.columns)).astype(np.float32)
        want = dispatch._ops["resample"].reference(x.astype(np.float64), rows, columns)
        taps = [a for t in (rows, columns) for a in (t.start, t.source, t.weight)]
        yield f"{x.shape}", "resample", [Made(want.shape, np.float32), x, *taps], want, 1e-6


def norms(rung):
    for shape, size in (((2, 9, 35), 5), ((1, 3, 70), 4)):
        x, g = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
        for op, given in (("local_response_norm", [x]), ("local_response_norm_backward", [g, x])):
            want = dispatch._ops[op].reference(*(a.astype(np.float64) for a in given), size, 2.0, 0.75, 1.0)
            yield f"{op} {shape}", op, [Made(shape, np.float32), *given, size, 2.0, 0.75, 1.0], want, 1e-5


def pooled_regions(rung):
    rng = np.random.default_rng(0)
    boxes, x, g = regions(rng, 12, 2, 9).astype(np.float32), rng.standard_normal((2, 5, 9, 8)), rng.standard_normal((12, 5, 3, 2))
    x, g = x.astype(np.float32), g.astype(np.float32)
    for options in ((1.0, -1, 0), (0.7, 2, 1)):
        want = dispatch._ops["roi_align"].reference(x.astype(np.float64), boxes.astype(np.float64), (3, 2), *options)
        yield f"forward {options}", "roi_align", [Made(want.shape, np.float32), x, boxes, *options], want, 1e-5
        want = dispatch._ops["roi_align_backward"].reference(g.astype(np.float64), boxes.astype(np.float64), x.shape, *options)
        yield f"backward {options}", "roi_align_backward", [Made(want.shape, np.float32), g, boxes, *options], want, 1e-5


def suppressions(rung):
    for n in (65, 150):
        rng = np.random.default_rng(n)
        corner, size = rng.integers(0, 24, (n, 2)), rng.integers(1, 12, (n, 2))
        boxes = np.concatenate([corner, corner + size], 1).astype(np.float32)
        want = np.isin(np.arange(n), dispatch._ops["nms"].reference(boxes.astype(np.float64), -np.arange(n), 0.31)).astype(np.float64)
        yield f"{n} boxes", "nms", [Made((n,), np.bool_), Made((n, -(-n // 64)), np.int64), boxes, 0.31], want, 0.0


CALLS = {"conv2d": convolutions, "resample": resamplings, "local_response_norm": norms, "roi_align": pooled_regions, "nms": suppressions}


def calls(rung):
    family, name, *_ = rung.split("/")
    for label, op, arguments, want, tolerance in CALLS[family](name):
        yield Call(label, op, name, arguments, [want], [tolerance * (np.linalg.norm(want) or 1)])


def test_planted_bugs_are_caught(build):
    assert planted.missed(build, MUTANTS, planted.texts_of, calls) == []


@pytest.mark.parametrize("rung", sorted({m[0] for m in MUTANTS}))
def test_the_rungs_themselves_pass(build, rung):
    assert planted.examined(build(planted.texts_of(rung)), calls(rung)) == [None, None]
