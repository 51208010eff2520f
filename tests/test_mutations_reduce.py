"""Bugs planted in copies of the reductions: does the emulator show them? What counts as that is said in tests/planted.py."""
from __future__ import annotations

import numpy as np
import planted
import pytest
from planted import Call, Made

from tensorgrad.ops.shared.reduction import WORKSPACE

pytestmark = planted.pytestmark

# (rung, or rung/header, what is wrong with it, the text, what stands in its place, which occurrence)
MUTANTS = [
    ("v00_thread_per_output", "one element too few", "i < p.inner.count", "i + 1 < p.inner.count", 1),
    ("v00_thread_per_output", "a result too many", "o >= p.outer.count", "o > p.outer.count", 1),
    ("v00_thread_per_output/operations", "zero is below everything", "if (place == ~0u || (nan", "if ((nan", 1),
    ("v00_thread_per_output/operations", "the last of equals", "x == best && i < place", "x == best && i > place", 1),
    ("v00_thread_per_output/operations", "NaN is like any other", "nan ? !was_nan || i < place : !was_nan && (", "(", 1),
    ("v00_thread_per_output/operations", "all is false from the start", "int value = EVERY;", "int value = 0;", 1),
    ("v00_thread_per_output/problem", "the first dimension's step for all", "i % shape[d] * step[d]", "i % shape[d] * step[0]", 1),
    ("v01_block_tree", "no barrier between the rounds", "__syncthreads();", "", 1),
    ("v01_block_tree", "the last round is left out", "half > 0", "half > 1", 1),
    ("v01_block_tree", "a state too many", "t < half", "t <= half", 1),
    ("v02_warp_shuffle/warp_shuffle", "half a warp", "int lanes = 16", "int lanes = 8", 1),
    ("v02_warp_shuffle/warp_shuffle", "no barrier before the warps' states are read", "__syncthreads();", "", 1),
    ("v02_warp_shuffle/warp_shuffle", "no barrier before the columns' states are read", "__syncthreads();", "", 2),
    ("v02_warp_shuffle/warp_shuffle", "vectors at any address", "off ? range.first + VEC - off : range.first", "range.first", 1),
    ("v02_warp_shuffle/warp_shuffle", "the last element is left out", "VEC + t; i < range.last", "VEC + t; i + 1 < range.last", 1),
    ("v02_warp_shuffle/warp_shuffle", "the parts overlap", "first + each : count", "first + each + 1 : count", 1),
    ("v02_warp_shuffle/warp_shuffle", "all parts in one place", "[o * parts + part] = state", "[o * parts] = state", 1),
    ("v02_warp_shuffle/operations", "how far the means are apart is forgotten", "o.squares + off * off * count * share", "o.squares", 1),
]
# shape, the dim that goes: short and long rows, columns, dims that do not merge, parts of a row
PROBLEMS = [((5, 61), 1), ((2, 515), 1), ((65, 37), 0), ((3, 4, 5), 1), ((1, 17001), 1)]


def texts(rung, *bug):
    """The text of a rung and its headers, without the integers; the choices of v00, the sums of the others."""
    rung, _, header = rung.partition("/")
    found = planted.texts_of(f"reduce/{rung}/operations")
    file = f"{header}.h" if header else f"{rung}.cu"
    found[file] = planted.mutated(found[file], *bug)
    found["operations.h"] = found["operations.h"].replace("else pointwise::by_integer<true>(dtype, op, go);", "")
    lines = found[f"{rung}.cu"].splitlines(keepends=True)
    unused = "TG_SUMS" if rung.startswith("v00") else "TG_CHOICES"
    return found | {f"{rung}.cu": "".join(line for line in lines if not line.startswith(unused))}


def calls(rung):
    rung = rung.partition("/")[0]
    for shape, dim in PROBLEMS:
        x = np.random.default_rng(shape[-1]).integers(-9, 9, shape).astype(np.float32)  # sums of these are exact
        wide, n = x.astype(np.float64), shape[dim]
        y = Made(tuple(1 if d == dim else k for d, k in enumerate(shape)), np.float32)
        room = Made((WORKSPACE,), np.float64) if x.size > 10_000 else None
        if rung.startswith("v00"):
            yield from choices(rung, x if n > 100 else x - 20, dim, y)
            continue
        mean, var = wide.mean(dim, keepdims=True), wide.var(dim, keepdims=True)
        yield Call(f"sum {shape}", "sum", rung, [y, x, room], [wide.sum(dim, keepdims=True)], [0])
        yield Call(f"mean {shape}", "mean", rung, [y, x, room, float(n)], [mean], [1e-6 * np.linalg.norm(mean)])
        yield Call(f"var {shape}", "var", rung, [y, x, room, float(n)], [var], [1e-6 * np.linalg.norm(var)])


def choices(rung, x, dim, y):
    x.reshape(-1)[x.size // 2] = np.nan
    wide, place, truth = x.astype(np.float64), Made(y.shape, np.int64), Made(y.shape, np.uint8)
    for op, best, where in (("max_along", np.max, np.argmax), ("min_along", np.min, np.argmin)):
        wants = [f(wide, dim, keepdims=True) for f in (best, where)]
        yield Call(f"{op} {x.shape}", op, rung, [y, place, x, None], wants, [0, 0])
    yield Call(f"all {x.shape}", "all", rung, [truth, x, None], [x.all(dim, keepdims=True).astype(float)], [0])


def test_planted_bugs_are_caught(build):
    assert planted.missed(build, MUTANTS, texts, calls) == []


@pytest.mark.parametrize("rung", sorted({m[0].partition("/")[0] for m in MUTANTS}))
def test_the_rungs_themselves_pass(build, rung):
    assert planted.examined(build(texts(rung)), calls(rung)) == [None, None]
