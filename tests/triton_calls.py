"""Calls of the Triton kernels: what is compiled ahead of time, launched on the stub driver and held to a budget.

By op, or by op and rung where a rung takes more. Arrays here are NumPy's memory with an address where CuPy keeps it. A call is written as
the op's kernels take it; T stands for the rung's dtype.
"""
from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np

T = object()


class GpuArray(np.ndarray):
    """A NumPy array that shows its address as CuPy's do."""

    @property
    def data(self):
        return SimpleNamespace(ptr=self.__array_interface__["data"][0])


def array(*shape, dtype=T, offset=0):
    """An array of a call: made when its dtype is known. `offset` in elements from where memory is aligned."""
    return lambda kind: aligned(shape, kind if dtype is T else np.dtype(dtype), offset)


def aligned(shape, dtype, offset=0):
    """An array that starts at a multiple of 512 bytes, as CuPy's do, or `offset` elements later."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + 1024 + offset * np.dtype(dtype).itemsize, np.uint8)
    start = -memory.__array_interface__["data"][0] % 512 + offset * np.dtype(dtype).itemsize
    return memory[start:start + size].view(dtype).reshape(shape).view(GpuArray)


def made(call, dtype):
    """The arguments of a call for a rung's dtype."""
    return [a(np.dtype(dtype)) if callable(a) else a for a in call]


class FunctionOfArrays(Exception):
    """Asked of an array that has none."""


class Quick:
    """An array whose attributes are as quick to get as those of CuPy's, and without functions: for timing."""

    def __init__(self, memory):
        self.memory, self.data = memory, memory.data
        self.shape, self.strides, self.dtype = memory.shape, memory.strides, memory.dtype
        self.ndim, self.itemsize, self.size = memory.ndim, memory.itemsize, memory.size

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        raise FunctionOfArrays

    def __getattr__(self, name):
        raise FunctionOfArrays(name)


def cost(run, enough=0.0, calls=50, batches=100):
    """Seconds of a call: the least of many batches, for the machine may be busy; no more of them once it is as little as `enough`."""
    best = float("inf")
    for _ in range(batches):
        start = time.perf_counter()
        for _ in range(calls):
            run()
        best = min(best, (time.perf_counter() - start) / calls)
        if best <= enough:
            break
    return best


ROWS, LONG, COLUMNS = (64, 1000, 1), (4, 20000, 1), (2, 100, 50)


def _rows(inputs, *sizes):
    return [[*[array(outer, n, inner)] * (1 + inputs), outer, n, inner] for outer, n, inner in sizes]


def turned(*shape):
    """A matrix by columns: the other way around in memory."""
    return lambda kind: array(*shape[::-1])(kind).T


M, N, K = 512, 384, 256
PRODUCT = [array(M, N), array(M, K), array(K, N)]
AFTER = [array(M, N), array(N), 0.5, 2.0, 2]
PARTS = array(4, M * N, dtype=np.float32)
PRODUCTS = [PRODUCT, [array(M, N), turned(M, K), turned(K, N)]]
RAGGED = [array(2, 3, 100, 70), array(2, 1, 100, 50), array(3, 50, 70)]


def wide(*shape):
    """Statistics, in float64."""
    return array(*shape, dtype=np.float64)


NORMED = [(64, 1000), (4, 20000)]


KEPT = 0, 0, 2**32, 1.0  # no dropout: the seed, the first block, the bound of words, the factor
DROPPED = 5, 7, 2**31, 2.0


def attention(d, causal, masked=False, dropout=KEPT):
    """The arguments of attention with 4 heads on 2 of keys: forward."""
    mask = [array(2, 4, 150, 200, dtype=np.bool_)] if masked else [None]
    q, k = (2, 4, 150, d), (2, 2, 200, d)
    return [array(*q), wide32(2, 4, 150), array(*q), array(*k), array(*k), *mask, causal, 0.125, *dropout]


def attention_backward(d, causal, dropout=KEPT):
    """The same backward."""
    q, k = (2, 4, 150, d), (2, 2, 200, d)
    arrays = [array(*shape) for shape in (q, q, k, k, q)]
    return [array(*q), array(*k), array(*k), wide32(100000), *arrays, wide32(2, 4, 150), None, causal, 0.125, *dropout]


def decoding(d, causal):
    """A query for each of 8 heads on 2 of keys, which 4 programs share."""
    q, k = (2, 8, 1, d), (2, 2, 1000, d)
    return [array(*q), wide32(2, 8, 1), array(*q), array(*k), array(*k), None, causal, 0.125, wide32(4, 16, d + 2)]


def wide32(*shape):
    """Statistics of halves."""
    return array(*shape, dtype=np.float32)


