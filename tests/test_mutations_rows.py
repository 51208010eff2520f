"""Bugs planted in copies of the rungs of the row-wise ladders, softmax, cross-entropy, layer norm, batch norm, recurrent cells, and of
those of lists and indices, optimizers, clipping, indexed access, topk: does the emulator show them? What counts as that is said in
tests/planted.py.
"""
from __future__ import annotations

import numpy as np
import planted
import pytest
from planted import Call, Made, Preset

from tensorgrad import dispatch
from tensorgrad.ops.shared.indexing import pieces_of, runs_of
from tensorgrad.ops.shared.rows import sliced

pytestmark = planted.pytestmark

# (rung, what is wrong with it, the text, what stands in its place, which occurrence)
MUTANTS = [
    ("softmax/v00_thread_per_row", "a row too many", "row >= r.rows", "row > r.rows", 1),
    ("softmax/v00_thread_per_row", "the maximum leaves out the last element", "i < r.n; ++i) top", "i < r.n - 1; ++i) top", 1),
    ("softmax/v01_warp_per_row", "the lanes' sums are not merged", "device::warp_reduce(sum, device::Sum<A>{})", "sum", 1),
    ("softmax/v02_block_per_row", "the warps' sums are not merged", "block_reduce(sum, A(0),", "warp_reduce(sum,", 1),
    ("softmax/v02_block_per_row", "the warps' maxima are not merged", "block_reduce(top, LOWEST<A>,", "warp_reduce(top,", 1),
    ("softmax/v03_online", "rows longer than the registers", "r.n <= N * ROW", "r.n <= 2 * N * ROW", 1),
    ("softmax/v03_online", "loads past the row's end", "if (index(p, 0) >= r.n) continue;", "", 1),
    ("softmax/v05_cluster", "the blocks' sums are not merged", "device::cluster_reduce(stats", "device::block_reduce(stats", 1),
    ("softmax/v05_cluster", "what another thread kept", "(a, kept + (i - own.first))", "(a, kept + (i ^ W) - own.first)", 1),
    ("cross_entropy/v02_cluster", "the blocks' sums are not merged", "device::cluster_reduce(sums", "device::block_reduce(sums", 1),
    ("softmax/v04_columns", "no barrier before the warps' parts are read", "__syncthreads();", "", 1),
    ("softmax/v04_columns", "a column too many", "row < r.rows", "row <= r.rows", 1),
    ("cross_entropy/v00_thread_per_position", "ignored positions have a gradient", "counts ? gradient(", "true ? gradient(", 1),
    ("cross_entropy/v01_online", "the weights' sum is a lane's", "weights = sum_of_row<ROW>(weights);", "", 2),
    ("layer_norm/v00_two_pass", "the first element stays in the sum", "(x[i]) - shift;", "(x[i]);", 1),
    ("layer_norm/v01_welford", "no barrier before the lines' parts are read", "__syncthreads();", "", 1),
    ("layer_norm/v01_welford", "rows counted twice", "row += LINES", "row += LINES - 1", 1),
    ("layer_norm/v01_welford", "one weight for a pack", "result(v[k], i + k)", "result(v[k], i)", 1),
    ("layer_norm/v02_persistent", "no barrier before the lines are added", "__syncthreads();", "", 1),
    ("layer_norm/v02_persistent", "blocks take each other's rows", "row += int64_t(gridDim.x) * LINES", "row += int64_t(gridDim.x)", 1),
    ("layer_norm/v02_persistent", "loads past the row's end", "if (index(p, 0) < n) device::load", "device::load", 1),
    ("batch_norm/v00_two_pass", "the variance is not around the mean", "- shift) - mean;", "- shift);", 1),
    ("batch_norm/v01_welford", "steps past the group's end", "(STEP - 1) * THREADS < p", "(STEP - 2) * THREADS < p", 1),
    ("rnn/v00_step", "a unit too many", "i >= p.rows * p.H", "i > p.rows * p.H", 1),
    ("rnn/v00_step", "one gate's place for all", "p.gh + (row * G + k)", "p.gh + (row * G)", 1),
    ("rnn/v00_step", "what came back is forgotten", "if (p.dh) device::read", "if (!p.dh) device::read", 1),
    ("rnn/v00_step", "the cell's gradient is not handed on", "if constexpr (CARRIES) device::write<N>(p.carry + i, carry);", "", 1),
    ("optimizer/v00_per_parameter", "an element too many", "if (i < n)", "if (i <= n)", 1),
    ("optimizer/v01_multi_tensor", "the elements behind the last pack are left", "for (int i = packs * V + int(threadIdx.x)",
     "for (int i = chunk.length + int(threadIdx.x)", 1),
    ("optimizer/v01_multi_tensor", "a pack too many", "? chunk.length / V : 0", "? chunk.length / V + 1 : 0", 1),
    ("optimizer/v01_multi_tensor", "the state of the first chunk", "static_cast<S*>(table.at[3 + j][e]) + chunk.begin",
     "static_cast<S*>(table.at[3 + j][e])", 1),
    ("optimizer/v01_multi_tensor", "the state is not written", "if (at.s[j]) store<V>", "if (at.s[j] && j == 0) store<V>", 1),
    ("optimizer/clip", "a warp's sum for the block's", "device::block_reduce(sum, 0.0, merge);\n    if (threadIdx.x == 0) parts",
     "device::warp_reduce(sum, merge);\n    if (threadIdx.x == 0) parts", 1),
    ("optimizer/clip", "the second table's sums over the first's", "done += blocks;", "done = blocks;", 1),
    ("optimizer/clip", "packs where they do not lie", "table.packed[chunk.entry] ? chunk.length", "true ? chunk.length", 1),
    ("indexing/v00_scan", "what was there is forgotten", "adds ? widened", "!adds ? widened", 1),
    ("indexing/v01_sorted", "an entry of the next place", "runs.bound[at.whole + 1];", "runs.bound[at.whole + 1] + 1;", 1),
    ("indexing/v01_sorted", "the place of the run's number", "e.to[runs.order[first]]", "at.whole", 1),
    ("indexing/v01_sorted", "entries as they lie", "sum += e.term(runs.order[q], at.rest)", "sum += e.term(q, at.rest)", 1),
    ("indexing/v02_pieces", "the first piece for the run", "j < merge.first + merge.count", "j < merge.first + 1", 1),
    ("indexing/v02_pieces", "a piece without its last entry", "q < piece.end", "q < piece.end - 1", 1),
    ("indexing/v02_pieces", "the pieces of the first place for all", "j = merge.first;", "j = 0;", 1),
    ("indexing/pick", "a row too many", "i < rows * pieces", "i <= rows * pieces", 1),
    ("indexing/pick", "pieces wider than the row", "places % 16 == 0", "places % 4 == 0", 1),
    ("topk/v00_bitonic", "no barrier between the rounds", "__syncthreads();", "", 1),
    ("topk/v00_bitonic", "equal entries as they come", "less == more ? place < b.place", "less == more ? false", 1),
    ("topk/v00_bitonic", "no piece is better", "better || entry.before(entries[k - 1], largest)", "better", 1),
    ("indexing/row_dots", "lanes are not merged", "sum = device::warp_reduce(sum, device::Sum<Sum<T>>{});", "", 1),
    ("batch_norm/v01_welford/groups", "every group has the first one's weights", "group * per % C + i / S", "i / S", 1),
    ("batch_norm/v01_welford/groups", "the statistics of another group", "(s.C / s.per) + c / s.per", "(s.C / s.per) + c % s.per", 1),
    ("batch_norm/v01_welford/groups", "the sum of a warp for the block's", "block_reduce(dweight, A(0),", "warp_reduce(dweight,", 1),
    ("batch_norm/v01_welford/groups", "the mean of the gradient stays", "v -= sums.total / n + p.xhat", "v -= p.xhat", 1),
    ("batch_norm/v01_welford", "the warps' sums are not merged", "block_reduce(s, Pair<A>{A(0), A(0)}, AddPairs{})",
     "warp_reduce(s, AddPairs{})", 1),
]


