"""linear_cross_entropy in several chunks: equal to linear followed by cross_entropy, in bounded memory, on every rung without races."""
from __future__ import annotations

import json
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import dispatch, workspace
from tensorgrad.nn import functional as F
from tensorgrad.ops.linear_cross_entropy_backward import rows_at_a_time

NUMPY = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
TOLERANCE = {"float32": 1e-5, "float64": 1e-13, "float16": 4e-3, "bfloat16": 3e-2}  # those of tests/test_ops.py
OPTIONS = [{}, {"reduction": "sum", "label_smoothing": 0.1}, {"reduction": "none"}, {"ignore_index": 3, "label_smoothing": 0.2}]


@pytest.fixture
def small(monkeypatch):
    """A workspace of 1.6 kB: a part of the rows of scores."""
    monkeypatch.setattr(workspace, "_limit", 1600)


def made(name, device, shape=(23, 5, 37), seed=0):
    """(leaves input, weight and bias; labels) of a call."""
    n, features, classes = shape
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(s).astype(NUMPY[name]) for s in ((n, features), (classes, features), classes)]
    labels = rng.integers(0, classes, n)
    labels[1:4] = 3
    return [tg.tensor(a, device=device).requires_grad_() for a in arrays], tg.tensor(labels, device=device)


def results(loss, leaves):
    """The loss and the gradients of its weighted sum."""
    weights = np.linspace(0.5, 1.5, max(loss.numel(), 1)).reshape(tuple(loss.shape))
    (loss * tg.tensor(weights, dtype=loss.dtype, device=loss.device)).sum().backward()
    return [t.numpy().astype(np.float64) for t in (loss.detach(), *[leaf.grad for leaf in leaves])]


def check(name, device, options, shape=(23, 5, 37), seed=0):
    """Against linear and cross_entropy in float64 on the processor, of the same rounded numbers."""
    leaves, labels = made(name, device, shape, seed)
    got = results(F.linear_cross_entropy(leaves[0], leaves[1], labels, linear_bias=leaves[2], **options), leaves)
    wide = [tg.tensor(t.detach().numpy().astype(np.float64)).requires_grad_() for t in leaves]
    want = results(F.cross_entropy(F.linear(*wide), tg.tensor(labels.numpy()), **options), wide)
    for a, b in zip(got, want, strict=True):
        error = np.linalg.norm(a - b) / np.linalg.norm(b)
        assert error <= TOLERANCE[name], f"{name} on {device}, {options}: relative error {error:.3g}"


@pytest.mark.parametrize("name", sorted(NUMPY))
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_chunks_make_no_difference(name, options, small):
    assert rows_at_a_time(23, 37 * np.dtype(NUMPY[name]).itemsize) < 23
    check(name, "cpu", options)


def test_whole_tiles():
    assert rows_at_a_time(1000, 1 << 18) == 256
    assert rows_at_a_time(1000, 190 << 10) == 256
    assert rows_at_a_time(1000, 1 << 20) == 64
    assert rows_at_a_time(1000, 1 << 30) == 1
    assert rows_at_a_time(1000, 4) == 1000


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_second_derivatives_in_chunks(reduction, small):
    leaves, labels = made("float64", "cpu", (5, 2, 60))

    def f(x, w, b):
        return F.linear_cross_entropy(x, w, labels, linear_bias=b, reduction=reduction, label_smoothing=0.1)

    assert tg.autograd.gradcheck(f, leaves)
    assert tg.autograd.gradgradcheck(f, leaves)


def test_gradients_of_one_input_alone(small):
    leaves, labels = made("float32", "cpu")
    whole = results(F.linear_cross_entropy(leaves[0], leaves[1], labels, linear_bias=leaves[2]), leaves)
    for i in range(3):
        alone = [t.detach() for t in leaves]
        alone[i].requires_grad_()
        F.linear_cross_entropy(alone[0], alone[1], labels, linear_bias=alone[2]).backward()
        np.testing.assert_allclose(alone[i].grad.numpy(), whole[i + 1] / 0.5, rtol=1e-5, atol=1e-8)


def paths():
    table = dispatch.kernels_of("emu")["linear_cross_entropy"]
    return sorted(path for path in table if table[path].family == "cuda")


emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)


@pytest.fixture(params=[(0, False), (1, True), (2, False)], ids=lambda p: f"seed{p[0]}-{'eager' if p[1] else 'lazy'}")
def order(request):
    emu.configure(seed=request.param[0], eager=request.param[1])
    yield request.param
    emu.configure(seed=0, eager=False)


@pytest.mark.parametrize("path", paths())
@pytest.mark.parametrize("name", sorted(NUMPY))
def test_rungs(path, name, order, small):
    with tg.kernels.use("linear_cross_entropy", path):
        for options in OPTIONS:
            check(name, "emu", options, seed=order[0])
        check(name, "emu", {"label_smoothing": 0.1}, (3, 4, 1100), order[0])  # a block for each row


@pytest.mark.parametrize("path", paths())
def test_free_of_races(path, order, small):
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    with tg.kernels.use("linear_cross_entropy", path), tg.lab.record(metrics=False, check=False) as report:
        for shape in ((9, 3, 70), (2, 3, 1100)):
            leaves, labels = made("float32", "emu", shape)
            F.linear_cross_entropy(leaves[0], leaves[1], labels, linear_bias=leaves[2], label_smoothing=0.1).backward()
    kernels = {launch.kernel for call in report.calls for launch in call.launches}
    assert any("cross_entropy_" in kernel for kernel in kernels)
    assert report.races == []


SCRIPT = """
import json, re
import numpy as np
import tensorgrad as tg
from tensorgrad.nn import functional as F

def status(field):
    return int(re.search(field + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

def step(x, w, t):
    loss = F.linear_cross_entropy(x, w, t)
    loss.backward()
    return loss

rng = np.random.default_rng(0)
tg.set_workspace_limit(4 << 20)
step(tg.ones(130, 16).requires_grad_(), tg.ones(300, 16).requires_grad_(), tg.zeros(130, dtype=tg.int64))
x = tg.from_numpy(rng.standard_normal((8192, 16), np.float32)).requires_grad_()
w = tg.from_numpy(rng.standard_normal((8192, 16), np.float32)).requires_grad_()
t = tg.from_numpy(rng.integers(0, 8192, 8192))
open("/proc/self/clear_refs", "w").write("5")  # the peak starts again from what is in use
before = status("VmRSS")
step(x, w, t)
print(json.dumps({"extra": status("VmHWM") - before, "scores": 8192 * 8192 * 4}))
"""


def test_peak_memory():
    """8192 positions, 8192 classes: scores of 256 MB are never there; a chunk of 4 MB and what the products need are."""
    try:
        open("/proc/self/clear_refs", "w").close()
    except OSError:
        pytest.skip("this system does not tell the peak of a part of a process")
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["extra"] <= found["scores"] / 8, f"{found['extra'] / 2**20:.0f} MB"
