"""rotary_embedding: what it is for, the tables of nn.RotaryEmbedding, caches of keys, memory layouts, wrong tables.

Its cases are tested with those of all ops.
"""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import dispatch, nn
from tensorgrad.nn import functional as F


def normal(*shape, seed=0, dtype="float64", device="cpu"):
    return tg.tensor(np.random.default_rng(seed).standard_normal(shape), dtype=getattr(tg, dtype), device=device)


def angles(positions, features, base=10000.0):
    return np.arange(positions)[:, None] * base ** (-2 * np.arange(features // 2) / features)


def test_it_is_equation_34_of_roformer():
    x = normal(5, 8)
    y = nn.RotaryEmbedding(8, 5, interleaved=True, dtype=tg.float64)(x).numpy()
    turned = (x.numpy()[:, 0::2] + 1j * x.numpy()[:, 1::2]) * np.exp(1j * angles(5, 8))
    np.testing.assert_allclose(y[:, 0::2] + 1j * y[:, 1::2], turned, atol=1e-14)


def test_halves_are_the_same_pairs_in_another_order():
    x, order = normal(5, 8), [0, 2, 4, 6, 1, 3, 5, 7]
    interleaved = nn.RotaryEmbedding(8, 5, 500.0, interleaved=True, dtype=tg.float64)(x).numpy()
    halves = nn.RotaryEmbedding(8, 5, 500.0, dtype=tg.float64)(tg.tensor(x.numpy()[:, order])).numpy()
    np.testing.assert_array_equal(halves, interleaved[:, order])


@pytest.mark.parametrize("interleaved", [False, True])
def test_products_depend_on_the_distance_alone(interleaved):
    turn = nn.RotaryEmbedding(6, 40, interleaved=interleaved, dtype=tg.float64)
    q, k = normal(1, 6), normal(1, 6, seed=1)
    products = [float((turn(q, m) * turn(k, m + 7)).sum().item()) for m in (0, 1, 32)]
    np.testing.assert_allclose(products, products[0], rtol=1e-12)
    assert abs(products[0] - float((turn(q, 0) * turn(k, 9)).sum().item())) > 1e-3


def test_a_cache_goes_on_where_it_ended_and_inverse_turns_back():
    turn, x = nn.RotaryEmbedding(6, 9, dtype=tg.float64), normal(2, 3, 9, 6)
    whole = turn(x).numpy()
    parts = [turn(x[:, :, m:n], m).numpy() for m, n in ((0, 4), (4, 5), (5, 9))]
    np.testing.assert_array_equal(np.concatenate(parts, 2), whole)
    back = F.rotary_embedding(tg.tensor(whole), turn.cos, turn.sin, inverse=True)
    np.testing.assert_allclose(back.numpy(), x.numpy(), atol=1e-14)


def test_tables_stay_wide_in_a_model_of_halves_and_are_made_anew_in_double():
    turn = nn.RotaryEmbedding(8, 3000, interleaved=True).bfloat16()
    assert turn.cos.dtype is turn.sin.dtype is tg.float32
    assert not turn.state_dict()
    np.testing.assert_allclose(turn.sin.numpy(), np.sin(angles(3000, 8)), atol=1e-7)
    np.testing.assert_array_equal(turn.double().sin.numpy(), np.sin(angles(3000, 8)))
    with pytest.raises(ValueError, match="features must be even and positive, got 7"):
        nn.RotaryEmbedding(7, 3)


EMU = [k.path for k in dispatch.kernels_of("emu").get("rotary_embedding", {}).values() if k.device == "emu"]


@pytest.mark.parametrize("path", EMU)
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(("dtype", "features"), [("float32", 16), ("bfloat16", 16), ("float16", 32), ("float32", 6)])
def test_heads_of_a_projection_beside_wide_tables(path, interleaved, dtype, features):
    """(B, T, H, D) seen as (B, H, T, D) with no copy, rows of packs and odd ones, tables of which a part is read."""
    turn = nn.RotaryEmbedding(features, 12, interleaved=interleaved, device="emu")
    x = normal(2, 5, 3, features, dtype=dtype, device="emu").transpose(1, 2)
    with tg.kernels.use("rotary_embedding", path):
        y = turn(x, 7)
    want = F.rotary_embedding(x.cpu().double(), turn.cos.cpu().double(), turn.sin.cpu().double(), 7, interleaved=interleaved).numpy()
    limit = {"float32": 1e-6, "float16": 1e-3, "bfloat16": 8e-3}[dtype]
    assert np.linalg.norm(y.cpu().double().numpy() - want) <= limit * np.linalg.norm(want)


@pytest.mark.parametrize(("dtype", "table", "said"), [
    ("float32", "float64", "input is float32 but cos is float64; it may be of that dtype, or float32 beside half precision"),
    ("float64", "float32", "input is float64 but cos is float32"),
    ("bfloat16", "float16", "input is bfloat16 but cos is float16")])
def test_tables_of_another_dtype_are_refused(dtype, table, said):
    with pytest.raises(RuntimeError, match=said):
        F.rotary_embedding(normal(3, 4, dtype=dtype), normal(3, 2, dtype=table), normal(3, 2, dtype=table))


def test_tables_have_no_gradient():
    with pytest.raises(RuntimeError, match=r"there is no gradient for tables; pass sin.detach\(\)"):
        F.rotary_embedding(normal(3, 4), normal(3, 2), normal(3, 2).requires_grad_())