# A ladder's calls: (label, op, outputs, inputs, what the first outputs should be, tolerance). Outputs are given by shape and dtype.


def softmaxes(rung):
    for shape, dim in (((5, 72), 1), ((3, 37), 1), ((33, 6), 0), ((2, 7, 5), 1), ((2, 1030), 1), ((1, 9001), 1)):
        x = np.random.default_rng(shape[0]).standard_normal(shape).astype(np.float32)
        x.reshape(-1)[-1] = 200.0  # so that a wrong maximum overflows
        op = dispatch._ops["softmax"]
        yield f"{shape} dim {dim}", "softmax", [x], [x, *sliced(shape, dim)], [op.reference(x.astype(np.float64), dim)], 1e-5
        g, y = x / 200, np.abs(x) / 200
        want = dispatch._ops["softmax_backward"].reference(g.astype(np.float64), y.astype(np.float64), dim)
        yield f"backward {shape} dim {dim}", "softmax_backward", [x], [g, y, *sliced(shape, dim)], [want], 1e-5


def cross_entropies(rung):
    for n, classes, inner in ((9, 37, 1), (3, 1100, 1), (2, 5, 7)):
        rng = np.random.default_rng(n)
        x, w, g = (rng.standard_normal(s).astype(np.float32) for s in ((n, classes, inner), classes, (n, inner)))
        t, s = rng.integers(0, classes, (n, inner)), 0.2
        t[0, 0] = -100
        wide, kept, w = x.astype(np.float64), (t != -100)[:, None], np.abs(w)
        top = wide.max(1)
        log_sum = np.log(np.exp(wide - top[:, None]).sum(1))
        logp = wide - (top + log_sum)[:, None]
        q = kept * ((1 - s) * (np.arange(classes)[:, None] == t[:, None]) * w[:, None] + s / classes * w[:, None])  # (n, classes, inner)
        tail = (n, classes, inner, -100, s)
        yield f"{x.shape}", "cross_entropy_labels", [g, g, g], [x, t, w, *tail], [-(q * logp).sum(1), top, log_sum], 1e-5
        if rung.endswith("v02_cluster"):  # forward, and both ways in one
            continue
        want = g[:, None] * (np.exp(logp) * q.sum(1, keepdims=True) - q)
        stats = [top.astype(np.float32), log_sum.astype(np.float32)]
        yield f"backward {x.shape}", "cross_entropy_labels_backward", [x], [g, x, t, w, *stats, *tail], [want], 1e-5


