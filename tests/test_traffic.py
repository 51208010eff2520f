"""What the kernels that run by default move through memory, next to the least their op's `cost()` states: at most 1.1 times as much.

Counted by the lab, in two ways. What streams is held to its *requests*: whatever it fetches twice counts twice. What reuses tiles on
purpose (products, convolutions, attention, windows, the weights and statistics of norms) is held to its *footprint*: the distinct
sectors of each launch, so what one launch writes for the next one to read counts twice more. Softmax, norms, optimizers and indexing say
the same of themselves in the tests of their ladders, at shapes of their own.
"""
from __future__ import annotations

import warnings

import numpy as np
import pytest
from sampling import OPS, call, outputs, realise, rng_for

import tensorgrad as tg
from tensorgrad import dispatch

pytest.importorskip("tensorgrad._lab", exc_type=ImportError)

F = tg.nn.functional
WITH_KERNELS = [OPS[name] for name, kernels in sorted(dispatch.kernels_of("emu").items())
                if any(k.family == "cuda" for k in kernels.values())]


@pytest.mark.parametrize("op", WITH_KERNELS, ids=lambda op: op.name)
def test_an_op_with_kernels_states_its_cost(op):
    """Forward and backward, on the first case a kernel runs for: FLOPs and bytes, not less than what it must read."""
    for case in op.cases():
        if case.error is not None:
            continue
        args, kwargs = realise(case, rng_for(op, case), on_emu)
        with np.errstate(all="ignore"), warnings.catch_warnings(), tg.lab.record(races=False, check=False) as report:
            warnings.simplefilter("ignore")
            made = [y for y in outputs(call(op, args, kwargs)) if y.requires_grad]
            if made:
                tg.autograd.backward(made, [tg.ones_like(y) for y in made])
        if report.calls:
            assert [c.op for c in report.calls if c.least_bytes is None or c.flops is None] == []
            return


def on_emu(spec, array):
    floating = spec.dtype == "float"
    t = tg.tensor(array, dtype=tg.float32 if floating else None, device="emu")
    return t.requires_grad_() if spec.grad and floating else t


def normal(*shape, dtype="float32", grad=True):
    return tg.randn(*shape, device="emu").to(getattr(tg, dtype)).requires_grad_(grad)


def channels_last(x):
    return x.detach().permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2).requires_grad_()


