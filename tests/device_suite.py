"""The ops' own cases on a device other than cpu: values against the reference, gradients against those of cpu, errors word for word.

`tests/test_emu_ops.py` asks the emulator, `tests/test_cuda_ops.py` the double of CuPy, `tests/test_gpu_ops.py` a GPU.
"""
from __future__ import annotations

import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from sampling import OPS, call, outputs, realise, relative_error, rng_for, tensors_in

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.cases import T
from tensorgrad.errors import NoKernel

TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}  # those of tests/test_ops.py
CHIP = {"tf32": 2e-3}  # rungs whose name says that they round their inputs


def has_reference(op):
    return type(op).reference.__qualname__ != "Op.reference"


def floating(case):
    """Whether the case leaves its dtype open."""
    return next((a.dtype for a in case.args if isinstance(a, T)), "float") == "float"


def runs(kernels):
    """(op, case, kernel) of each (op, kernel) and each case it may serve, those of the op whose choice follows it too."""
    return [(served, case, kernel) for op, kernel in kernels for served in [op] + ([OPS[op.group]] if op.group in OPS else [])
            for case in served.cases() if case.error is None and floating(case)]


def with_dtypes(runs):
    """(op, case, kernel, dtype) of each run that a reference judges."""
    return [(*r, dtype) for r in runs for dtype in sorted(r[2].dtypes & set(TOLERANCE)) if has_reference(r[0])]


def run_id(a):
    return a.path if isinstance(a, dispatch.Kernel) else getattr(a, "name", repr(a))


def once():
    """The orders of threads where there is nothing to set."""
    yield


def on(device, case, rng, dtype, grad=False):
    """The arguments of a case as tensors on a device, floating ones in `dtype`."""

    def make(spec, array):
        t = tg.tensor(array, dtype=getattr(tg, dtype) if spec.dtype == "float" else None, device=device)
        return t.requires_grad_() if grad and spec.grad and spec.dtype == "float" else t

    return realise(case, rng, make)


def plain(a):
    """The argument as a reference takes it."""
    if isinstance(a, tg.Tensor):
        a = a.cpu().numpy()
        return a.astype(np.float64) if a.dtype.kind not in "iub" else a
    return [plain(x) for x in a] if isinstance(a, list) else a


def tolerance(path, dtype):
    return max([TOLERANCE[dtype], *[t for mark, t in CHIP.items() if path.endswith(mark)]])


@contextmanager
def unless_refused():
    """A rung may say that it is not made for a case, a memory layout for example; its ladder's test runs it on what it is made for."""
    try:
        yield
    except NoKernel as refused:
        pytest.skip(str(refused))


def check_values(device, op, case, dtype, path="", orders=once):
    """A call gives what the reference gives, on the device, in each order of threads."""
    args, kwargs = on(device, case, rng_for(op, case), dtype)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = op.reference(*map(plain, args), **{k: plain(v) for k, v in kwargs.items()})
    want = list(want) if isinstance(want, (tuple, list)) else [want]
    for _ in orders():
        args, kwargs = on(device, case, rng_for(op, case), dtype)
        compare_values(device, op, outputs(call(op, args, kwargs)), want, tolerance(path, dtype), bool(tensors_of(args, kwargs)))


def compare_values(device, op, got, want, limit, given):
    """`given`: whether the call was given tensors, which say where its results lie."""
    if not got and not any(isinstance(w, np.ndarray) for w in want):
        return  # no tensor, but a number or a name: nothing of the device's
    assert len(got) == len(want)
    for g, w in zip(got, map(np.asarray, want), strict=True):
        assert g.device.type == device or not given or op.name == "cpu"
        g = g.cpu().numpy()
        assert g.shape == w.shape
        if w.dtype == np.float64:
            with np.errstate(over="ignore"):
                w = w.astype(g.dtype)  # what a dtype cannot hold is infinity in it
        error = relative_error(g, w)
        assert error <= limit, f"relative error {error:.3g}"


def tensors_of(args, kwargs):
    return list(tensors_in(args, kwargs))


def gradients(device, op, case, dtype):
    """The gradients of a weighted sum of the results."""
    args, kwargs = on(device, case, rng_for(op, case), dtype, grad=True)
    leaves = [t for t in tensors_in(args, kwargs) if t.requires_grad]
    rng, total = np.random.default_rng(0), None
    for out in outputs(call(op, args, kwargs)):
        if out.requires_grad:
            weights = tg.tensor(rng.uniform(0.5, 1, tuple(out.shape)), dtype=out.dtype, device=out.device)
            part = (out * weights).sum()
            total = part if total is None else total + part
    if total is not None:
        total.backward()
    return [None if t.grad is None else t.grad.cpu().numpy() for t in leaves]


def check_gradients(device, op, case, dtype, path="", orders=once):
    """The gradients are those of cpu, in each order of threads."""
    want = gradients("cpu", op, case, dtype)
    if not want:
        pytest.skip("no differentiable input in this case")
    for _ in orders():
        got = gradients(device, op, case, dtype)
        for g, w in zip(got, want, strict=True):
            assert (g is None) == (w is None)
            if g is not None:  # what cancels is judged against the gradient that came in, which is about 1
                error = relative_error(g, w) * min(1.0, float(np.linalg.norm(np.nan_to_num(np.asarray(w, np.float64)))) or 1.0)
                assert error <= tolerance(path, dtype), f"relative error {error:.3g}"


def check_rung(device, op, case, kernel, dtype, orders=once):
    """A rung gives what the reference gives, or says that it is not made for the case."""
    with tg.kernels.use("*", kernel.path), unless_refused():
        check_values(device, op, case, dtype, kernel.path, orders)


def check_gradients_of_rung(device, op, case, kernel, orders=once):
    """A rung gives the gradients of cpu, in the most precise dtype it has."""
    dtype = next((d for d in TOLERANCE if d in kernel.dtypes), None)
    if dtype is None:
        pytest.skip(f"{kernel.path} has no floating dtype")
    with tg.kernels.use("*", kernel.path), unless_refused():
        check_gradients(device, op, case, dtype, kernel.path, orders)


def check_error(device, op, case):
    """A wrong call is refused in the words of cpu."""
    said = []
    for where in ("cpu", device):
        args, kwargs = on(where, case, rng_for(op, case), "float32")
        with pytest.raises(case.error[0]) as caught:
            call(op, args, kwargs)
        assert case.error[1] in str(caught.value)
        said.append(str(caught.value).replace("cuda:0", "cuda").replace(f"on {where}", "on the device"))
    if case.error[0] is not NotImplementedError:  # which names the device's kernels
        assert said[0] == said[1]
