"""Bugs planted in copies of the convolution kernels: does the emulator show them? What counts as that is said in tests/planted.py. More
of depthwise and gather are in tests/test_mutations_images.py.
"""
from __future__ import annotations

import ml_dtypes
import numpy as np
import planted
import pytest
from conv_calls import TOLERANCE, passes
from planted import Call, Made

pytestmark = planted.pytestmark

# (rung, or rung/header, what is wrong with it, the text, what stands in its place, which occurrence)
MUTANTS = [
    ("v00_direct", "a result too many", "thread >= count", "thread > count", 1),
    ("v00_direct", "pixels beyond the edge, for the weight", "if (p.x.inside(at_x)) of_row", "of_row", 1),
    ("v00_direct/problem", "every group has the first one's bias", "if (bias) p.bias += int64_t(g) * rows;", "", 1),
    ("v00_direct/problem", "padding the other way", "-dimension(o.top)", "dimension(o.top)", 1),
    ("v00_direct/problem", "the other dimension's dilation", "dimension(o.left), dimension(o.dw)", "dimension(o.left), dimension(o.dh)", 1),
    ("v00_direct/problem", "taps of a phase go the same way", "p.line.tap = -(p.every", "p.line.tap = (p.every", 1),
    ("v00_direct/problem", "every phase meets its taps at the same place", "phase + padding - p.first * dilation) / stride",
     "phase + padding) / stride", 1),
    ("v00_direct/problem", "rows and channels of the weight stay", "std::swap(p.weight.stride[0], p.weight.stride[1]);", "", 1),
    ("v00_direct/problem", "dilation shares a factor with the stride", "stride / std::gcd(stride, dilation)", "stride", 1),
    ("v01_im2col", "weights at any layout", "if (weight_is_flat())", "if (true)", 1),
    ("v01_im2col", "pieces of images begin at the first", "f(Piece{n, std::min", "f(Piece{0, std::min", 1),
    ("v01_im2col/columns", "taps between the steps of the stride", "down < 0 || down % p.y.step || at_y", "down < 0 || at_y", 1),
    ("v01_im2col/columns", "a piece overwrites the one before", "add ? *to + sum : sum", "sum", 1),
    ("v01_im2col/columns", "the last images' part is all", "add ? dw[thread] : T(0)", "T(0)", 1),
    ("v02_implicit", "no barrier after the loads", "__syncthreads();", "", 1),
    ("v02_implicit", "no barrier before the next loads", "__syncthreads();", "", 2),
    ("v02_implicit", "channels past the last", "real && k0 + k < depth && p.y", "real && p.y", 1),
    ("v02_implicit", "no barrier before the next loads, for the weight", "__syncthreads();", "", 4),
    ("v02_implicit", "the parts overlap", "begin + parts.span)", "begin + parts.span + 1)", 1),
    ("v02_implicit", "all parts in one place", "to += blockIdx.y * size;", "", 1),
    ("v03_tensor_core", "chunks a quarter of a tile apart", "&A[n * BM / 2", "&A[n * BM / 4", 1),
    ("v03_tensor_core", "a pixel too many", "q0 + k < end ?", "q0 + k <= end ?", 1),
    ("v03_tensor_core/tensor_loop", "no wait", "device::cp_async_wait<STAGES - 2>();", "", 1),
    ("v03_tensor_core/tensor_loop", "no barrier after the wait", "__syncthreads();", "", 1),
    ("v03_tensor_core/tensor_loop", "a copy into the buffer in use", "start(step + STAGES - 1);", "start(step + STAGES);", 1),
    ("v03_tensor_core/tensor_loop", "the wait lets one copy too many be late", "cp_async_wait<STAGES - 2>", "cp_async_wait<STAGES - 1>", 1),
    ("depthwise", "sums of an item are kept for the next", "sum[k] = 0;", "", 1),
    ("depthwise/depthwise_tile", "taps before the first pixel", "low = std::min(0, span * line.tap)", "low = 0", 1),
    ("gather", "weights are replaced while they are read", "__syncthreads();  // the weights before have been read", "", 1),
]
ONE, FLOATS = (1, 1), 1 << 14
# x, w, has a bias, stride, padding, dilation, groups, layouts of x, w and gy, floats of workspace
PROBLEMS = [
    ((2, 3, 7, 9), (5, 3, 3, 3), True, ONE, ONE, ONE, 1, ("NCHW", "gaps", "reversed"), FLOATS),
    ((2, 6, 9, 11), (4, 3, 2, 3), True, (1, 3), (0, 2), (1, 2), 2, ("NHWC", "NCHW", "NHWC"), FLOATS),
    ((3, 1, 12, 5), (2, 1, 5, 2), True, (4, 3), (3, 1), (2, 3), 1, ("NCHW", "NCHW", "NCHW"), FLOATS),
]
LARGER = {
    "v01_im2col": [((3, 4, 9, 7), (6, 4, 3, 3), True, ONE, ONE, ONE, 1, ("NCHW",) * 3, 216 + 36 * 7 * 3),  # some rows at a time
                   ((3, 4, 5, 4), (6, 4, 3, 3), True, ONE, ONE, ONE, 1, ("NCHW",) * 3, 2 * (216 + 36 * 20))],  # two images, then one
    "v02_implicit": [((1, 2, 33, 32), (3, 2, 3, 3), False, ONE, ONE, ONE, 1, ("NCHW",) * 3, FLOATS)],  # two parts of pixels
    "v03_tensor_core": [((1, 16, 10, 9), (72, 16, 3, 3), True, (2, 1), ONE, ONE, 1, way, FLOATS) for way in (("NHWC",) * 3, ("NCHW",) * 3)],
    "depthwise": [((2, 4, 12, 9), (8, 1, 3, 5), False, (2, 1), ONE, ONE, 4, ("NCHW",) * 3, FLOATS)],
    "gather": [((1, 20, 4, 4), (64, 20, 3, 3), False, ONE, ONE, ONE, 1, ("NCHW",) * 3, FLOATS)],  # weights in several rounds
}


