"""What the cases of batch_norm and group_norm leave out of their Triton kernels, in Triton's interpreter: it needs TRITON_INTERPRET=1."""
from __future__ import annotations

import importlib

import ml_dtypes
import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import triton
from tensorgrad.nn import functional as F

if triton.absent() or not triton.INTERPRETED:
    pytest.skip(triton.absent() or "needs a process with TRITON_INTERPRET=1", allow_module_level=True)

RUNGS = ["triton/v03_held", "triton/v02_channels_last"]
TOLERANCE = {np.float32: 2e-6, np.float16: 1e-3, ml_dtypes.bfloat16: 8e-3}


@pytest.fixture
def small(monkeypatch):
    """Tiles so small that a few elements take several of them."""
    planes, rows = (importlib.import_module(f"tensorgrad.triton.batch_norm{name}") for name in ("", "_channels_last"))
    less = ((planes, "HELD", 64), (planes, "TILE", 32), (planes, "LONGEST", 16), (rows, "TILE", 64), (rows, "ACROSS", 8))
    for module, name, value in less:
        monkeypatch.setattr(module, name, value)


def lying(x, path):
    """(N, C, S) as the rung takes it."""
    return x.movedim(1, -1).contiguous().movedim(-1, 1) if "channels_last" in path else x


def run(norm, arrays, g, path, device, kind):
    """(result, gradients) of norm(x, weight, bias)."""
    leaves = [tg.tensor(a.astype(kind), device=device).requires_grad_() for a in arrays]
    y = norm(lying(leaves[0], path), *leaves[1:])
    y.backward(lying(tg.tensor(g.astype(kind), device=device), path))
    return [t.numpy(force=True).astype(np.float64) for t in (y, *[leaf.grad for leaf in leaves])]


def check(norm, x, g, path, kind, growth=4):
    """On emu by the rung, against float64 on the processor."""
    rng = np.random.default_rng(1)
    x, g, w, b = (a.astype(kind) for a in (x, g, rng.standard_normal(x.shape[1]), rng.standard_normal(x.shape[1])))
    with tg.kernels.use("*", path):
        got = run(norm, (x, w, b), g, path, "emu", kind)
    want = run(norm, (x, w, b), g, "", "cpu", np.float64)
    for a, b in zip(got, want, strict=True):
        error = np.linalg.norm(a - b) / max(np.linalg.norm(b), np.linalg.norm(g.astype(np.float64)))
        assert error <= growth * TOLERANCE[kind], error


NORMS = {"batch_norm": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
         "groups of 3": lambda x, w, b: F.group_norm(x, 2, w, b), "one group": lambda x, w, b: F.group_norm(x, 1, w, b),
         "instance_norm": lambda x, w, b: F.instance_norm(x, weight=w, bias=b)}


@pytest.mark.parametrize("kind", [np.float32, ml_dtypes.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(3, 6, 50), (2, 6, 5), (1, 6, 33)], ids=str)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("path", RUNGS)
def test_groups_of_several_tiles(path, norm, shape, kind, small):
    rng = np.random.default_rng(0)
    check(NORMS[norm], rng.standard_normal(shape), rng.standard_normal(shape), path, kind)


@pytest.mark.parametrize("norm", ["batch_norm", "groups of 3"])
@pytest.mark.parametrize("held", [True, False], ids=["held", "in tiles"])
@pytest.mark.parametrize("path", RUNGS)
def test_a_large_mean_costs_no_digits(path, held, norm, request):
    """x = 4096 + noise of a few units in its last place, and an outlier first."""
    if not held:
        request.getfixturevalue("small")
    rng = np.random.default_rng(0)
    x = 4096 + rng.integers(-4, 5, (2, 6, 90)) / 2048
    x[0, 0, 0] += 0.25
    check(lambda x, w, b: NORMS[norm](x, None, None) + 0 * (w.sum() + b.sum()), x, rng.standard_normal(x.shape), path, np.float32)


@pytest.mark.parametrize("path", RUNGS)
@pytest.mark.parametrize("kind", [np.float32, np.float16], ids=["float32", "float16"])
def test_running_statistics_and_inference(kind, path, small):
    """Statistics in float32 beside half precision."""
    x, kept = np.random.default_rng(0).standard_normal((4, 3, 50)).astype(kind), {}
    for device, made in (("cpu", np.float64), ("emu", kind)):
        other = np.float64 if made is np.float64 else np.float32
        mean, var, w = (tg.tensor(a.astype(other), device=device) for a in (np.zeros(3), np.ones(3), np.arange(3) + 1.0))
        given = lying(tg.tensor(x.astype(made), device=device).requires_grad_(), path if device == "emu" else "")
        with tg.kernels.use("*", path) if device == "emu" else tg.enable_grad():
            F.batch_norm(given, mean, var, w, training=True, momentum=0.3)
            y = F.batch_norm(given, mean, var, w)
            (dx,) = tg.autograd.grad(y, [given], tg.ones_like(y))
        kept[device] = [t.numpy(force=True).astype(np.float64) for t in (mean, var, y, dx)]
    for got, want in zip(kept["emu"], kept["cpu"], strict=True):
        assert np.linalg.norm(got - want) <= TOLERANCE[kind] * np.linalg.norm(want)


def test_a_batch_in_chunks():
    """More rows than a chunk: what chunks leave is merged, with the last of them a shorter one."""
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 2, 3, 300)) + 3
    check(NORMS["batch_norm"], x, g, "triton/v02_channels_last", np.float32)
