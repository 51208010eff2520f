"""The attention ladder on a GPU: what the tests of the ladder and of dropout ask of the emulator, asked of the hardware."""
from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import on_gpu
import pytest
from test_attention_ladder import MASKS, SHAPES, check, check_backward, factors_of, forward, problem, refuses, rng_of

from tensorgrad import dispatch

pytestmark = pytest.mark.gpu
POISONED = SimpleNamespace(empty=lambda shape, dtype: np.full(shape, np.nan, dtype))  # what workspaces come from
BIND = dispatch._ops["attention"].bind
KERNELS = {path: SimpleNamespace(call=BIND(path, k.call, POISONED)) for path, k in on_gpu.kernels("attention").items()}
BACKWARD = on_gpu.kernels("attention_backward")
RUNGS, BACK = on_gpu.rungs("attention"), on_gpu.rungs("attention_backward")
# batch, query heads, key heads, queries, keys, size, value size: tiles of every kind, a layer of a network, one word after a long text
LARGE = [(2, 6, 2, 500, 517, 64, 64), (1, 2, 2, 300, 700, 128, 128), (1, 2, 1, 200, 330, 256, 192), (2, 12, 12, 1024, 1024, 64, 64),
         (3, 8, 2, 1, 3000, 128, 128)]
STATE = 2**63 + 5, 2**32 - 7


def dropouts(path):
    """Probabilities of dropout to try a rung with."""
    return (0.0,) if path == "cuda/decode" else (0.0, 0.3)


@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_shapes_and_masks(path, name):
    for i, shape in enumerate([*SHAPES, *LARGE]):
        for p in dropouts(path):
            arguments = problem(rng_of(path, name, i), name, shape, MASKS[i % len(MASKS)])
            if not refuses("attention", path, *arguments, dropping=p > 0):
                check(path, name, arguments, p, STATE, KERNELS)


@pytest.mark.parametrize(("path", "name"), BACK)
def test_gradients_of_shapes_and_masks(path, name):
    for i, shape in enumerate([*SHAPES, *LARGE]):
        for p in dropouts(path)[:1 if max(shape[3:5]) == 1 else None]:  # of a single key they cancel, but for roundings
            rng = rng_of("backward", path, name, i)
            arguments = problem(rng, name, shape, MASKS[i % len(MASKS)])
            if not refuses("attention_backward", path, *arguments, dropping=p > 0):
                check_backward(path, name, arguments, rng, p, STATE, BACKWARD)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_masks_and_groups(path, name, mask):
    for p in dropouts(path):
        rng = rng_of(path, name, mask)
        arguments = problem(rng, name, (2, 4, 2, 175, 183, 24, 40), mask)
        check(path, name, arguments, p, STATE, KERNELS)
        if path in BACKWARD:
            check_backward(path, name, arguments, rng, p, STATE, BACKWARD)


@pytest.mark.parametrize(("path", "name"), [r for r in RUNGS if r[0] != "cuda/decode"])
def test_dropout_keeps_what_it_keeps_on_the_processor(path, name):
    """Values that are a unit matrix show the weights."""
    q, k, v, *rest = problem(rng_of("bits"), name, (2, 3, 3, 300, 61, 8, 64), "none")
    q[:], v[:] = 0, np.eye(61, 64)
    out = forward(path, name, q, k, v, *rest, 0.4, STATE, KERNELS)[0][..., :61]
    np.testing.assert_array_equal(out != 0, factors_of((2, 3, 300, 61), 0.4, STATE) != 0)


@pytest.mark.parametrize(("path", "name"), BACK)
def test_the_same_bits_every_time(path, name):
    rng = rng_of("again")
    q, k, v, m, causal, scale = problem(rng, name, (1, 4, 2, 500, 510, 64, 64), "causal")
    wide = np.float64 if name == "float64" else np.float32
    g, out, lse = np.ones(q.shape, q.dtype), np.zeros(q.shape, q.dtype), np.full(q.shape[:3], 10, wide)
    results = set()
    for _ in range(10):
        got = [np.full(x.shape, np.nan, x.dtype) for x in (q, k, v)]
        BACKWARD[path].call(*got, np.full(lse.size, np.nan, wide), g, q, k, v, out, lse, m, int(causal), scale, 3, 5, 1 << 31, 2.0)
        results.add(b"".join(x.tobytes() for x in got))
    assert len(results) == 1