def texts(rung, *bug):
    """The text of a rung and its headers: what is not called is not compiled."""
    found = planted.texts_of(f"conv2d/{rung}", *bug)
    name = f"{rung.partition('/')[0]}.cu"
    for several, one in (("<float, double, __nv_bfloat16, __half>", "<float>"), ("<__nv_bfloat16, __half>", "<__nv_bfloat16>"),
                         ("by_dtype<float, double>", "by_dtype<float>")):
        found[name] = found[name].replace(several, one)
    if rung.startswith("v01"):
        found[name] += f'#include "{planted.LADDERS}/matmul/v07_double_buffered.cu"\n'
    return found


def calls(rung):
    rung = rung.partition("/")[0]
    dtype, name = (ml_dtypes.bfloat16, "bfloat16") if rung == "v03_tensor_core" else (np.float32, "float32")
    problems = LARGER[rung] if rung in ("depthwise", "gather") else PROBLEMS + LARGER.get(rung, [])
    for x, w, bias, stride, padding, dilation, groups, ways, room in problems:
        options, runs = passes(name, x, w, bias, stride, padding, dilation, groups, ways)
        for op, given, _, want in runs:
            if rung != "gather" or op == "conv2d_input_grad":
                arguments = [Made(want.shape, dtype), *given, Made((room,), np.float32), *options]
                yield Call(f"{op} {x} {w}", op, rung, arguments, [want], [TOLERANCE[name] * np.linalg.norm(want)])


def test_planted_bugs_are_caught(build):
    assert planted.missed(build, MUTANTS, texts, calls) == []


@pytest.mark.parametrize("rung", sorted({m[0].partition("/")[0] for m in MUTANTS}))
def test_the_rungs_themselves_pass(build, rung):
    assert planted.examined(build(texts(rung)), calls(rung)) == [None, None]