def numbers(*shape):
    """Indices, labels."""
    return array(*shape, dtype=np.int64)


LABELLED = [(64, 1000, 1), (4, 50304, 1), (2, 100, 50)]  # positions, classes, and positions beside each other in memory


def labelled(outer, n, inner, arrays, smoothing):
    """Cross-entropy, `arrays` of numbers of positions to write or to read around the scores."""
    lead, after = arrays
    stats = [wide32(outer, inner)] * after
    return [*lead(outer, n, inner), array(outer, n, inner), numbers(outer, inner), array(n), *stats, outer, n, inner, -100, smoothing]


def losses(outer, n, inner):
    """What forward writes: the loss and two statistics of each position."""
    return [wide32(outer, inner)] * 3


def of_losses(outer, n, inner):
    """What is before the scores backward: their gradient, and the losses'."""
    return [array(outer, n, inner), wide32(outer, inner)]


FUSED = [[wide32(500), array(500, 768), array(5000, 768), array(5000), numbers(500), None, -100, 0.1, wide32(4, 5, 500)]]
WORDS = [0x9ABCDEF01234567, 5, 3 << 30]  # a seed, a block of its stream, the limit of words that keep
HIDDEN = array(64, 768)


def images(n, c, h, w):
    """Images whose channels lie last."""
    return lambda kind: array(n, h, w, c)(kind).transpose(0, 3, 1, 2)


