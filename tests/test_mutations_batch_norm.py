"""Bugs planted in copies of the rungs of batch norm that products run on, and of their headers: does the emulator show them? What counts as
that is said in tests/planted.py.
"""
from __future__ import annotations

import numpy as np
import planted
import pytest
from planted import Call, Made, Preset

pytestmark = planted.pytestmark

# (rung or rung/header, what is wrong with it, the text, what stands in its place, which occurrence)
MUTANTS = [
    ("v02_channels_last", "steps past the chunk's end", "(STEP - 1) * LINES < last", "(STEP - 2) * LINES < last", 1),
    ("v02_channels_last", "the first row stays in the mean", "double(static_cast<A>(p.x[c])) + double(all.mean)", "double(all.mean)", 1),
    ("v02_channels_last", "one weight for a pack", "p.weight[c + k] : A(1)", "p.weight[c] : A(1)", 1),
    ("v02_channels_last/channels_last", "chunks of one size", "double(rows * (chunk + 1) / chunks - rows * chunk / chunks)",
     "double(rows / chunks)", 1),
    ("v02_channels_last/channels_last", "no barrier before the lines are merged", "__syncthreads();", "", 1),
    ("v02_channels_last/groups", "packs where they do not lie", "packed && device::aligned_16(p)", "packed", 1),
    ("v02_channels_last_backward", "the last chunk is not added", "j < lines;", "j < lines - 1;", 1),
    ("v02_channels_last_backward", "one mean for both", "means[s.C + (c + k) / s.per]", "means[(c + k) / s.per]", 1),
    ("v02_channels_last_backward", "the first sample's means for all", "(s.samples * s.chunks + s.sample())", "(s.samples * s.chunks)", 1),
    ("v02_channels_last_backward", "a group without its weights", "weight * partial[2 * line * s.C + c]", "partial[2 * line * s.C + c]", 1),
    ("v02_channels_last/channels_last", "a group of one chunk", "i < int64_t(s.per) * s.chunks", "i < int64_t(s.per)", 1),
    ("v02_channels_last/channels_last", "every sample has the first's channels", "sample() * rows + rows * (blockIdx.x % chunks) /",
     "rows * (blockIdx.x % chunks) /", 1),
    ("v02_channels_last/rows", "around each channel's first element", "x[(c + i) / per * per]", "x[c + i]", 1),
    ("v02_channels_last_backward", "a channel too many", "if (c >= s.C) return;", "if (c > s.C) return;", 1),
    ("v03_held/held", "what the first thread kept", "k < h.kept ? kept + int64_t(k)", "k < h.kept ? shared + int64_t(k)", 1),
    ("v03_held/held", "more is kept than there is room for", "if (k < h.kept) device::write", "device::write", 1),
    ("v03_held/held", "what was not kept is read as if it were", "k < h.kept ? kept", "true ? kept", 1),
    ("v03_held/held", "units past the segment's end", "if (u + i * h.lanes < stop) load", "if (true) load", 1),
    ("v03_held/held", "a channel's first slice for all", "i < h.slices; ++i) all", "i < 1; ++i) all", 1),
    ("v03_held/held", "the weight of a lone channel in its sums", "h.one_channel ? A(1) : weight", "weight", 1),
    ("v03_held/held", "every channel's sums for the first", "leave(channel + segment, item)", "leave(channel, item)", 1),
    ("v03_held/groups", "every other sample is added", "at += p.shape.C", "at += 2 * p.shape.C", 1),
    ("v03_held/held", "inference: the row after comes late", "if (left <= 0)", "if (left < 0)", 1),
    ("v03_held/groups", "packs where they do not lie", "packed && device::aligned_16(p)", "packed", 1),
    ("v04_cluster/held", "the blocks' sums are not merged", "device::cluster_reduce(value", "device::block_reduce(value", 1),
    ("v04_cluster/held", "every block has all units", "int(h.length * rank / blocks)", "0", 1),
    ("v04_cluster/held", "every block has the segments from the first", "int(h.segments * rank / blocks)", "0", 1),
    ("v04_cluster/held", "a channel's sums in two blocks", "whole = whole && !one_channel;", "whole = false;", 1),
    ("v05_channels_last_cluster", "columns past the last", "if (there) device::read<W>(v[0]", "device::read<W>(v[0]", 1),
    ("v05_channels_last_cluster", "a batch that is not whole is added whole", "if (count == STEP<1>) found", "if (count > 0) found", 1),
    ("v05_channels_last_cluster", "one group for a pack", "groups[(lane * W + i) / s.per]", "groups[lane * W / s.per]", 1),
    ("v05_channels_last_cluster/rows", "around each column's first element", "x[(c + i) / per * per]", "x[c + i]", 1),
    ("v05_channels_last_cluster/columns", "the first block's columns for all", "map_to_rank(&m.of_block[c], unsigned(r))",
     "map_to_rank(&m.of_block[c], 0u)", 1),
    ("v05_channels_last_cluster/columns", "the first sample for all", "start = s.sample() * s.rows, stop", "start = 0, stop", 1),
    ("v05_channels_last_cluster/columns", "a group's last column is left out", "i < s.per && g", "i < s.per - 1 && g", 1),
    ("v05_channels_last_cluster/columns", "groups of no whole packs", "int(std::lcm(per, int64_t(w)) / w)", "int((per + w - 1) / w)", 1),
    ("v05_channels_last_cluster_backward/columns", "groups of columns past the last", "C - first(w) < packs * w ? C - first(w)",
     "false ? 0", 1),
    ("v05_channels_last_cluster/columns", "no barrier before the warps are merged", "__syncthreads();", "", 1),
    ("v05_channels_last_cluster/columns", "blocks read what is not there yet",
     "    device::cluster_arrive();\n    device::cluster_wait();  // every", "    __syncthreads();  // every", 1),
    ("v05_channels_last_cluster/columns", "lines of a warp are not merged", "across < 32; across *= 2", "across < 16; across *= 2", 1),
    ("v05_channels_last_cluster_backward", "g where x was kept",
     "(int64_t(k) * 2 + 1) * blockDim.x * W);", "int64_t(k) * 2 * blockDim.x * W);", 1),
    ("v05_channels_last_cluster_backward", "the slope without the weight", "rstd[i] *= p.weight_of(c + i);", "", 1),
    ("v05_channels_last_cluster_backward", "sums of the group without weights", "weight * columns[column].dot", "columns[column].dot", 1),
]
# (N, C, S): packs and none, slices of segments, clusters, more than a block keeps
SHAPES = {"v02": [(5, 3, 7), (3, 8, 90), (40, 4, 1)], "v05": [(5, 3, 7), (3, 24, 90), (9, 8, 64), (2, 40, 33)],
          "v03": [(5, 3, 7), (6, 2, 512), (2, 3, 4400), (1, 1, 20000)], "v04": [(5, 3, 7), (6, 2, 512), (1, 1, 9000), (37, 1, 130)]}
