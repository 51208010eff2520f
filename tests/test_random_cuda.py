"""Random numbers of the CUDA kernels, on the device `emu`: the CPU kernels' stream, whatever the place, size and order of threads."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.random import Generator

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
STATES = [(0, 0), (2**63 + 5, 3), (7, 2**32 - 2)]


def drawn(device, state, shape, dtype, fill):
    generator = Generator()
    generator.set_state(state)
    t = tg.empty(*shape, dtype=getattr(tg, dtype), device=device)
    with tg.kernels.use("*", "cuda" if device == "emu" else "cpu"):
        fill(t, generator)
    return t.numpy(), generator.get_state()


@pytest.fixture(params=[0, 3])
def order(request):
    emu.configure(seed=request.param)
    yield
    emu.configure(seed=0)


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (3, 5), (2051,)])
@pytest.mark.parametrize(("dtype", "fill"), [
    ("float32", lambda t, g: t.uniform_(generator=g)), ("float64", lambda t, g: t.uniform_(generator=g)),
    ("int64", lambda t, g: t.random_(-3, 9, generator=g)), ("int64", lambda t, g: t.random_(generator=g)),
    ("int64", lambda t, g: t.random_(0, 2**62 + 12345, generator=g)), ("uint8", lambda t, g: t.random_(generator=g)),
], ids=["unit float32", "unit float64", "small integers", "non-negative", "large integers", "bytes"])
def test_the_same_bits(state, shape, dtype, fill):
    (want, after), (got, then) = (drawn(device, state, shape, dtype, fill) for device in ("cpu", "emu"))
    np.testing.assert_array_equal(got, want)
    assert then == after


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("fill", [
    lambda t, g: t.uniform_(-2.5, 4.0, generator=g), lambda t, g: t.normal_(0.5, 2.0, generator=g),
    lambda t, g: t.exponential_(0.7, generator=g),
], ids=["uniform", "normal", "exponential"])
def test_the_same_numbers_but_for_roundings(state, dtype, fill):
    for shape in ((0,), (5,), (1237,)):
        want, got = (drawn(device, state, shape, dtype, fill)[0].astype(np.float64) for device in ("cpu", "emu"))
        eps = float(tg.finfo(getattr(tg, dtype)).eps)
        np.testing.assert_allclose(got, want, rtol=16 * eps, atol=16 * eps)


def test_an_address_that_is_not_aligned_and_its_neighbours():
    base, want = tg.zeros(20, device="emu"), Generator()
    base[3:16].uniform_(generator=Generator())
    assert base.numpy()[:3].tolist() == [0] * 3
    assert base.numpy()[16:].tolist() == [0] * 4
    np.testing.assert_array_equal(base.numpy()[3:16], tg.empty(13).uniform_(generator=want).numpy())


def test_the_open_end_is_never_reached():
    x = tg.empty(100_000, device="emu").uniform_(1.0, float(np.nextafter(np.float32(1), np.float32(2))))
    assert set(x.numpy().tolist()) == {1.0}
