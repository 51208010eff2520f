"""The matmul ladder on a GPU: what tests/test_matmul_ladder.py asks of the emulator, asked of the hardware."""
from __future__ import annotations

import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from test_matmul_ladder import LAYOUTS, NUMPY, SHAPES, TOLERANCE, check_tf32_rounding, operand

pytestmark = pytest.mark.gpu
cuda = pytest.importorskip("tensorgrad._cuda", reason="nvcc was not there when tensorgrad was built", exc_type=ImportError)
cupy = pytest.importorskip("cupy", reason="needs CuPy and a CUDA GPU", exc_type=ImportError)
try:
    CHIP = int(cupy.cuda.Device(0).compute_capability)
except cupy.cuda.runtime.CUDARuntimeError:
    pytest.skip("needs a CUDA GPU", allow_module_level=True)

KERNELS = {path: call for op, path, _, _, _, call, *_ in cuda.kernels() if op == "matmul"}
RUNGS = sorted((path, name) for op, path, types, *_ in cuda.kernels() if op == "matmul" for name in types.split())


def upload(a):
    """A NumPy array with its layout in the GPU's memory, as kernels see it. (CuPy itself need not know the dtype.)"""
    root = a
    while isinstance(root.base, np.ndarray):
        root = root.base
    memory = cupy.asarray(np.lib.stride_tricks.as_strided(root.view(np.uint8) if root.flags.c_contiguous else root.T.view(np.uint8),
                                                          (root.nbytes,), (1,)))
    offset = a.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return SimpleNamespace(dtype=a.dtype, shape=a.shape, strides=a.strides, data=SimpleNamespace(ptr=memory.data.ptr + offset),
                           memory=memory, __cuda_array_interface__={})


def check(path, name, a, b):
    """Runs a rung and compares with float64; the output starts as NaN."""
    out = np.empty((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]), NUMPY[name])
    out.reshape(-1).view(np.uint8).fill(0xFF)
    device_out = upload(out)
    try:
        memory = [upload(np.full((4, max(out.size, 1)), np.nan, np.float32))] if path == "cuda/split_k" else []  # for parts of sums
        KERNELS[path](device_out, upload(a), upload(b), *memory)
    except ValueError as e:  # Hopper's instructions on another chip
        if CHIP == 90 or "compute capability" not in str(e):
            raise
        pytest.skip(str(e))
    got = device_out.memory.get().view(NUMPY[name]).reshape(out.shape)
    want = np.matmul(a.astype(np.float64), b.astype(np.float64))
    error = np.linalg.norm(got.astype(np.float64) - want) / (np.linalg.norm(want) or 1)
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
    def multiply(a, b):
        out = upload(np.zeros((a.shape[0], b.shape[1]), np.float32))
        KERNELS["cuda/v09_hopper_tf32"](out, upload(a), upload(b))
        return out.memory.get().view(np.float32).reshape(out.shape)

    check_tf32_rounding(multiply)


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
    results = set()
    for _ in range(10):
        out = upload(np.zeros((333, 222), NUMPY[name]))
        try:
            KERNELS[path](out, upload(a), upload(b))
        except ValueError as e:
            pytest.skip(str(e))
        results.add(out.memory.get().tobytes())
    assert len(results) == 1
