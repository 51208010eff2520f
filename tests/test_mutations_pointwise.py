"""Bugs planted in copies of the element-wise template, of dropout and of rotary embeddings: does the emulator show them? What counts as
that is said in tests/planted.py.
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
    ("pointwise/chains", "the flag is not looked at", "if (flag) map_floats<bias_##op##_second>(",
     "if (false) map_floats<bias_##op##_second>(", 1),
    ("pointwise/chains", "the slope at x without its bias", "g * (first), const T x = a + b;", "g * (first), const T x = a;", 1),
    ("pointwise/chains/map", "the second result stays", "if constexpr (PAIR) store(z + at[N], second);", "", 1),
    ("pointwise/chains/map", "the second result as the first", "second = Out(more);", "second = first;", 1),
    ("pointwise/chains/map", "the tail of the second result", "apply<Out>(f, v, z[at[N] + k])", "apply<Out>(f, v, z[at[N]])", 1),
    ("dropout/v00_philox", "a row too many", "at < d.rows * d.run", "at <= d.rows * d.run", 1),
    ("dropout/v00_philox", "a word of the row before", "row % 4 == 2 ? words.z : words.w", "words.z", 1),
    ("dropout/v00_philox", "fours across rows", "d.run % 4 == 0 ?", "true ?", 1),
    ("dropout/v01_residual", "the bias is not there", "bias ? C(own.at[i]) + C(added.at[i]) : C(own.at[i])", "C(own.at[i])", 1),
    ("dropout/v01_residual", "the residual is dropped as well", "C(beside.at[i]) + d.of(sum, words[i])",
     "d.of(C(beside.at[i]) + sum, words[i])", 1),
    ("dropout/v01_residual", "fours that begin inside a row of the bias", "&& x.shape[1] % 4 == 0", "", 1),
    ("dropout/v01_residual", "an element too many", "if (at + i >= d.rows) break;", "", 1),
    ("dropout/v01_residual", "the bias runs on", "bias[(column + i) % n]", "bias[column]", 1),
    ("dropout/v01_residual", "the stream begins at its first block", "d.first_block + at / 4", "at / 4", 1),
    ("dropout/v00_philox", "the stream begins at its first block", "d.first_block + b", "b", 1),
    ("dropout/v00_philox/philox", "what is dropped is shifted like the rest", "keep ? plus : minus", "plus", 1),
    ("dropout/v00_philox", "four rows where fewer are left", "b * 4 + 4 <= d.rows", "b * 4 <= d.rows", 1),
    ("rotary_embedding/v00_pairs", "pairs of halves everywhere", "p.interleaved ? 1 : p.pairs", "p.pairs", 1),
    ("rotary_embedding/v00_pairs", "the angle of the first position", "int64_t(l) * p.pairs + pair", "pair", 1),
    ("rotary_embedding/v00_pairs/heads", "the second feature after the first has turned", "q = p * sin + q * cos;\n    p = turned;",
     "p = turned;\n    q = p * sin + q * cos;", 1),
    ("rotary_embedding/v01_heads/heads", "the heads of the first sequence in all", "h / H * steps[0]", "0", 1),
    ("rotary_embedding/v01_heads", "angles of the first pack for both", "(i ? p.pairs / 2 : 0)", "0", 1),
    ("rotary_embedding/v01_heads", "a head for each thread", "h += gridDim.y", "h += int64_t(1) << 40", 1),
    ("rotary_embedding/v01_heads", "packs at any address", "packed &= device::aligned_16(start)", "(void)start", 1),
    ("rotary_embedding/v01_heads", "positions that begin inside a pack", "packed &= step % V == 0", "(void)step", 1),
    ("rotary_embedding/v01_heads", "halves that are no whole packs", "bool packed = p.pairs % V == 0", "bool packed = true", 1),
    ("rotary_embedding/v01_heads", "inverse is not looked at", "sin[i] *= p.sign", "sin[i] *= 1", 1),
    ("rotary_embedding/v01_heads", "single pairs of halves everywhere", "single = V == 1 && p.interleaved", "single = false", 1),
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
    for shape, numbers in (((1030, 1), (0.7, 1.5, 0.0, 0.0)), ((17, 6), (0.4, 1.5, 0.25, -1.5)), ((17, 8), (0.4, 1.5, 0.0, 0.0))):
        x, want = np.random.default_rng(1).standard_normal(shape).astype(np.float32), np.empty(shape, np.float32)
        arguments = 12345, 2**32 - 2, round(numbers[0] * 2**32), *numbers[1:]
        on_cpu.call(want, x, *arguments)
        bound = 1e-6 * np.linalg.norm(want)
        yield Call(f"{shape}", "drop", rung, [Made(shape, np.float32), x, *arguments], [want.astype(np.float64)], [bound])


def references(op, rung, calls):
    """Calls of an op against its float64 reference: (arrays, numbers the kernel takes, arguments of the reference behind the arrays)."""
    for arrays, numbers, options in calls:
        want = dispatch._ops[op].reference(*(a if a is None else a.astype(np.float64) for a in arrays), *options)
        wants = list(want) if isinstance(want, tuple) else [want]
        bounds = [1e-5 * np.linalg.norm(w) for w in wants]
        made = [Made(w.shape, np.float32) for w in wants]
        yield Call(f"{op} {[a if a is None else a.shape for a in arrays]}", op, rung, [*made, *arrays, *numbers], wants, bounds)


def chained(rung):
    """Whole vectors and a tail, a row that repeats, rows of no whole vectors."""
    rng = np.random.default_rng(0)
    for shape, other in (((33, 67), (33, 67)), ((5, 8), (8,)), ((6, 7), (7,))):
        g, x, y = (rng.standard_normal(s).astype(np.float32) for s in (shape, shape, other))
        yield from references("swiglu_backward", rung, [((g, x, y), (), ())])
        yield from references("bias_gelu", rung, [((x, y), (0,), ()), ((x, y), (1,), ("tanh",))])
        yield from references("bias_gelu_backward", rung, [((g, x, y), (flag,), (flag,)) for flag in (0, 1)])


def drop_adds(rung):
    rng = np.random.default_rng(1)
    for shape, biased in (((9, 8), True), ((7, 6), True), ((3, 11), False), ((5, 7), True)):
        x, residual = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
        bias = rng.standard_normal(shape[1]).astype(np.float32) if biased else None
        state = 12345, 2**32 - 2
        yield from references("drop_add", rung, [((x, residual, bias), (*state, round(0.7 * 2**32), 1.5), (0.7, 1.5, state))])


def turned(rung):
    """More heads than groups of threads, odd pairs, heads side by side in memory, halves, addresses and steps of no whole packs."""
    rng = np.random.default_rng(2)
    line = rng.standard_normal(1000).astype(np.float32)
    for x in (line[:768].reshape(4, 3, 4, 16), line[:72].reshape(1, 3, 4, 6), line[:96].reshape(1, 2, 4, 12),
              line[:320].reshape(2, 5, 2, 16).transpose(0, 2, 1, 3), line[1:65].reshape(1, 1, 4, 16),
              line[:68].reshape(1, 1, 4, 17)[..., :16]):
        tables = rng.standard_normal((2, x.shape[2], x.shape[3] // 2)).astype(np.float32)
        yield from references("rotary_embedding", rung, [((x, *tables), flags, (0, *map(bool, flags))) for flags in ((0, 1), (1, 0))])


CALLS = {"pointwise/power": lambda: powers("vectorized"), "pointwise/chains": lambda: chained("vectorized"),
         "dropout/v00_philox": lambda: drops("v00_philox"), "dropout/v01_residual": lambda: drop_adds("v01_residual"),
         "rotary_embedding/v00_pairs": lambda: turned("v00_pairs"), "rotary_embedding/v01_heads": lambda: turned("v01_heads")}


def calls(rung):
    return CALLS["/".join(rung.split("/")[:2])]()


def test_planted_bugs_are_caught(build):
    assert planted.missed(build, MUTANTS, planted.texts_of, calls) == []


@pytest.mark.parametrize("rung", sorted(CALLS))
def test_the_rungs_themselves_pass(build, rung):
    assert planted.examined(build(planted.texts_of(rung)), calls(rung)) == [None, None]