def norms(rung, ops, shapes, dims):
    """layer_norm or batch_norm, forward and backward: they differ in the dims of their statistics and in what else they are told."""
    for shape in shapes:
        rng = np.random.default_rng(shape[0])
        x, g = (rng.standard_normal(shape).astype(np.float32) + 1 for _ in range(2))
        axis = 1 if len(shape) == 3 else -1
        w, b = (rng.standard_normal(shape[axis]).astype(np.float32) for _ in range(2))
        line, others = (-1, 1) if len(shape) == 3 else (-1,), (0, 2) if len(shape) == 3 else (0,)
        mean, var = x.mean(dims, np.float64), x.var(dims, np.float64)
        rstd = 1 / np.sqrt(var + 1e-5)
        xhat = (x - np.expand_dims(mean, dims)) * np.expand_dims(rstd, dims)
        more = [] if len(shape) == 2 else [None, None]
        tail = [1e-5] if len(shape) == 2 else [1, 0.1, 1e-5]
        yield f"{shape}", ops[0], [x, mean, rstd, *more], [x, w, b, *tail], [xhat * w.reshape(line) + b.reshape(line), mean, rstd], 1e-5
        gw = g * w.reshape(line)
        dx = np.expand_dims(rstd, dims) * (gw - gw.mean(dims, keepdims=True) - xhat * (gw * xhat).mean(dims, keepdims=True))
        space, last = ([np.empty((3, 2, shape[1]))], []) if len(shape) == 2 else ([], [1])
        want = [dx, (g * xhat).sum(others), g.sum(others, np.float64)]
        yield f"backward {shape}", ops[1], [x, w, b, *space], [g, x, w, mean, rstd, *last], want, 1e-5


