"""Every rung of resampling, on the emulator: interpolation and averages with their gradients, tiles of every kind, traffic, races.

Inputs end at pages nobody may touch, outputs start as NaN, and thread order is shuffled.
"""
from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from sampling import case_id, realise, relative_error, rng_for

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.nn import functional as F
from tensorgrad.op import fn
from tensorgrad.ops.shared.interpolation import resize_taps
from tensorgrad.ops.shared.windows import adaptive_taps, average_taps

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
KERNELS = {path: k for path, k in dispatch.kernels_of("emu")["resample"].items() if k.family == "cuda"}
NUMPY = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
TOLERANCE = {"float32": 1e-6, "float64": 1e-14, "float16": 2e-3, "bfloat16": 1.6e-2}  # of two roundings: volumes are resized in two steps
INTERPOLATE = dispatch._ops["interpolate"]
RESAMPLE = dispatch._ops["resample"]


def images(a, last):
    """A tensor on emu, with the channels last in memory if asked."""
    if last:
        return tg.from_numpy(np.ascontiguousarray(np.moveaxis(a, 1, -1))).to("emu").permute(0, 3, 1, 2).detach()
    return tg.from_numpy(a).to("emu")


@pytest.mark.parametrize("name", sorted(NUMPY))
@pytest.mark.parametrize("path", ["cuda/v00_direct", "cuda/v02_tile"])
def test_interpolate(path, name):
    """Its own cases: every mode, corners aligned or not, up and down; the gradient is that of cpu in float64."""
    rng = np.random.default_rng(0)
    for case in (case for case in INTERPOLATE.cases() if case.error is None):
        (x, *rest), kwargs = realise(case, rng_for(INTERPOLATE, case), lambda spec, a: a.astype(NUMPY[name]))
        found = []
        for device in ("emu", "cpu"):
            leaf = tg.from_numpy(x if device == "emu" else x.astype(np.float64)).to(device).requires_grad_()
            with tg.kernels.use("resample", path):
                y = F.interpolate(leaf, *rest, **kwargs)
                if device == "emu":
                    g = rng.standard_normal(y.shape).astype(NUMPY[name])
                    want = INTERPOLATE.reference(x.astype(np.float64), *rest, **kwargs)
                    assert relative_error(y.numpy(force=True), want) <= TOLERANCE[name], case_id((INTERPOLATE, case))
                y.backward(tg.from_numpy(g if device == "emu" else g.astype(np.float64)).to(device))
            found.append(leaf.grad.numpy())
        assert relative_error(*found) <= TOLERANCE[name], case_id((INTERPOLATE, case))


SHAPES = [  # planes, rows, columns: several tiles; many small planes at once; whole planes; wide steps; more entries than a tile keeps
    ((2, 4), resize_taps("linear", 30, 70, None, False, False, True), resize_taps("linear", 41, 130, None, True, False, True)),
    ((5, 60), average_taps(7, 3, 3, 2, 0, True, False), average_taps(5, 2, 2, 2, 0, True, False)),
    ((3, 60), adaptive_taps(9, 1), adaptive_taps(8, 1)), ((1, 4), adaptive_taps(90, 1), adaptive_taps(110, 1)),
    ((1, 4), resize_taps("nearest", 200, 3, None, False, False, True), resize_taps("cubic", 300, 65, None, False, False, True)),
    ((1, 4), adaptive_taps(3, 2), adaptive_taps(1300, 2)), ((1, 4), None, adaptive_taps(700, 3)), ((2, 4), adaptive_taps(33, 40), None),
    ((1, 4), resize_taps("linear", 100, 40, None, False, True, True), adaptive_taps(640, 64)),
]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("path", sorted(KERNELS))
def test_tiles(path, seed):
    """Forward, and transposed, which is the gradient."""
    emu.configure(seed=seed)
    try:
        for planes, rows, columns in SHAPES:
            for r, c in ((rows, columns), (rows and rows.transposed, columns and columns.transposed)):
                x = np.random.default_rng(seed).standard_normal((*planes, r.columns if r else 3, c.columns if c else 37)).astype(np.float32)
                with tg.kernels.use("resample", path):
                    y = fn.resample(images(x, path == "cuda/v01_channels_last"), r, c)
                assert relative_error(y.numpy(), RESAMPLE.reference(x.astype(np.float64), r, c)) <= 1e-6
    finally:
        emu.configure(seed=0)


@pytest.mark.parametrize("path", sorted(KERNELS))
def test_no_rung_races(path):
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    with tg.kernels.use("resample", path), tg.lab.record() as report:
        for planes, rows, columns in SHAPES[1:3]:
            x = np.ones((*planes, rows.columns, columns.columns), np.float32)
            fn.resample(images(x, path == "cuda/v01_channels_last"), rows, columns)
    assert {c.check.status for c in report.calls} == {"right"}
    assert report.races == []


def test_the_rung_of_choice_moves_little_more_than_it_must():
    """Doubling with a linear filter, and back; halving with a mean: what is more is the entries of the matrices."""
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    x = tg.randn(1, 64, 8, 8, device="emu", requires_grad=True)
    with tg.lab.record(races=False) as report:
        F.avg_pool2d(F.interpolate(x, scale_factor=2, mode="bilinear"), 2).sum().backward()
    calls = [c for c in report.calls if c.op == "resample"]
    assert [c.kernel for c in calls] == ["cuda/v02_tile"] * 4
    moved = sum(32 * line.sectors for line in report.lines if line.space == "global" and line.file.startswith("csrc/cuda/resample"))
    assert moved <= 1.1 * sum(c.least_bytes for c in calls)
