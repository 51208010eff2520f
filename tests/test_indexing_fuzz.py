"""Random shapes and random index expressions against NumPy: values, views, assignment, gradients."""
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorgrad as tg

FUZZ = settings(max_examples=150, derandomize=True, deadline=None, database=None)
SIZES = st.sampled_from([0, 1, 2, 3, 5, 7])
SHAPES = st.lists(SIZES, max_size=4).map(tuple)


@st.composite
def slices(draw, n):
    bound = st.one_of(st.none(), st.integers(-n - 2, n + 2))
    return slice(draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2, 3])))


@st.composite
def basic(draw, shape):
    """An index of ints, slices, None and Ellipsis."""
    items, dims = [], list(shape)
    while dims and draw(st.integers(0, 3)):
        n = dims.pop(0)
        kind = draw(st.sampled_from(["int", "slice", "slice"])) if n else "slice"
        items.append(draw(st.integers(-n, n - 1)) if kind == "int" else draw(slices(n)))
    for _ in range(draw(st.integers(0, 2))):
        items.insert(draw(st.integers(0, len(items))), None)
    if draw(st.booleans()):
        items.append(Ellipsis)
        if dims and draw(st.booleans()):
            items.append(draw(slices(dims[-1])))
    return tuple(items)


@st.composite
def advanced(draw, shape):
    """(index for us, the same for NumPy without ints beside arrays, which NumPy places otherwise)."""
    ours, numpys, dims = [], [], list(shape)
    common = draw(st.sampled_from([(3,), (2, 2), (1,), (0,)]))
    arrays = 0
    while dims:
        n = dims.pop(0)
        kind = draw(st.sampled_from(["array", "slice", "list", "mask"]))
        if kind == "mask" and arrays == 0 and common == (3,):
            mask = np.zeros(n, bool)
            mask[: min(3, n)] = True
            if mask.sum() == 3:
                ours.append(tg.from_numpy(mask))
                numpys.append(mask)
                arrays += 1
                continue
        if kind == "slice" or (n == 0 and math.prod(common)):
            item = draw(slices(n))
            ours.append(item)
            numpys.append(item)
            continue
        array = np.array(draw(st.lists(st.integers(-n, max(n - 1, -n)), min_size=math.prod(common), max_size=math.prod(common))), np.int64)
        array = array.reshape(common)
        ours.append(array.tolist() if kind == "list" else tg.from_numpy(array))
        numpys.append(array)
        arrays += 1
    return tuple(ours), tuple(numpys)


def numbers(shape):
    return np.arange(float(math.prod(shape))).reshape(shape)


@FUZZ
@given(st.data())
def test_basic_indexing(data):
    shape = data.draw(SHAPES)
    index = data.draw(basic(shape))
    a = numbers(shape)
    t = tg.from_numpy(a)
    want = a[index]
    got = t[index]
    assert got.array.shape == np.shape(want)
    assert np.array_equal(got.array, want)
    if got.numel():
        assert np.shares_memory(got.array, a)


@FUZZ
@given(st.data())
def test_advanced_indexing(data):
    shape = data.draw(SHAPES)
    ours, numpys = data.draw(advanced(shape))
    a = numbers(shape)
    t = tg.tensor(a, requires_grad=True)
    want = a[numpys]
    got = t[ours]
    assert got.array.shape == want.shape
    assert np.array_equal(got.array, want)
    g = np.random.default_rng(0).uniform(0.5, 1.5, want.shape)
    got.backward(tg.from_numpy(g))
    grad = np.zeros(shape)
    np.add.at(grad, numpys, g)
    assert np.allclose(t.grad.array, grad, rtol=1e-12)


@FUZZ
@given(st.data())
def test_assignment(data):
    shape = data.draw(SHAPES)
    if data.draw(st.booleans()):
        ours = numpys = data.draw(basic(shape))
    else:
        ours, numpys = data.draw(advanced(shape))
    a = numbers(shape)
    selected = np.shape(a[numpys])
    keep = data.draw(st.integers(0, len(selected)))
    value_shape = tuple(n if data.draw(st.booleans()) else 1 for n in selected[keep:])
    one = data.draw(st.booleans())  # where places repeat only equal values have one answer
    value = np.full(value_shape, 7.5) if one or ours is not numpys else np.random.default_rng(1).uniform(size=value_shape)
    t = tg.tensor(a)
    t[ours] = value.item() if value.size == 1 and not value.ndim else tg.from_numpy(value)
    a[numpys] = value
    assert np.array_equal(t.array, a)


@FUZZ
@given(st.data())
def test_ints_beside_arrays_are_applied_first(data):
    """PyTorch's rule where it differs from NumPy's: x[0, :, i] is x[0][:, i]."""
    shape = data.draw(st.lists(st.sampled_from([1, 2, 3]), min_size=2, max_size=4))
    a = numbers(tuple(shape))
    where = data.draw(st.integers(0, len(shape) - 1))
    number = data.draw(st.integers(-shape[where], shape[where] - 1))
    rest = tuple(shape[:where] + shape[where + 1:])
    ours, numpys = data.draw(advanced(rest))
    index = (*ours[:where], number, *ours[where:])
    assert np.array_equal(tg.from_numpy(a)[index].array, a.take(number, where)[numpys])


