"""Every op that has CUDA kernels, on the emulator: each rung on the op's own cases, forward in each of its dtypes and backward.

Nothing here names an op: a kernel in `csrc/cuda` is tested by being there. Cases of the op whose choice of kernels another follows
(its `group`) are run on the rungs of both, and backward kernels are reached through the gradients of the op they serve.
`TRITON_INTERPRET=1 pytest tests/test_emu_ops.py` does the same with the Triton kernels, in Triton's interpreter.
"""
from __future__ import annotations

import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from sampling import OPS, call, outputs, realise, relative_error, rng_for, tensors_in

import tensorgrad as tg
from tensorgrad import dispatch, triton
from tensorgrad.cases import T
from tensorgrad.errors import NoKernel

pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}  # those of tests/test_ops.py
CHIP = {"tf32": 2e-3}  # rungs whose name says that they round their inputs


FAMILY = "triton" if triton.INTERPRETED else "cuda"
KERNELS = [(OPS[name], k) for name, kernels in sorted(dispatch.kernels_of("emu").items()) for k in kernels.values() if k.family == FAMILY]


def _runs():
    """(op, case, kernel) for every rung and case it may serve."""
    for op, kernel in KERNELS:
        for served in [op] + ([OPS[op.group]] if op.group in OPS else []):
            yield from ((served, case, kernel) for case in served.cases() if case.error is None)


def floating(case):
    """Whether the case leaves its dtype open."""
    return next((a.dtype for a in case.args if isinstance(a, T)), "float") == "float"


def run_id(a):
    return a.path if isinstance(a, dispatch.Kernel) else getattr(a, "name", repr(a))


RUNS = [r for r in _runs() if floating(r[1])]
CHECKED = [(*r, dtype) for r in RUNS for dtype in sorted(r[2].dtypes & set(TOLERANCE))
           if type(r[0]).reference.__qualname__ != "Op.reference"]


def on(device, case, rng, dtype, grad=False):
    """The arguments of a case as tensors on a device, floating ones in `dtype`."""

    def make(spec, array):
        t = tg.tensor(array, dtype=getattr(tg, dtype) if spec.dtype == "float" else None, device=device)
        return t.requires_grad_() if grad and spec.grad and spec.dtype == "float" else t

    return realise(case, rng, make)


def plain(a):
    """The argument as a reference takes it."""
    if isinstance(a, tg.Tensor):
        return a.numpy().astype(np.float64) if a.dtype.is_floating_point else a.numpy()
    return [plain(x) for x in a] if isinstance(a, list) else a


def tolerance(kernel, dtype):
    return max([TOLERANCE[dtype], *[t for mark, t in CHIP.items() if kernel.path.endswith(mark)]])


@contextmanager
def unless_refused():
    """A rung may say that it is not made for a case, a memory layout for example; its ladder's test runs it on what it is made for."""
    try:
        yield
    except NoKernel as refused:
        pytest.skip(str(refused))


@pytest.mark.parametrize(("op", "case", "kernel", "dtype"), CHECKED, ids=run_id)
def test_a_rung_matches_the_reference(op, case, kernel, dtype):
    args, kwargs = on("emu", case, rng_for(op, case), dtype)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = op.reference(*map(plain, args), **{k: plain(v) for k, v in kwargs.items()})
    with tg.kernels.use("*", kernel.path), unless_refused():
        got = outputs(call(op, args, kwargs))
    want = list(want) if isinstance(want, (tuple, list)) else [want]
    assert len(got) == len(want)
    for g, w in zip(got, map(np.asarray, want), strict=True):
        assert g.device.type == "emu"
        assert g.numpy().shape == w.shape
        if w.dtype == np.float64:
            with np.errstate(over="ignore"):
                w = w.astype(g.numpy().dtype)  # what a dtype cannot hold is infinity in it
        error = relative_error(g.numpy(), w)
        assert error <= tolerance(kernel, dtype), f"relative error {error:.3g}"


def gradients(device, op, case, dtype):
    """The gradients of a weighted sum of the results."""
    args, kwargs = on(device, case, rng_for(op, case), dtype, grad=True)
    leaves = [t for t in tensors_in(args, kwargs) if t.requires_grad]
    rng, total = np.random.default_rng(0), None
    for out in outputs(call(op, args, kwargs)):
        if out.requires_grad:
            part = (out * tg.tensor(rng.uniform(0.5, 1, tuple(out.shape)), dtype=out.dtype, device=device)).sum()
            total = part if total is None else total + part
    if total is not None:
        total.backward()
    return [None if t.grad is None else t.grad.numpy() for t in leaves]


@pytest.mark.parametrize(("op", "case", "kernel"), [r for r in RUNS if r[0].differentiable], ids=run_id)
def test_gradients_are_those_of_cpu(op, case, kernel):
    dtype = next((d for d in TOLERANCE if d in kernel.dtypes), None)
    if dtype is None:
        pytest.skip(f"{kernel.path} has no floating dtype")
    want = gradients("cpu", op, case, dtype)
    if not want:
        pytest.skip("no differentiable input in this case")
    with tg.kernels.use("*", kernel.path), unless_refused():
        got = gradients("emu", op, case, dtype)
    for g, w in zip(got, want, strict=True):
        assert (g is None) == (w is None)
        if g is not None:  # what cancels is judged against the gradient that came in, which is about 1
            error = relative_error(g, w) * min(1.0, float(np.linalg.norm(np.nan_to_num(np.asarray(w, np.float64)))) or 1.0)
            assert error <= tolerance(kernel, dtype), f"relative error {error:.3g}"


WRONG = sorted({(op.name, repr(case)): (op, case) for op, _ in KERNELS for case in op.cases() if case.error is not None}.items())


@pytest.mark.parametrize("key", range(len(WRONG)), ids=lambda i: " ".join(WRONG[i][0]))
def test_wrong_calls_are_refused_in_the_same_words(key):
    op, case = WRONG[key][1]
    said = []
    for device in ("cpu", "emu"):
        args, kwargs = on(device, case, rng_for(op, case), "float32")
        with pytest.raises(case.error[0]) as caught:
            call(op, args, kwargs)
        assert case.error[1] in str(caught.value)
        said.append(str(caught.value).replace(f"on {device}", "on the device"))
    if case.error[0] is not NotImplementedError:  # which names the device's kernels
        assert said[0] == said[1]