SHIFTED = (4, 4, 8)  # whole packs, at no multiple of 16 bytes


def placed(x, shifted):
    """The values in memory of their own, which begins at a multiple of 16 bytes, or, `shifted`, at none."""
    room = np.zeros(x.size + 8, np.float32)
    first = -room.ctypes.data % 16 // 4 + shifted
    room[first:first + x.size] = x.reshape(-1)
    return room[first:first + x.size].reshape(x.shape)


def in_memory(a, rows):
    """(N, C, S) as a kernel takes it: itself, or rows of channels."""
    return a.transpose(0, 2, 1).reshape(-1, a.shape[1]) if rows else a


def moments(x, g, w, dims):
    """In float64: mean, rstd, xhat, and dx for the gradient g of xhat w, where w broadcasts."""
    x, g = x.astype(np.float64), g.astype(np.float64) * w
    mean, rstd = x.mean(dims, keepdims=True), 1 / np.sqrt(x.var(dims, keepdims=True) + 1e-5)
    xhat = (x - mean) * rstd
    return mean, rstd, xhat, rstd * (g - g.mean(dims, keepdims=True) - xhat * (g * xhat).mean(dims, keepdims=True))


def samples(shape):
    """x, g, weight, bias: floats around 1."""
    rng = np.random.default_rng(shape[0])
    return [rng.standard_normal(s).astype(np.float32) + 1 for s in (shape, shape, shape[1], shape[1])]


