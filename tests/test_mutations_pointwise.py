"""Bugs planted in copies of the element-wise template and of dropout: does the emulator show them? What counts as that is said in
tests/planted.py.
"""
from __future__ import annotations

import numpy as np
import planted
import pytest
from planted import Call, Made

from tensorgrad import dispatch

pytestmark = planted.pytestmark

# (rung/header, what is wrong with it, the text, what stands in its place, which occurrence)
MUTANTS = [
    ("pointwise/power/map", "the last vector is taken for a whole one", "VEC > 1 && item == g.items", "false", 1),
    ("pointwise/power/map", "the last vector is left out", "g.items + (VEC > 1 && g.left ? 1 : 0)", "g.items", 1),
    ("pointwise/power/map", "an operand that does not move is read as vectors", "VEC > 1 && g.step[g.ndim - 1][j] != 0", "VEC > 1", 1),
    ("pointwise/power/map", "vectors at any address", "if (reinterpret_cast<uintptr_t>(l.data[j]) %", "if (0 *", 1),
    ("pointwise/power/map", "rows that begin inside a vector", "if (l.step[d][j] % VEC) return false;", ";", 1),
    ("pointwise/power/map", "dims of one move", "own < 0 || arrays[j]->shape[own] == 1 ? 0 :", "own < 0 ? 0 :", 1),
    ("pointwise/power/map", "dims merge where the last operand's do", "merges = merges && l.step", "merges = l.step", 1),
    ("pointwise/power/map", "a number is read as the arrays are", "IS_HALF<S> && g.in_float[j]", "false", 1),
    ("dropout/v00_philox", "a row too many", "row < d.rows && j < d.run", "j < d.run", 1),
    ("dropout/v00_philox", "a round too few", "round < 10", "round < 9", 1),
    ("dropout/v00_philox", "the stream begins at its first block", "d.first_block + b", "b", 1),
    ("dropout/v00_philox", "what is dropped is shifted like the rest", "keep ? plus : minus", "plus", 1),
    ("dropout/v00_philox", "four rows where fewer are left", "b * 4 + 4 <= d.rows", "b * 4 <= d.rows", 1),
]


def powers(rung):
    """x^y: whole vectors and a tail, rows, columns and numbers that repeat, rows of no whole vectors, other layouts, half precision."""
    def ordinary(*shape):
        return rng.uniform(0.5, 2, shape).astype(np.float32)

    rng = np.random.default_rng(0)
    line = ordinary(2200)
    pairs = [(ordinary(33, 65), ordinary(33, 65)), (ordinary(5, 8), ordinary(8)), (ordinary(5, 8), ordinary(5, 1)),
             (ordinary(6, 7), ordinary(7)), (ordinary(7, 12)[:, :8], ordinary(7, 8)), (ordinary(6, 10)[:, :8], ordinary(6, 8)),
             (line[1:2101], line[2:2102]),
             (ordinary(3, 8, 5).transpose(0, 2, 1), ordinary(3, 5, 8)), (ordinary(515), np.full((), 1.7, np.float32)),
             (ordinary(515).astype(np.float16), np.full((), 1.7, np.float32))]
    for x, y in pairs:
        want = x.astype(np.float64) ** y
        bound = np.linalg.norm(want) * (1e-6 if x.dtype == np.float32 else 1e-3)
        yield Call(f"{x.dtype} {x.shape} {y.shape}", "pow", rung, [Made(want.shape, x.dtype), x, y], [want], [bound])


def drops(rung):
    """Against the bits of the CPU kernel."""
    on_cpu = dispatch.kernels_of("cpu")["drop"]["cpu/philox"]
    for shape, numbers in (((1030, 1), (0.7, 1.5, 0.0, 0.0)), ((17, 6), (0.4, 1.5, 0.25, -1.5))):
        x, want = np.random.default_rng(1).standard_normal(shape).astype(np.float32), np.empty(shape, np.float32)
        arguments = 12345, 2**32 - 2, round(numbers[0] * 2**32), *numbers[1:]
        on_cpu.call(want, x, *arguments)
        bound = 1e-6 * np.linalg.norm(want)
        yield Call(f"{shape}", "drop", rung, [Made(shape, np.float32), x, *arguments], [want.astype(np.float64)], [bound])


def calls(rung):
    return powers("vectorized") if rung.startswith("pointwise") else drops("v00_philox")


def test_planted_bugs_are_caught(build):
    assert planted.missed(build, MUTANTS, planted.texts_of, calls) == []


@pytest.mark.parametrize("rung", ["pointwise/power", "dropout/v00_philox"])
def test_the_rungs_themselves_pass(build, rung):
    assert planted.examined(build(planted.texts_of(rung)), calls(rung)) == [None, None]
