"""Every op against its float64 NumPy reference, on its own cases: values, precision, memory layouts, gradients, errors.

Nothing here names an op: a file in `tensorgrad/ops` is tested by being there.
"""
from __future__ import annotations

import warnings

import numpy as np
import pytest
from sampling import CASES, LAYOUTS, OPS, call, case_id, leaf, outputs, realise, relative_error, relayout, rng_for, tensors_in

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.autograd import gradcheck, gradgradcheck
from tensorgrad.cases import T

GOOD = [c for c in CASES if c[1].error is None]
WRONG = [c for c in CASES if c[1].error is not None]
CHECKED = [c for c in GOOD if type(c[0]).reference.__qualname__ != "Op.reference"]
SMOOTH = [c for c in GOOD if c[0].differentiable]


def cases(pairs):
    return pytest.mark.parametrize("pair", pairs, ids=case_id)


def run(op, case, dtype, layout=None):
    """(results as arrays, reference results) of a case in a dtype."""
    rng = rng_for(op, case)
    float_type = getattr(tg, dtype).np if dtype != "float64" else np.float64

    def tensor(spec, a):
        a = relayout(a, layout) if layout else a
        return tg.from_numpy(a.view() if a.flags.writeable or layout else a)

    args, kwargs = realise(case, rng, tensor, float_type)
    want_args = [_plain(a) for a in args]
    with np.errstate(all="ignore"), warnings.catch_warnings():  # the reference may meet infinity; the op itself must not warn
        warnings.simplefilter("ignore")
        want = op.reference(*want_args, **{k: _plain(v) for k, v in kwargs.items()})
    got = [t.numpy() for t in outputs(call(op, args, kwargs))]
    return got, list(want) if isinstance(want, (tuple, list)) else [want]


def _plain(a):
    """The argument as the reference takes it: floats in float64."""
    if isinstance(a, tg.Tensor):
        return a.numpy().astype(np.float64) if a.dtype.is_floating_point else a.numpy()
    return [_plain(x) for x in a] if isinstance(a, list) and any(isinstance(x, tg.Tensor) for x in a) else a


def compare(got, want, tolerance):
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        w = np.asarray(w)
        assert g.shape == w.shape
        error = relative_error(g, w)
        assert error <= tolerance, f"relative error {error:.3g} > {tolerance:.3g}"


@cases(CHECKED)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_matches_reference(pair, dtype, tolerance):
    compare(*run(*pair, dtype), tolerance)


OTHER_RUNGS = [(op, case, kernel.path) for op, case in CHECKED for kernel in dispatch.ordered(op, "cpu")[1:]]


@pytest.mark.parametrize(("op", "case", "path"), OTHER_RUNGS, ids=lambda a: a if isinstance(a, str) else getattr(a, "name", repr(a)))
def test_every_other_rung(op, case, path):
    kernel = dispatch.kernels_of("cpu")[op.name][path]
    first = next((a.dtype for a in case.args if isinstance(a, T)), "float")
    if not kernel.takes("float32" if first == "float" else first):
        pytest.skip(f"{path} is for {', '.join(sorted(kernel.dtypes))} only")
    with tg.kernels.use(op.name, path):
        compare(*run(op, case, "float32"), 1e-5)


@cases(CHECKED)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 4e-3), ("bfloat16", 3e-2)])
def test_half_precision(pair, dtype, tolerance):
    op, case = pair
    if not getattr(op, "half", True):
        pytest.skip("the op says why it has no half precision")
    got, want = run(op, case, dtype)
    with np.errstate(over="ignore"):  # what half precision cannot hold is infinity in it
        want = [w.astype(getattr(tg, dtype).np) if np.asarray(w).dtype == np.float64 else w for w in map(np.asarray, want)]
    compare(got, want, tolerance)


@cases(CHECKED)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layouts(pair, layout):
    op, case = pair
    if op.mutates and layout == "broadcast":
        pytest.skip("several elements of a broadcast tensor share memory and cannot be overwritten one by one")
    if layout == "broadcast" and getattr(op, "regular", False):
        pytest.skip("a broadcast matrix has equal rows, and no inverse")
    if not op.copies:
        pytest.skip("a view that copies nothing cannot be had of every layout")
    compare(*run(op, case, "float32", layout), 1e-5)


@cases(SMOOTH)
def test_gradient(pair):
    op, case = pair
    args, kwargs = realise(case, rng_for(op, case), leaf())
    if not any(t.requires_grad for t in tensors_in(args, kwargs)):
        pytest.skip("no differentiable input in this case")
    assert gradcheck(lambda *a: call(op, list(a), kwargs), args)


@cases([c for c in SMOOTH if c[1].smooth and c[0].smooth])
def test_second_derivative(pair):
    op, case = pair
    args, kwargs = realise(case, rng_for(op, case), leaf())
    if not any(t.requires_grad for t in tensors_in(args, kwargs)):
        pytest.skip("no differentiable input in this case")
    assert gradgradcheck(lambda *a: call(op, list(a), kwargs), args)


@cases(WRONG)
def test_wrong_calls_are_refused(pair):
    op, case = pair
    args, kwargs = realise(case, rng_for(op, case), leaf("float32"))
    kind, message = case.error
    with pytest.raises(kind) as caught:
        call(op, args, kwargs)
    assert message in str(caught.value)


def test_every_op_has_cases_and_a_docstring():
    """An op without sample calls would be an op without tests."""
    bare = [n for n, op in OPS.items() if not op.composite and not list(op.cases()) and not getattr(op, "tested_in", None)]
    assert not bare
    assert not [n for n, op in OPS.items() if not (type(op).__doc__ or "").strip()]