def group_norms(rung):
    for shape, groups in (((2, 6, 7), 3), ((2, 4, 150), 2)):
        rng = np.random.default_rng(groups)
        x, g = (rng.standard_normal(shape).astype(np.float32) + 1 for _ in range(2))
        w, b = (rng.standard_normal(shape[1]).astype(np.float32) for _ in range(2))
        split = x.astype(np.float64).reshape(shape[0], groups, -1)
        mean, rstd = split.mean(2), 1 / np.sqrt(split.var(2) + 1e-5)
        xhat, gw = (split - mean[..., None]) * rstd[..., None], (g * w[:, None].astype(np.float64)).reshape(split.shape)
        dx = rstd[..., None] * (gw - gw.mean(2, keepdims=True) - xhat * (gw * xhat).mean(2, keepdims=True))
        xhat = xhat.reshape(shape)
        yield f"{shape}", "group_norm", [x, mean, rstd], [x, w, b, 1e-5], [xhat * w[:, None] + b[:, None], mean, rstd], 1e-5
        want = [dx.reshape(shape), (g * xhat).sum((0, 2)), g.sum((0, 2), np.float64)]
        yield f"backward {shape}", "group_norm_backward", [x, w, b, np.empty((2, *shape[:2]))], [g, x, w, mean, rstd], want, 1e-5


def cells(rung):
    """A step of an lstm, against the formulas."""
    for rows, hidden in ((3, 5), (4, 16), (40, 8)):
        rng = np.random.default_rng(rows)
        gx, gh, dh_c = (rng.standard_normal((rows, n * hidden)).astype(np.float32) for n in (4, 4, 3))
        dy, dh, carry = np.split(dh_c, 3, 1)
        before, c_before = rng.standard_normal((2, rows, hidden)).astype(np.float32)
        i, f, g, o = np.split((gx.astype(np.float64) + gh), 4, 1)
        i, f, o, g = *(1 / (1 + np.exp(-v)) for v in (i, f, o)), np.tanh(g)
        c = f * c_before + i * g
        t, kept = np.tanh(c), np.concatenate([i, f, g, o], 1)
        state = np.empty((rows, hidden), np.float32)
        yield f"{rows}x{hidden}", "recurrence", [state, state, gx], [gx, gh, before, c_before, 2], [o * t, c, kept], 1e-5
        d = dy + dh.astype(np.float64)
        dc = carry + d * o * (1 - t * t)
        want = np.concatenate([dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g * g), d * t * o * (1 - o)], 1)
        arrays = [np.ascontiguousarray(a, np.float32) for a in (dy, dh, kept, o * t, before, c, c_before)]
        yield (f"backward {rows}x{hidden}", "recurrence_backward", [gx, None, Preset(carry)], [*arrays, 2], [want, None, dc * f], 1e-5)


def steps(rung):
    """Parameters that end within a pack and at the end of one, within a chunk and behind one; for the norm also where no pack may start."""
    rng = np.random.default_rng(0)
    sizes = ((5, 1), (4101, 0), (63, 1), (64, 0), (8201, 0))  # and how far from a multiple of 16 bytes they begin
    p, g, m, v = ([rng.uniform(0.5, 1, n + off).astype(np.float32)[off:] for n, off in sizes] for _ in range(4))
    wide = [[x.astype(np.float64) for x in xs] for xs in (p, g, m, v)]
    if rung.endswith("clip"):
        norm = np.sqrt(sum((x**2).sum() for x in wide[0]))
        many = [x[:1] for x in p] * 60  # more than a table has
        for arrays, chunks in ((p, 6), (many, 300)):
            want = np.sqrt(sum((x.astype(np.float64) ** 2).sum() for x in arrays))
            yield f"norm of {len(arrays)}", "total_norm", [np.float32(0) * p[0][0], np.empty(chunks)], [arrays, 2.0], [want, None], 1e-6
        yield "to norm", "clip_to_norm_", [[*map(Preset, p)]], [np.array(norm, np.float32), 0.5], [[x * 0.5 / norm for x in wide[0]]], 1e-5
        return
    op, (own, slope, first, second) = dispatch._ops["adadelta_step"], ([*map(Preset, x)] for x in (p, g, m, v))
    squares = [0.8 * s + 0.2 * (d + 0.1 * x) ** 2 for x, d, s in zip(*wide[:3], strict=True)]
    want = [op.reference(*wide, 0.7, 0.8, 1e-3, 0.1), None, None, squares]
    deltas = [0.8 * d + 0.2 * ((x - y) / 0.7) ** 2 for x, y, d in zip(wide[0], want[0], wide[3], strict=True)]
    yield "adadelta", "adadelta_step", [own, None, slope, first, second], [0.7, 0.8, 1e-3, 0.1, 0, 0], [*want, deltas], 1e-5