@FUZZ
@given(st.data())
def test_reshape_permute_and_back(data):
    shape = data.draw(SHAPES)
    order = data.draw(st.permutations(range(len(shape))))
    a = numbers(shape)
    t = tg.from_numpy(a)
    moved = t.permute(*order) if order else t.permute(())
    assert np.array_equal(moved.array, a.transpose(order))
    n = math.prod(shape)
    sizes = [d for d in range(1, n + 1) if n % d == 0] or [0]
    first = data.draw(st.sampled_from(sizes))
    new = (first, n // first if first else 0)
    assert np.array_equal(moved.reshape(*new).array, a.transpose(order).reshape(new))
    if moved.is_contiguous():
        assert np.shares_memory(moved.view(new).array, a) or n == 0


@FUZZ
@given(st.data())
def test_cat_and_split(data):
    shape = list(data.draw(st.lists(SIZES, min_size=1, max_size=3)))
    dim = data.draw(st.integers(0, len(shape) - 1))
    sizes = data.draw(st.lists(SIZES, min_size=1, max_size=4))
    parts = [numbers((*shape[:dim], n, *shape[dim + 1:])) + i for i, n in enumerate(sizes)]
    whole = tg.cat([tg.from_numpy(p) for p in parts], dim - len(shape))
    kept = [p for p in parts if p.shape != (0,)] or parts[:1]
    assert np.array_equal(whole.array, np.concatenate(kept, dim))
    for got, want in zip(whole.split(sizes, dim), parts, strict=True):
        assert np.array_equal(got.array, want)


@FUZZ
@given(st.data())
def test_gather_and_scatter_add(data):
    shape = data.draw(st.lists(st.sampled_from([1, 2, 3, 5]), min_size=1, max_size=3))
    dim = data.draw(st.integers(0, len(shape) - 1))
    picked = [data.draw(st.integers(0, n)) if d != dim else data.draw(SIZES) for d, n in enumerate(shape)]
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    index = rng.integers(0, shape[dim], picked)
    x, src = rng.uniform(size=shape), rng.uniform(size=picked)
    want, added = np.zeros(picked), x.copy()
    for place in np.ndindex(*picked):
        target = (*place[:dim], index[place], *place[dim + 1:])
        want[place] = x[target]
        added[target] += src[place]
    i = tg.from_numpy(index)
    assert np.array_equal(tg.from_numpy(x).gather(dim, i).array, want)
    assert np.allclose(tg.from_numpy(x).scatter_add(dim, i, tg.from_numpy(src)).array, added, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int64", "int8", "uint8", "bool"])
def test_every_dtype_can_be_indexed_and_assigned(dtype):
    kind = getattr(tg, dtype)
    t = tg.from_numpy((np.arange(12) % 3).reshape(3, 4).astype(kind.np))
    a = t.array.copy()
    i = np.array([0, 2, 0])
    part = (..., slice(1, 3))
    for ours, numpys in ((1, 1), (part, part), (tg.from_numpy(i), i), ((slice(None), i.tolist()), (slice(None), i))):
        assert np.array_equal(t[ours].array, a[numpys])
        assert t[ours].dtype is kind
        t[ours] = 1
        a[numpys] = 1
        assert np.array_equal(t.array, a)
    t.index_put_((tg.from_numpy(i),), t[0].clone(), accumulate=True)
    t.scatter_add_(0, tg.zeros(1, 4).to(tg.int64), t[1:2].clone())


@st.composite
def anything(draw, shape):
    """Any mixture: ints, slices, None, Ellipsis, bools, lists, index tensors, masks of one or two dims."""
    items, dims, common = [], list(shape), draw(st.sampled_from([(2,), (1,), (2, 2), (3, 1)]))
    ellipsis = False
    while dims:
        kind = draw(st.sampled_from(["int", "slice", "none", "ellipsis", "tensor", "list", "mask", "mask2", "bool", "scalar", "stop"]))
        n = dims[0]
        if kind == "stop" or (n == 0 and kind in ("int", "tensor", "list", "scalar")):
            break
        if kind == "ellipsis":
            if not ellipsis:
                items.append(Ellipsis)
                drop = draw(st.integers(0, len(dims) - 1))
                dims, ellipsis = dims[drop:], True
            continue
        if kind in ("none", "bool"):
            items.append(None if kind == "none" else draw(st.booleans()))
            if len(items) > 6:
                break
            continue
        if kind == "mask2":
            if len(dims) < 2:
                continue
            mask = np.zeros(dims[:2], bool)
            mask.reshape(-1)[:2] = True
            items.append(mask)
            dims = dims[2:]
            continue
        dims.pop(0)
        if kind == "int":
            items.append(draw(st.integers(-n, n - 1)))
        elif kind == "slice":
            items.append(draw(slices(n)))
        elif kind == "mask":
            items.append(np.arange(n) < 2)
        elif kind == "scalar":
            items.append(np.array(draw(st.integers(-n, n - 1))))
        else:
            array = np.array([draw(st.integers(-n, n - 1)) for _ in range(math.prod(common))], np.int64).reshape(common)
            items.append(array.tolist() if kind == "list" else array)
    return tuple(items)


@settings(FUZZ, max_examples=400)
@given(st.data())
def test_any_index_against_pytorch(data):
    """The same shape and values, or an error from both."""
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    shape = data.draw(st.lists(st.sampled_from([0, 1, 2, 3, 5]), max_size=4))
    index = data.draw(anything(shape))
    a = numbers(shape)
    results = []
    for tensor in (tg.tensor, torch.tensor):
        x = tensor(a, requires_grad=True)
        try:
            y = x[tuple(tensor(i) if isinstance(i, np.ndarray) else i for i in index)]
        except (IndexError, ValueError, RuntimeError) as e:
            results.append(e)
            continue
        (y * y).sum().backward()
        results.append((y.detach().numpy(), x.grad.numpy()))
    ours, theirs = results
    if isinstance(theirs, Exception):
        assert isinstance(ours, Exception), f"PyTorch refuses {index} of {shape}: {theirs}"
    else:
        assert not isinstance(ours, Exception), f"{index} of {shape}: {ours}"
        for got, want in zip(ours, theirs, strict=True):
            assert got.shape == want.shape
            assert np.array_equal(got, want)