def call_of(label, op, path, arguments, wants):
    return Call(f"{op} {label}", op, path, arguments, wants, [1e-5 * np.linalg.norm(w) for w in wants])


def batches(path, forward, backward):
    """Of batch_norm, on planes or on rows as the rung takes them."""
    rung = path[:3]
    rows = rung in ("v02", "v05")
    for shape in [*SHAPES[rung], SHIFTED]:
        c = shape[1]
        x, g, w, b = samples(shape)
        mean, rstd, xhat, dx = moments(x, g, w[:, None], (0, 2))
        y, dweight, dbias = xhat * w[:, None] + b[:, None], (g * xhat).sum((0, 2)), g.sum((0, 2), np.float64)
        x, g, y, dx = (in_memory(a, rows) for a in (x, g, y, dx))
        x, g, mean, rstd = placed(x, shape == SHIFTED), placed(g, shape == SHIFTED), mean.reshape(c), rstd.reshape(c)
        space = [Made((3, 2, c), np.float32)] if rung == "v02" else []
        like, line, double = Made(x.shape, np.float32), Made((c,), np.float32), Made((c,), np.float64)
        if forward:
            yield call_of(shape, "batch_norm", path, [like, double, double, None, None, x, w, b, 1, 0.1, 1e-5, *space], [y, mean, rstd])
        if forward and rung != "v05":
            given = [like, Preset(mean), Preset(rstd), None, None, x, w, b, 0, 0.1, 1e-5, *space]
            yield call_of(f"inference {shape}", "batch_norm", path, given, [y, mean, rstd])
        if backward:
            yield call_of(shape, "batch_norm_backward", path, [like, line, line, g, x, w, mean, rstd, 1, *space], [dx, dweight, dbias])


def groups(path, forward, backward):
    """Of group_norm: a channel a team, slices of channels, one channel a group; rows of packs with several groups, of no whole packs."""
    rows, chunks = "channels_last" in path, path.startswith("v02")
    others = [((3, 48, 30), 3), ((2, 40, 33), 8)] if rows else [((3, 4, 1200), 2), ((2, 2, 600), 1)]
    for shape, per in [((2, 6, 7), 2), *others]:
        x, g, w, b = samples(shape)
        split = (shape[0], shape[1] // per, per, shape[2])
        mean, rstd, xhat, dx = moments(x.reshape(split), g.reshape(split), w.reshape(split[1:3])[..., None], (2, 3))
        mean, rstd, xhat, dx = mean.reshape(split[:2]), rstd.reshape(split[:2]), xhat.reshape(shape), dx.reshape(shape)
        y, dweight, dbias = xhat * w[:, None] + b[:, None], (g * xhat).sum((0, 2)), g.sum((0, 2), np.float64)
        x, g, y, dx = (placed(a, 0) if a.dtype == np.float32 else a for a in (in_memory(a, rows) for a in (x, g, y, dx)))
        like, line, double = Made(x.shape, np.float32), Made(shape[1:2], np.float32), Made(mean.shape, np.float64)
        space = [Made((3 * shape[0], 2, shape[1]), np.float32)] if chunks else []
        if forward:
            yield call_of(shape, "group_norm", path, [like, double, double, x, w, b, 1e-5, *space], [y, mean, rstd])
        if backward:
            given = [like, line, line, Made((2, *shape[:2]), np.float64), g, x, w, mean, rstd, *space]
            yield call_of(shape, "group_norm_backward", path, given, [dx, dweight, dbias])


def calls(rung):
    """Those of the kernels in a rung's file."""
    file = rung.split("/")[1]
    path = file.removesuffix("_backward")
    apart = "channels_last" in path  # forward and backward have a file each
    ways = (file == path, file != path or not apart)
    yield from batches(path, *ways)
    yield from groups(path, *ways)


def test_planted_bugs_are_caught(build):
    assert planted.missed(build, [(f"batch_norm/{rung}", *bug) for rung, *bug in MUTANTS], planted.texts_of, calls) == []


@pytest.mark.parametrize("rung", sorted({rung.split("/")[0] for rung, *_ in MUTANTS}))
def test_the_rungs_themselves_pass(build, rung):
    assert planted.examined(build(planted.texts_of(f"batch_norm/{rung}")), calls(f"batch_norm/{rung}")) == [None, None]