def conv2d(cin, cout, kernel, stride, padding, groups=1, size=30, of=images, over=(), room=4):
    """(output, input, weight, bias, memory to work in, options) of a convolution; `over`: what conv2d_fused takes more; `room`: memory
    for so many weights."""
    out = (size + 2 * padding - kernel) // stride + 1
    weight = (cout, cin // groups, kernel, kernel)
    return [of(2, cout, out, out), of(2, cin, size, size), of(*weight), array(cout), wide32(int(np.prod(weight)) * room),
            stride, stride, padding, padding, 1, 1, groups, *over]


def input_grad(*args, **named):
    """The same for the gradient of the input, (dx, gy, weight, memory, options)."""
    y, x, w, _, scratch, *options = conv2d(*args, **named)
    return [x, y, w, scratch, *options]


def weight_grad(*args, **named):
    """The same for the gradient of the weight, (dw, gy, x, memory, options)."""
    y, x, w, _, scratch, *options = conv2d(*args, **named)
    return [lambda kind: np.ascontiguousarray(w(kind)).view(GpuArray), y, x, scratch, *options]


def indices(of, *shape):
    """Places in planes, or tables of windows."""
    *shape, dtype = shape if isinstance(shape[-1], type) else (*shape, np.int64)
    return lambda kind: of(*shape)(np.dtype(dtype))


def pooled(given):
    """A call of a kernel that makes images of 14 x 14 with the channels last."""
    return [[images(2, 64, 14, 14), *given]]


PLANES, IMAGES = [(8, 32, 1000), (4, 32, 4000)], [(4, 32, 300), (4, 24, 50)]  # (N, C, S): planes, images whose channels come last


def normed(x, c, around, *after):
    """Of the forward pass of a norm of channels: `around` between the result and the input, then what follows the parameters."""
    return [array(*x), wide(c), wide(c), *around, array(*x), array(c), array(c), *after]


def normed_backward(x, c, partial, *after):
    """The same backward."""
    return [array(*x), array(c), array(c), *partial, array(*x), array(*x), array(c), wide(c), wide(c), *after]


def sums(c):
    """Memory for partial sums, a line for each of three chunks and one for all."""
    return wide32(4, 2, c)


SIZES = (5000, 31, 4096)


def several(kind):
    """Arrays of one call."""
    return [array(n)(kind) for n in SIZES]


def place(kind):
    """What puts a table into memory: it is there."""
    memory = Quick(aligned((16, 16), np.int64))
    return lambda table: memory


def steps(states, *numbers, missing=(0,), alone=True):
    """Of the step of an optimizer for some parameters, `alone` and with masters, without so many of the last states; then what puts the
    numbers where a graph's launch finds them."""
    def each(of):
        return several if of is array else lambda kind: [of(n)(kind) for n in SIZES]

    calls = []
    for m in missing:
        for kept, master in ((each(array), None), (each(wide32), each(wide32)))[not alone:]:
            calls.append([each(array), master, each(array), *[kept] * (states - m), *[None] * m, *numbers, 0, place])
    return [*calls, [each(array), None, None, *[each(array)] * states, *numbers, 1 << 20, place]]


CALLS = {
    "batch_norm": [normed(x, x[1], (array(x[1]), array(x[1])), t, 0.1, 1e-5) for x in PLANES for t in (1, 0)],
    "batch_norm v02_channels_last": [normed((n * s, c), c, (array(c), array(c)), t, 0.1, 1e-5, sums(c))
                                     for n, c, s in IMAGES for t in (1, 0)],
    "batch_norm_backward": [normed_backward(x, x[1], (), t) for x in PLANES for t in (1, 0)],
    "batch_norm_backward v02_channels_last": [normed_backward((n * s, c), c, (), t, sums(c)) for n, c, s in IMAGES for t in (1, 0)],
    "group_norm": [[array(*x), wide(x[0], g), wide(x[0], g), array(*x), array(32), array(32), 1e-5]
                   for x, g in (*zip(PLANES, (8, 8), strict=True), ((4, 32, 1), 32))],
    "group_norm v02_channels_last": [[array(n * s, c), wide(n, 8), wide(n, 8), array(n * s, c), array(c), array(c), 1e-5]
                                     for n, c, s in IMAGES],
    "group_norm_backward": [[array(*x), array(32), array(32), wide(2, x[0], 32), array(*x), array(*x), array(32), *[wide(x[0], 8)] * 2]
                            for x in PLANES],
    "group_norm_backward v02_channels_last": [[array(n * s, c), array(c), array(c), wide(2, n, c), array(n * s, c), array(n * s, c),
                                               array(c), wide(n, 8), wide(n, 8)] for n, c, s in IMAGES],
    "cross_entropy_labels": [labelled(*sizes, (losses, 0), s) for sizes, s in zip(LABELLED, (0.0, 0.1, 0.1), strict=True)],
    "cross_entropy_labels_backward": [labelled(*sizes, (of_losses, 2), s) for sizes, s in zip(LABELLED, (0.0, 0.1, 0.1), strict=True)],
    "linear_cross_entropy": [[array(64, n), wide32(64), None, numbers(64), None, -100, s, 1]
                             for n, s in ((1000, 0.0), (8192, 0.1), (50304, 0.1))],
    **{f"linear_cross_entropy {path}": FUSED for path in ("v03_fused_linear", "v04_fused_tensor_core", "v04_fused_tensor_core_tf32")},
    "drop": [[array(1 << 16, 1), array(1 << 16, 1), *WORDS, 2.0, 0.0, 0.0], [array(64, 3136), array(64, 3136), *WORDS, 2.0, 0.5, -0.5]],
    "drop_add": [[HIDDEN, HIDDEN, HIDDEN, array(768), *WORDS, 2.0]],
    "bias_gelu": [[HIDDEN, HIDDEN, array(768), 0], [HIDDEN, HIDDEN, array(768), 1]],
    "bias_gelu_backward": [[HIDDEN, HIDDEN, HIDDEN, array(768), tanh] for tanh in (0, 1)],
    "swiglu": [[HIDDEN] * 3],
    "swiglu_backward": [[HIDDEN] * 5, [array(2, 64, 50), array(2, 64, 50), array(2, 64, 50), array(2, 64, 50), array(64, 1)]],
    "embedding": [[array(64, 768), array(500, 768), numbers(64)]],
    "add_rows": [[array(500, 768), numbers(501), numbers(64), array(64, 768), None, numbers(64), None]],
    "add_rows v02_pieces": [[array(500, 768), numbers(501), numbers(64), array(64, 768), numbers(64), numbers(64), array(64), wide(3, 768),
                             numbers(600, 4), numbers(1, 3)]],
    "bag_max": [[array(500, 768), numbers(500, 768), numbers(501), numbers(64), array(64, 768), numbers(64), numbers(64)]],
    "rotary_embedding": [[array(2, 4, 100, 64), array(2, 4, 100, 64), wide32(100, 32), wide32(100, 32), turned, 0] for turned in (0, 1)],
    "row_dots": [[array(64), array(500, 768), array(500, 768), numbers(64), numbers(64)]],
    "conv2d": [conv2d(64, 128, 3, 1, 1)],
    "conv2d depthwise": [conv2d(32, 32, 3, 1, 1, 32)],
    "conv2d v03_tensor_core": [conv2d(64, 128, 1, 2, 0), conv2d(3, 64, 7, 2, 3, size=31, of=array)],
    "conv2d v01_im2col": [conv2d(16, 32, 3, 1, 1, size=10, room=9)],
    "conv2d_fused": [conv2d(64, 128, 3, 1, 1, over=[wide32(128), wide32(128), images(2, 128, 30, 30), 1])],
    "conv2d_input_grad": [input_grad(64, 128, 3, 1, 1)],
    "conv2d_input_grad depthwise": [input_grad(32, 32, 3, 2, 1, 32)],
    "conv2d_input_grad v01_im2col": [input_grad(16, 32, 3, 1, 1, size=10, room=9)],
    "conv2d_weight_grad": [weight_grad(64, 128, 3, 1, 1)],
    "conv2d_weight_grad depthwise": [weight_grad(32, 32, 3, 1, 1, 32)],
    "conv2d_weight_grad v01_im2col": [weight_grad(16, 32, 3, 1, 1, size=10, room=9)],
    "conv2d_weight_grad v03_tensor_core": [weight_grad(64, 128, 3, 1, 1), weight_grad(3, 64, 7, 2, 3, size=31, of=array)],
    "max_pool2d": pooled([indices(images, 2, 64, 14, 14), images(2, 64, 29, 29), 3, 3, 2, 2, 1, 1, 1, 1]),
    "adaptive_max_pool2d": pooled([indices(images, 2, 64, 14, 14), images(2, 64, 29, 29), *[indices(array, 14)] * 4]),
    "pool_scatter": [[images(2, 64, 29, 29), images(2, 64, 14, 14), indices(images, 2, 64, 14, 14, np.int32), *[indices(array, 29)] * 4]],
    "pool_gather": pooled([images(2, 64, 29, 29), indices(images, 2, 64, 14, 14)]),
    "resample": pooled([images(2, 64, 29, 29), *[indices(array, 15), indices(array, 28), wide(28)] * 2]),
    "attention": [attention(64, 0), attention(128, 1), attention(64, 0, masked=True), attention(64, 1, dropout=DROPPED)],
    "attention decode": [decoding(64, 0), decoding(128, 1)],
    "attention_backward": [attention_backward(64, 0), attention_backward(128, 1), attention_backward(64, 1, dropout=DROPPED)],
    "attention_backward v01_flash": [attention_backward(64, 0), attention_backward(64, 1, dropout=DROPPED)],
    "grouped_mm": [[array(300, 256), array(300, 128), array(3, 128, 256), array(3, dtype=np.int32)],
                   [array(3, 128, 256), array(128, 300), array(300, 256), array(3, dtype=np.int32)]],
    "layer_norm": [[array(r, n), wide(r), wide(r), array(r, n), array(n), array(n), 1e-5] for r, n in NORMED],
    "rms_norm": [[array(r, n), wide(r), array(r, n), array(n), 1e-5] for r, n in NORMED],
    "norm_backward": [[array(r, n), array(n), array(n), wide(3, 2, n), array(r, n), array(r, n), array(n), wide(r), wide(r)]
                      for r, n in NORMED],
    "matmul": PRODUCTS,
    "matmul v07_double_buffered": [*PRODUCTS, RAGGED],
    "gemm": [[*PRODUCT, *AFTER]],
    "matmul split_k": [[*PRODUCT, PARTS]],
    "gemm split_k": [[*PRODUCT, *AFTER, PARTS]],
    "sgd_step": steps(1, 0.1, 0.9, 0.0, 0.01, 1, 0, 0, missing=(0, 1)),
    "adam_step": steps(3, 0.01, 0.5, 0.9, 0.999, 1e-8, 0.0, 0.999, 0, missing=(0, 1)),
    "rmsprop_step": steps(3, 0.01, 0.9, 1e-8, 0.01, 0.9, 0, missing=(0, 2), alone=False),
    "adagrad_step": steps(1, 0.1, 1e-8, 0.01, 0, alone=False),
    "adadelta_step": steps(2, 1.0, 0.9, 1e-6, 0.01, 0, alone=False),
    "adamax_step": steps(2, 0.01, 0.9, 0.99, 1e-8, 0.0, 0, alone=False),
    "nadam_step": steps(2, 0.01, 0.02, 0.5, 0.9, 0.99, 1e-8, 0.0, 0.999, 0, alone=False),
    "radam_step": steps(2, 0.01, 0.9, 0.99, 1e-8, 0.0, 0.999, 1, 0, alone=False),
    "rprop_step": steps(2, 0.5, 1.2, 1e-6, 50.0, 0, alone=False),
    "asgd_step": steps(1, 0.01, 0.999, 1.0, 0.0, 0, alone=False),
    "total_norm": [[array(), wide(3), several, p, place] for p in (2.0, 1.0, float("inf"), 3.0)],
    "clip_to_norm_": [[several, array(), 1.0, place]],
    "clip_to_value_": [[several, 1.0, place]],
    "softmax": _rows(1, ROWS, LONG, COLUMNS),
    "log_softmax": _rows(1, ROWS, LONG, COLUMNS),
    "softmax_backward": _rows(2, ROWS, LONG, COLUMNS),
    "log_softmax_backward": _rows(2, ROWS, LONG, COLUMNS),
}


def calls_of(op, path):
    """Those of a rung."""
    return CALLS.get(f"{op} {path.partition('/')[2]}") or CALLS[op]