def indices(rung):
    rng = np.random.default_rng(0)
    for rows, count, columns in ((7, 40, 3), (5, 9, 96), (40, 30, 17), (5, 500, 6)):
        table, source = (rng.uniform(0.5, 1, (n, columns)).astype(np.float32) for n in (rows, count))
        to = rng.integers(rows // 2, rows, count)  # the first half of the rows has no entries
        shape = f"{rows}, {count} x {columns}"
        if rung.endswith("pick"):
            yield shape, "embedding", [source], [table, to], [table[to]], 0.0
            continue
        if rung.endswith("row_dots"):
            want = [(source.astype(np.float64) * table[to]).sum(1)]
            yield shape, "row_dots", [source[:, 0]], [source, table, np.arange(count), to], want, 1e-6
            continue
        want = table.astype(np.float64)
        np.add.at(want, to, source.astype(np.float64))
        order, bounds = runs_of(to, np)
        pieces = pieces_of(bounds, to[order[bounds[:-1]]], columns, np) if rung.endswith("v02_pieces") else ()
        yield shape, "accumulate", [Preset(table)], [to, source, order, bounds, *pieces], [want], 1e-6


def largest(rung):
    for n, k in ((37, 5), (2300, 9)):
        x = np.random.default_rng(0).integers(0, n // 2, (2, n)).astype(np.float32)
        at = np.argsort(-x, 1, kind="stable")[:, :k]
        values = np.take_along_axis(x, at, 1)
        yield f"{k} of {n}", "topk_pair", [values, at], [x, k, 1], [values, at], 0.0


CALLS = {"topk": largest, "optimizer": steps, "indexing": indices, "rnn": cells, "softmax": softmaxes, "cross_entropy": cross_entropies,
         "layer_norm": lambda rung: norms(rung, ("layer_norm", "norm_backward"), [(33, 12), (5, 37), (3, 1100)], (1,)),
         "batch_norm": lambda rung: [*norms(rung, ("batch_norm", "batch_norm_backward"), [(5, 3, 7), (3, 2, 650), (40, 4, 1)], (0, 2)),
                                      *group_norms(rung)]}


def flat(outputs, want):
    """What each array is to hold that is written, or None: some come in lists, and a workspace may follow."""
    for o, w in zip(outputs, want, strict=False):
        if isinstance(o, list):
            yield from w or [None] * len(o)
        elif o is not None:
            yield w


def calls(rung):
    family, name, *_ = rung.split("/")
    for label, op, outputs, inputs, want, tolerance in CALLS[family](rung):
        made = [Made(o.shape, o.dtype) if hasattr(o, "dtype") else o for o in outputs]
        wants = list(flat(outputs, want))
        bounds = [None if w is None else tolerance * (np.linalg.norm(w) or 1) for w in wants]
        yield Call(label, op, name, [*made, *inputs], wants, bounds)


def test_planted_bugs_are_caught(build):
    assert planted.missed(build, MUTANTS, planted.texts_of, calls) == []


@pytest.mark.parametrize("rung", sorted({"/".join(m[0].split("/")[:2]) for m in MUTANTS}))
def test_the_rungs_themselves_pass(build, rung):
    assert planted.examined(build(planted.texts_of(rung)), calls(rung)) == [None, None]
