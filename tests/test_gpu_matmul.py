"""The matmul ladder on a GPU: what tests/test_matmul_ladder.py asks of the emulator, asked of the hardware."""
from __future__ import annotations

import zlib

import numpy as np
import pytest
from on_gpu import CHIP, kernels, rungs
from test_matmul_ladder import LAYOUTS, NUMPY, SHAPES, TOLERANCE, check_tf32_rounding, operand

pytestmark = pytest.mark.gpu
KERNELS, RUNGS = kernels("matmul"), rungs("matmul")


def product(path, a, b):
    """What a rung makes of a and b; the output starts as NaN, and so does memory for parts of sums."""
    out = np.full((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]), np.nan, a.dtype)
    KERNELS[path].call(out, a, b, *([np.full((4, max(out.size, 1)), np.nan, np.float32)] if path == "cuda/split_k" else []))
    return out


def check(path, name, a, b):
    """Compares a rung with float64."""
    want = np.matmul(a.astype(np.float64), b.astype(np.float64))
    error = np.linalg.norm(product(path, a, b).astype(np.float64) - want) / (np.linalg.norm(want) or 1)
    assert error <= TOLERANCE["tf32" if path.endswith("tf32") else name], f"relative error {error:.3g}"


@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_shapes_and_layouts(path, name):
    rng = np.random.default_rng(zlib.crc32(f"{path} {name}".encode()))
    for m, n, k in (*SHAPES, (512, 768, 320), (1000, 1111, 1234)):
        for layout in LAYOUTS:
            left, right = (layout, layout) if layout == "gaps" else layout
            check(path, name, operand(rng, (m, k), NUMPY[name], left), operand(rng, (k, n), NUMPY[name], right))


@pytest.mark.skipif(CHIP != 90, reason="needs Hopper")
def test_tf32_of_hopper_is_rounded_to_nearest():
    check_tf32_rounding(lambda a, b: product("cuda/v09_hopper_tf32", a, b))


@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_fuzz(path, name):
    rng = np.random.default_rng(zlib.crc32(f"fuzz {path} {name}".encode()))
    for _ in range(50):
        m, n, k = rng.integers(1, 700, 3)
        left, right = rng.choice(["N", "T"], 2)
        a, b = operand(rng, (m, k + 8), NUMPY[name], left), operand(rng, (k, n + 8), NUMPY[name], right)
        i, j = rng.integers(0, 9, 2)
        check(path, name, a[:, i:i + k], b[:, j:j + n])


@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_batches(path, name):
    rng = np.random.default_rng(1)
    for left, right in (((3,), (3,)), ((2, 1), (3,)), ((1,), (4,)), ((), (2,)), ((2, 3, 1, 2), (3, 2, 1))):
        check(path, name, operand(rng, (*left, 90, 70), NUMPY[name], "N"), operand(rng, (*right, 70, 110), NUMPY[name], "T"))


@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_the_same_bits_every_time(path, name):
    rng = np.random.default_rng(2)
    a, b = operand(rng, (333, 444), NUMPY[name], "N"), operand(rng, (444, 222), NUMPY[name], "N")
    assert len({product(path, a, b).tobytes() for _ in range(10)}) == 1
