"""Bugs planted in copies of the convolution's Hopper rung: does the emulator show them? What counts as that is said in tests/planted.py."""
from __future__ import annotations

import ml_dtypes
import numpy as np
import planted
import pytest
from conv_calls import TOLERANCE, passes
from planted import Call, Made

pytestmark = planted.pytestmark

FORWARD, WEIGHT = "v04_tma_im2col", "v04_tma_im2col_weight_grad"
PIPELINE = f"{FORWARD}/hopper_pipeline"
# (rung, or rung/header, what is wrong with it, the text, what stands in its place, which occurrence)
MUTANTS = [
    (FORWARD, "sums are overwritten before they are read", "device::named_barrier_sync(1 + warpgroup, 128);", "", 1),
    (FORWARD, "sums are read before all are there", "device::named_barrier_sync(1 + warpgroup, 128);", "", 2),
    (FORWARD, "both warpgroups store by the same memory", "+ warpgroup * 64 * 64;", ";", 1),
    (FORWARD, "sums are read where they were not put", "(quad ^ i % 4 * 2) * 4", "quad * 4", 1),
    (FORWARD, "pixels past the last", "if (at == OUTSIDE) break;", "", 1),
    (FORWARD, "patches are one pixel apart", "at.x * p.x.step", "at.x", 1),
    (FORWARD, "offsets of taps swapped", "offset(p.x, j), offset(p.y, i)", "offset(p.y, i), offset(p.x, j)", 1),
    (FORWARD, "the last channels of a tap are not fetched", "c < p.channels; c += BK", "c + BK < p.channels; c += BK", 1),
    (FORWARD, "weights of the first column of taps", "j * p.weight.stride[3]) + c", "0) + c", 1),
    (FORWARD, "the next tile's consumers skip one", "tile += gridDim.x", "tile += 2 * gridDim.x", 2),
    (PIPELINE, "the producer does not wait for free stages", "device::mbarrier_wait(&empty[s], (step / STAGES + 1) % 2);", "", 1),
    (PIPELINE, "consumers do not wait for full stages", "device::mbarrier_wait(&full[step % STAGES], step / STAGES % 2);", "", 1),
    (PIPELINE, "stages are freed before the products are done", "device::wgmma_wait<1>();", "", 1),
    (PIPELINE, "the last stage of a tile is never freed", "if (steps) free(step - 1);", "", 1),
    (PIPELINE, "no wait for the last products", "device::wgmma_wait<0>();", "", 1),
    (PIPELINE, "half of the bytes are expected", "STAGE * sizeof(T))", "STAGE)", 1),
    (PIPELINE, "patches begin at the first tap, which is not the lowest", "l.tap < 0 ? (l.taps - 1) * l.tap : 0", "0", 1),
    (PIPELINE, "a patch too many in a row", "(l.grid - 1) * l.step", "l.grid * l.step", 1),
    (f"{FORWARD}/channels_last", "weights of the next tap", "tap / p.x.taps, tap % p.x.taps}", "tap % p.x.taps, tap / p.x.taps}", 1),
    (WEIGHT, "all parts in one place", "(int64_t(part) * p.rows + r)", "int64_t(r)", 1),
    (WEIGHT, "both boxes of rows are the first", "row * BM + box * 64, at.x", "row * BM, at.x", 1),
    (WEIGHT, "columns past the last", "number >= columns.count ||", "", 1),
    (WEIGHT, "channels past the last", "|| c >= p.channels) continue", ") continue", 1),
    (WEIGHT, "the first part is all", "part < count; ++part", "part < 1; ++part", 1),
]
PROBLEMS = {  # x, w, options; with the channels last
    FORWARD: [((3, 8, 14, 22), (8, 8, 3, 2), {"stride": (1, 2), "padding": (1, 1), "dilation": (2, 1)}),  # two tiles a block
              ((2, 72, 9, 8), (136, 72, 2, 2), {"padding": (0, 1)})],
    WEIGHT: [((1, 8, 33, 32), (72, 8, 3, 1), {"padding": (1, 0)}), ((2, 24, 5, 6), (8, 24, 2, 3), {"stride": (2, 1)})],
}


def texts(rung, *bug):
    """The text of a rung and its headers, for one dtype."""
    found = planted.texts_of(f"conv2d/{rung}", *bug)
    return {name: text.replace("<__nv_bfloat16, __half>", "<__nv_bfloat16>") for name, text in found.items()}


def calls(rung):
    rung = rung.partition("/")[0]
    for i, (x, w, options) in enumerate(PROBLEMS[rung]):
        numbers, runs = passes("bfloat16", x, w, True, **options, ways=("NHWC", "NCHW", "NHWC"), seed=i)
        for op, given, way, want in runs:
            if (op == "conv2d_weight_grad") == (rung == WEIGHT):
                arguments = [Made(want.shape, ml_dtypes.bfloat16, way == "NHWC"), *given, Made((1 << 15,), np.float32), *numbers]
                yield Call(f"{op} {x} {w}", op, FORWARD, arguments, [want], [TOLERANCE["bfloat16"] * np.linalg.norm(want)])


def test_planted_bugs_are_caught(build):
    assert planted.missed(build, MUTANTS, texts, calls) == []


@pytest.mark.parametrize("rung", [FORWARD, WEIGHT])
def test_the_rungs_themselves_pass(build, rung):
    assert planted.examined(build(texts(rung)), calls(rung)) == [None, None]
