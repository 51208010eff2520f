"""topk's rung on the emulator: rows of several pieces, equal entries, NaN, k up to the most, thread orders, races."""
from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.errors import NoKernel
from tensorgrad.ops.sort import order

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_of_equal_entries_the_first_are_taken(kind, seed):
    rng = np.random.default_rng(seed)
    emu.configure(seed=seed)
    try:
        for n, k in ((1, 1), (5, 3), (2048, 1024), (2049, 40), (3100, 1000), (5000, 7)):
            x = rng.integers(-n // 3, n // 3, (2, n)).astype(kind)  # hardly an entry that has no equal
            x[rng.random(x.shape) < 0.001] = np.nan
            for largest in (True, False):
                with tg.kernels.use("topk_pair", "cuda/v00_bitonic"):
                    values, at = tg.topk(tg.from_numpy(x).to("emu"), k, largest=largest)
                want = order(x, 1, largest)[:, :k]
                np.testing.assert_array_equal(at.numpy(), want)
                np.testing.assert_array_equal(values.numpy().astype(np.float64), np.take_along_axis(x, want, 1).astype(np.float64))
    finally:
        emu.configure(seed=0)


def test_rising_rows_are_sorted_piece_by_piece_without_a_race():
    """Each piece of a rising row is better than all before; of a falling one none is."""
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    up = np.arange(4096, dtype=np.float32)
    with tg.lab.record(metrics=False) as report:
        at = tg.topk(tg.from_numpy(np.stack([up, up[::-1]])).to("emu"), 3).indices
    np.testing.assert_array_equal(at.numpy(), [[4095, 4094, 4093], [0, 1, 2]])
    assert [c.kernel for c in report.calls if c.op == "topk_pair"] == ["cuda/v00_bitonic"]
    assert report.races == []


def test_what_a_block_cannot_keep():
    x = tg.ones(1, 3000, device="emu")
    assert tg.topk(x, 1025)[1].shape == (1, 1025)
    with tg.kernels.use("topk_pair", "cuda/v00_bitonic"), pytest.raises(NoKernel, match="keeps at most 1024 entries"):
        tg.topk(x, 1025)