STREAMS = {
    "add": lambda: normal(64, 256) + normal(64, 256),
    "gelu": lambda: F.gelu(normal(64, 256)),
    "relu bfloat16": lambda: F.relu(normal(64, 256, dtype="bfloat16")),
    "swiglu": lambda: F.swiglu(normal(64, 256), normal(64, 256)),
    "dropout": lambda: F.dropout(normal(64, 256), 0.5),
    "dropout2d": lambda: F.dropout2d(normal(4, 16, 16, 16), 0.5),
    "dropout_add": lambda: F.dropout_add(normal(64, 256), normal(64, 256), None, 0.5),
    "softmax": lambda: F.softmax(normal(16, 1024), -1),
    "log_softmax bfloat16": lambda: F.log_softmax(normal(16, 1024, dtype="bfloat16"), -1),
    "cross_entropy": lambda: F.cross_entropy(normal(32, 1000), tg.randint(0, 1000, (32,), device="emu")),
    "sum": lambda: normal(128, 1024).sum(1),
    "batch_norm": lambda: F.batch_norm(normal(4, 32, 16, 16), None, None, training=True),
    "batch_norm bfloat16": lambda: F.batch_norm(normal(4, 32, 16, 16, dtype="bfloat16"), None, None, training=True),
    "batch_norm of large channels": lambda: F.batch_norm(normal(2, 2, 80, 64), None, None, training=True),
    "batch_norm, inference": lambda: F.batch_norm(normal(4, 32, 16, 16), tg.zeros(32, device="emu"), tg.ones(32, device="emu")),
    "group_norm": lambda: F.group_norm(normal(4, 32, 16, 16), 8),
    "instance_norm": lambda: F.instance_norm(normal(4, 16, 16, 16)),
    "local_response_norm": lambda: F.local_response_norm(normal(2, 16, 8, 16), 5),
}
TILES = {
    "matmul": lambda: normal(128, 256) @ normal(256, 128),
    "matmul bfloat16": lambda: normal(256, 256, dtype="bfloat16") @ normal(256, 256, dtype="bfloat16"),
    "linear + gelu": lambda: F.linear(normal(128, 256, dtype="float16"), normal(256, 256, dtype="float16"), normal(256, dtype="float16")),
    "conv2d": lambda: F.conv2d(normal(2, 16, 16, 16), normal(32, 16, 3, 3), padding=1),
    "conv2d channels-last float16": lambda: F.conv2d(channels_last(normal(8, 16, 32, 32, dtype="float16")),
                                                     channels_last(normal(16, 16, 3, 3, dtype="float16")), padding=1),
    "max_pool2d": lambda: F.max_pool2d(channels_last(normal(2, 32, 16, 16)), 2),
    "max_pool2d, overlapping": lambda: F.max_pool2d(channels_last(normal(2, 32, 16, 16)), 3, 2, 1),
    "softmax over columns": lambda: F.softmax(normal(2, 32, 256), 1),
    "avg_pool2d": lambda: F.avg_pool2d(channels_last(normal(2, 32, 16, 16)), 2),
    "batch_norm with parameters": lambda: F.batch_norm(normal(4, 32, 16, 16), None, None, normal(32), normal(32), training=True),
    "batch_norm channels-last": lambda: F.batch_norm(channels_last(normal(4, 32, 16, 16)), None, None, normal(32), training=True),
    "batch_norm channels-last float16": lambda: F.batch_norm(channels_last(normal(8, 64, 8, 8, dtype="float16")), None, None,
                                                             training=True),
    "group_norm with parameters": lambda: F.group_norm(normal(4, 32, 32, 16), 8, normal(32), normal(32)),
    "instance_norm with parameters": lambda: F.instance_norm(normal(4, 16, 32, 16), weight=normal(16), bias=normal(16)),
    "group_norm channels-last": lambda: F.group_norm(channels_last(normal(4, 32, 32, 16)), 8, normal(32), normal(32)),
    "group_norm channels-last float16": lambda: F.group_norm(channels_last(normal(4, 128, 16, 16, dtype="float16")), 32),
    "instance_norm channels-last": lambda: F.instance_norm(channels_last(normal(4, 32, 32, 16)), weight=normal(32), bias=normal(32)),
    "bias_gelu": lambda: F.bias_gelu(normal(64, 256), normal(256)),
    "bias_gelu bfloat16": lambda: F.bias_gelu(normal(64, 256, dtype="bfloat16"), normal(256, dtype="bfloat16"), approximate="tanh"),
    "dropout_add with a bias": lambda: F.dropout_add(normal(64, 256), normal(64, 256), normal(256), 0.5),
    "attention": lambda: F.scaled_dot_product_attention(*(normal(1, 2, 128, 64) for _ in range(3)), is_causal=True),
    "attention with dropout": lambda: F.scaled_dot_product_attention(*(normal(1, 2, 128, 64) for _ in range(3)), dropout_p=0.1),
    "attention bfloat16": lambda: F.scaled_dot_product_attention(*(normal(1, 2, 128, 64, dtype="bfloat16") for _ in range(3))),
}


# Both are bound by arithmetic, not by memory. Attention goes backward in two passes, dK with dV and then dQ: each fetches the operands,
# so that no sum needs an atomic. The gradient of weights is summed in up to 16 parts, written and added up in order, which is much next to
# the small image here.
ALLOWED = {"attention_backward": 1.7, "conv2d_weight_grad": 1.6}


def excess(report, measure):
    """The calls that move more than 1.1 times the least, in words."""
    out = []
    for made in report.calls:
        totals = tg.lab.Report([made]).totals
        if totals[measure] is None or totals[measure] > ALLOWED.get(made.op, 1.1):
            out.append(f"{made.op} {made.kernel} {made.arguments}: {totals[measure]} times the least, {made.least_bytes}")
    return out


@pytest.mark.parametrize("which", [*STREAMS, *TILES])
def test_a_default_kernel_moves_the_least(which):
    tg.manual_seed(0)
    measure, step = ("traffic_to_least", STREAMS[which]) if which in STREAMS else ("footprint_to_least", TILES[which])
    with tg.lab.record(races=False, check=False) as report:
        y = step()
    with tg.lab.record(races=False, check=False) as back:
        y.backward(y.detach())
    assert report.calls
    assert excess(report, measure) + excess(back, measure) == []
